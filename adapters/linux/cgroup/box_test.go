package cgroup

import (
	"os"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// needSystemd keeps tests to systems that are meant for them: they use the top
// of the hierarchies and reload the service manager.
func needSystemd(t *testing.T) {
	t.Helper()
	needRoot(t)
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		t.Skip("needs systemd as process 1: works inside units that it makes")
	}
	text, _ := os.ReadFile("/run/systemd/container")
	if strings.TrimSpace(string(text)) != "box" && os.Getenv("VIRTLXCD_TEST_SYSTEMD") == "" {
		t.Skip("needs a system of its own (or VIRTLXCD_TEST_SYSTEMD=1): reloads systemd")
	}
}

// startScope makes systemd put a process into a delegated scope.
func startScope(t *testing.T, name string) (scope string, holder *exec.Cmd) {
	t.Helper()
	holder = exec.Command("systemd-run", "--quiet", "--scope", "--slice=machine-vlx.slice", "--unit="+name,
		"-p", "Delegate=yes", "-p", "CPUWeight=200", "sleep", "1000")
	holder.Stderr = os.Stderr
	require.NoError(t, holder.Start())
	t.Cleanup(func() {
		_ = holder.Process.Kill()
		_ = holder.Wait()
		_ = exec.Command("systemctl", "stop", name).Run()
	})
	scope = "/machine.slice/machine-vlx.slice/" + name
	require.Eventually(t, func() bool {
		command, _ := os.ReadFile("/proc/" + strconv.Itoa(holder.Process.Pid) + "/comm")
		return string(command) == "sleep\n"
	}, 10*time.Second, 5*time.Millisecond)
	return scope, holder
}

func TestBoxCreateInScope(t *testing.T) {
	needSystemd(t)
	c, err := New(Options{}, quiet())
	require.NoError(t, err)
	scope, holder := startScope(t, `machine-lxc\x2d1\x2dvlx.scope`)
	made, err := c.CreateIn(within(t), scope, holder.Process.Pid)
	require.NoError(t, err)
	g := made.(*Group)
	t.Cleanup(func() {
		_ = g.Kill(within(t))
		_ = g.Remove(within(t))
	})
	limits := limitsFor(c)
	require.NoError(t, g.Apply(t.Context(), limits))
	p := spawn(t, g, "read x")
	requireInside(t, c, p.Process.Pid, scope+"/libvirt")
	reload(t)
	kept := limitsOf(t, g)
	assert.Equal(t, limits.MemoryHard, kept.MemoryHard)
	assert.Equal(t, limits.PIDs, kept.PIDs)
	swept, err := c.Sweep(within(t), func(string) bool { return false })
	require.NoError(t, err)
	assert.NotContains(t, swept, g.Path())
	require.NoError(t, g.Freeze(within(t)))
	require.NoError(t, g.Kill(within(t)))
	p.end()
	require.NoError(t, g.Remove(within(t)))
	require.NoError(t, holder.Process.Signal(os.Interrupt))
	_ = holder.Wait()
	if !c.unified() {
		_ = exec.Command("systemctl", "stop", path.Base(scope)).Run() // nested systems do not hear of empty groups
	}
	for _, dir := range g.dirs {
		require.Eventually(t, func() bool { return !exists(path.Dir(dir)) }, 10*time.Second, 5*time.Millisecond, dir)
	}
}

// reload makes systemd look at all units anew, and do something to be seen.
func reload(t *testing.T) {
	t.Helper()
	for _, command := range []string{"daemon-reload", "daemon-reexec"} {
		out, err := exec.Command("systemctl", command).CombinedOutput()
		require.NoError(t, err, string(out))
	}
	_, other := startScope(t, `machine-lxc\x2d2\x2dvlx.scope`)
	require.NoError(t, other.Process.Kill())
}
