package box

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// limit bounds one script, the box's start included: far longer than any takes.
const limit = 4 * time.Minute

// rig is the program that boots a Debian with systemd in namespaces.
const rig = "../../.ci/rig/systemd-box.sh"

// TestScripts installs the daemon in a box, boots it and runs testdata/*.sh, each
// in a box of its own. A line may say "# layouts: hybrid v1" for other layouts of
// control groups than hybrid alone ($LAYOUT tells the script which), and "# before:
// COMMAND" for what is to be done in the root before it boots. A script fails with
// its first command that does.
func TestScripts(t *testing.T) {
	need(t)
	tree := installed(t)
	scripts, err := filepath.Glob("testdata/*.sh")
	require.NoError(t, err)
	require.NotEmpty(t, scripts)
	for _, script := range scripts {
		name := strings.TrimSuffix(filepath.Base(script), ".sh")
		if name == "lib" {
			continue
		}
		text, err := os.ReadFile(script)
		require.NoError(t, err)
		for _, layout := range layouts(string(text)) {
			t.Run(name+"/"+layout, func(t *testing.T) { run(t, tree, script, string(text), layout) })
		}
	}
}

// TestPackages runs the tests of packages that need a booted system in one.
func TestPackages(t *testing.T) {
	need(t)
	programs := t.TempDir()
	args := []string{"run", "-g", "hybrid", "-c", programs + ":/tests"}
	inside := "set -e"
	for _, name := range []string{"dbus/machines", "dbus/login", "linux/cgroup", "logging"} {
		program := strings.ReplaceAll(name, "/", "-")
		build := exec.Command("go", "test", "-c", "-o", filepath.Join(programs, program), "virtlxcd/adapters/"+name)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := build.CombinedOutput()
		require.NoError(t, err, "%s", out)
		inside += "; cd /tmp; /tests/" + program + " -test.v -test.run \"Box|RealJournal\""
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	command := exec.CommandContext(ctx, rig, append(args, "bash -c '"+inside+"'")...)
	command.WaitDelay = 10 * time.Second
	out, err := command.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.NotContains(t, string(out), "--- SKIP")
	require.Contains(t, string(out), "--- PASS: TestBox")
	require.Contains(t, string(out), "--- PASS: TestRealJournal")
}

// need skips where no box can be had, and says why.
func need(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: boots a system in namespaces")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, rig, "build").CombinedOutput()
	if err != nil {
		t.Skipf("needs a box, which cannot be built here: %v\n%s", err, out)
	}
}

// installed is a tree with what make install installs.
func installed(t *testing.T) string {
	t.Helper()
	tree := t.TempDir()
	out, err := exec.Command("make", "-C", "../..", "install", "DESTDIR="+tree).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return tree
}

// layouts of control groups that a script wants to be run with.
func layouts(text string) []string {
	for line := range strings.Lines(text) {
		if names, ok := strings.CutPrefix(line, "# layouts: "); ok {
			return strings.Fields(names)
		}
	}
	return []string{"hybrid"}
}

func run(t *testing.T, tree, script, text, layout string) {
	shared := t.TempDir()
	args := []string{"run", "-g", layout, "-c", tree + ":/", "-c", "testdata:/scripts", "-b", shared + ":/shared"}
	for line := range strings.Lines(text) {
		if command, ok := strings.CutPrefix(strings.TrimSpace(line), "# before: "); ok {
			args = append(args, "-s", command)
		}
	}
	inside := "LAYOUT=" + layout + "; . /scripts/lib.sh; . /scripts/" + filepath.Base(script)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	command := exec.CommandContext(ctx, rig, append(args, "bash -c '"+inside+"'")...)
	command.WaitDelay = 10 * time.Second
	out, err := command.CombinedOutput()
	require.NoError(t, err, "%s", out)
	after(t, script, shared)
}

// after runs what is to be looked at when the box is off: SCRIPT.after, with the
// shared directory as its own.
func after(t *testing.T, script, shared string) {
	t.Helper()
	check, err := filepath.Abs(strings.TrimSuffix(script, ".sh") + ".after")
	require.NoError(t, err)
	if _, err := os.Stat(check); err != nil {
		return
	}
	command := exec.Command("bash", "-e", check)
	command.Dir = shared
	out, err := command.CombinedOutput()
	require.NoError(t, err, "%s", out)
}
