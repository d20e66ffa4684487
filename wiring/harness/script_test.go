package harness

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write what commands print into the scripts")

// A script is blocks of commands and what they print:
//
//	command words
//	command words
//	----
//	what they printed
//
// Comments begin with #. Empty lines separate blocks; those that commands print
// are left out, as are spaces at the ends of lines. The block "file NAME" makes
// a file of the lines that follow. Every script runs twice, spoken by the real
// virsh over sockets and by a client of our own over memory, and must print the
// same; "only SPEAKER why" keeps it to one of them. The commands are in
// commands_test.go.
type block struct {
	before string // comments and empty lines
	line   int
	input  []string
	output string
}

// parseScript also returns what follows the last block.
func parseScript(text string) (blocks []block, rest string) {
	var b block
	inOutput := false
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		switch {
		case inOutput && line == "":
			blocks, b, inOutput = append(blocks, b), block{before: "\n"}, false
		case inOutput:
			b.output += line + "\n"
		case line == "----":
			inOutput = true
		case len(b.input) == 0 && (line == "" || strings.HasPrefix(line, "#")):
			b.before += line + "\n"
		default:
			if len(b.input) == 0 {
				b.line = i + 1
			}
			b.input = append(b.input, line)
		}
	}
	if inOutput {
		return append(blocks, b), ""
	}
	return blocks, b.before + strings.Join(b.input, "\n")
}

// tidy is how output is compared.
func tidy(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, " \t\r\n"); line != "" {
			out.WriteString(line + "\n")
		}
	}
	return out.String()
}

func scripts(t *testing.T) (paths []string) {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	return paths
}

// TestScripts speaks each script with the real virsh.
func TestScripts(t *testing.T) {
	needVirsh(t)
	for _, path := range scripts(t) {
		t.Run(scriptName(path), func(t *testing.T) {
			t.Parallel()
			runScript(t, path, &virsh{t: t})
		})
	}
}

// TestScriptsInMemory speaks each script with our client, in virtual time.
func TestScriptsInMemory(t *testing.T) {
	for _, path := range scripts(t) {
		t.Run(scriptName(path), func(t *testing.T) {
			if only := speakerOf(t, path); only != "" && only != (&inMemory{}).name() {
				t.Skipf("a script for %s", only)
			}
			synctest.Test(t, func(t *testing.T) { runScript(t, path, &inMemory{t: t}) })
		})
	}
}

func scriptName(path string) string { return strings.TrimSuffix(filepath.Base(path), ".txt") }

// speakerOf finds the line "only SPEAKER why" of a script.
func speakerOf(t *testing.T, path string) string {
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "only" {
			return words[1]
		}
	}
	return ""
}

func runScript(t *testing.T, path string, with speaker) {
	if only := speakerOf(t, path); only != "" && only != with.name() {
		t.Skipf("a script for %s", only)
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	blocks, rest := parseScript(string(text))
	require.Empty(t, strings.TrimSpace(rest), "commands without ----")
	s := newStage(t, with)
	defer s.close()
	for i := range blocks {
		b := &blocks[i]
		got := tidy(s.run(b.input))
		if *update && (with.name() == "virsh" || speakerOf(t, path) != "") {
			b.output = got
			writeScript(t, path, blocks)
		}
		require.Equal(t, b.output, got, "%s:%d: %s", path, b.line, b.input[0])
	}
}

func writeScript(t *testing.T, path string, blocks []block) {
	var text strings.Builder
	for _, b := range blocks {
		fmt.Fprintf(&text, "%s%s\n----\n%s", b.before, strings.Join(b.input, "\n"), b.output)
	}
	require.NoError(t, os.WriteFile(path, []byte(text.String()), 0o644))
}

func TestParseScript(t *testing.T) {
	blocks, rest := parseScript("# why\n\na b\nc\n----\nout 1\nout 2\n\n# more\nd\n----\n\ntail")
	assert.Equal(t, []block{
		{before: "# why\n\n", line: 3, input: []string{"a b", "c"}, output: "out 1\nout 2\n"},
		{before: "\n# more\n", line: 10, input: []string{"d"}},
	}, blocks)
	assert.Equal(t, "\ntail", rest)
}
