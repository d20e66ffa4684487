package main_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/settings"
)

// page is a manual page without the markup that matters to readers alone.
func page(t *testing.T, name string) string {
	t.Helper()
	text := read(t, "../../docs/man", name)
	return strings.NewReplacer(`\fB`, "", `\fI`, "", `\fR`, "", `\-`, "-", `\(dq`, `"`).Replace(text)
}

// manualOptions are the options that the section OPTIONS describes, sorted.
func manualOptions(t *testing.T) []string {
	t.Helper()
	_, section, found := strings.Cut(page(t, "virtlxcd.8"), ".SH OPTIONS\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, ".SH ")
	var options []string
	for _, heading := range regexp.MustCompile(`(?m)^\.TP\n(.*)$`).FindAllStringSubmatch(section, -1) {
		options = append(options, regexp.MustCompile(`(?:^|[\s"])(--?[A-Za-z][a-z-]*)`).FindAllString(heading[1], -1)...)
	}
	for i := range options {
		options[i] = strings.Trim(options[i], ` "`)
	}
	slices.Sort(options)
	return options
}

// complete has bash complete the last of words and returns what it offers, sorted.
func complete(t *testing.T, words ...string) []string {
	t.Helper()
	bash, err := exec.LookPath("bash")
	require.NoError(t, err, "completion is bash's")
	script := `. completion/virtlxcd; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); compopt() { :; }; _virtlxcd; printf '%s\n' "${COMPREPLY[@]}"`
	command := exec.Command(bash, append([]string{"--norc", "-c", script, "bash", "virtlxcd"}, words...)...)
	output, err := command.CombinedOutput()
	require.NoError(t, err, string(output))
	offered := strings.Fields(string(output))
	slices.Sort(offered)
	return offered
}

func TestManualAndCompletionHaveTheSameOptions(t *testing.T) {
	options := manualOptions(t)
	assert.Subset(t, options, []string{
		"-h", "--help", "-d", "--daemon", "-f", "--config", "-p", "--pid-file", "-t", "--timeout", "-v", "--verbose",
		"-V", "--version", "--check-config", "--prefix", "--controller",
	})
	assert.Equal(t, options, complete(t, "-"))
}

// The flags are declared in a function of package main, out of reach: their
// declarations are read.
func TestManualHasEveryOption(t *testing.T) {
	declaration := regexp.MustCompile(`flags\.(?:Bool|Int|String)(?:Var)?P?\((?:&[\w.]+, )?"([a-z-]+)", (?:"(\w)", )?`)
	declared := declaration.FindAllStringSubmatch(read(t, "options.go"), -1)
	require.NotEmpty(t, declared)
	var options []string
	for _, option := range declared {
		options = append(options, "--"+option[1])
		if option[2] != "" {
			options = append(options, "-"+option[2])
		}
	}
	slices.Sort(options)
	assert.Equal(t, options, manualOptions(t))
}

func TestCompletion(t *testing.T) {
	for _, test := range []struct {
		name  string
		words []string
		want  []string
	}{
		{"a beginning", []string{"--ver"}, []string{"--verbose", "--version"}},
		{"after an option without value", []string{"-v", "--pre"}, []string{"--prefix"}},
		{"a file", []string{"-f", "units/virtlxcd.so"}, []string{"units/virtlxcd.socket"}},
		{"a file behind =", []string{"--config", "=", "units/virtlxcd.so"}, []string{"units/virtlxcd.socket"}},
		{"anything behind =", []string{"--pid-file", "="}, []string{"completion", "units"}},
		{"the next after a file", []string{"--config", "x", "--pid"}, []string{"--pid-file"}},
		{"directories alone", []string{"--prefix", "u"}, []string{"units"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Subset(t, complete(t, test.words...), test.want)
			if test.name != "anything behind =" {
				assert.Len(t, complete(t, test.words...), len(test.want))
			}
		})
	}
}

// keys finds "name = value" lines behind a marker.
func keys(text, marker string) map[string]string {
	found := map[string]string{}
	for _, match := range regexp.MustCompile(`(?m)^`+marker+`([a-z_]+) = (.*)$`).FindAllStringSubmatch(text, -1) {
		found[match[1]] = strings.ReplaceAll(match[2], " ", "")
	}
	return found
}

// The manual describes each key of the file that is installed, with its default.
func TestManualHasEveryKey(t *testing.T) {
	for file, manual := range map[string]string{"virtlxcd.conf": "virtlxcd.conf.5", "lxc.conf": "virtlxcd-lxc.conf.5"} {
		t.Run(file, func(t *testing.T) {
			installed, err := settings.DefaultFiles.ReadFile("defaults/" + file)
			require.NoError(t, err)
			described, _, _ := strings.Cut(page(t, manual), ".SH EXAMPLES")
			want := keys(string(installed), "#")
			require.NotEmpty(t, want)
			assert.Equal(t, want, keys(described, ""))
		})
	}
}

// keyTables are where package settings says which keys can change in a running
// daemon.
var keyTables = map[string]string{
	"daemon_keys.go": "virtlxcd.conf.5",
	"driver.go":      "virtlxcd-lxc.conf.5",
}

func TestManualSaysWhatReloadChanges(t *testing.T) {
	declaration := regexp.MustCompile(`keyAt\("([a-z_]+)", (live|restart|inert),`)
	heading := regexp.MustCompile(`(?m)^([a-z_]+ = |\.SH)`)
	for source, manual := range keyTables {
		declared := declaration.FindAllStringSubmatch(read(t, "../../adapters/settings", source), -1)
		require.NotEmpty(t, declared, source)
		for _, key := range declared {
			_, description, found := strings.Cut(page(t, manual), "\n"+key[1]+" = ")
			require.True(t, found, key[1])
			description = heading.Split(description, 2)[0]
			if strings.HasPrefix(key[1], "admin_keepalive_") { // live, and without effect all the same
				continue
			}
			assert.Equal(t, key[2] == "live", strings.Contains(description, ".I (reload)"), key[1])
		}
	}
}

// Other pages and packages refer to them by these names.
func TestManualPages(t *testing.T) {
	pages, err := filepath.Glob("../../docs/man/*")
	require.NoError(t, err)
	for i := range pages {
		pages[i] = filepath.Base(pages[i])
	}
	assert.ElementsMatch(t, []string{"virtlxcd.8", "virtlxcd.conf.5", "virtlxcd-lxc.conf.5", "libvirt_lxc.8"}, pages)
}
