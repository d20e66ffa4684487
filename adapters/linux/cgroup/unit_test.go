package cgroup

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"virtlxcd/domain/policy"
)

// unit is what a service manager would have made: the scope, in the hierarchies
// that it knows, with one process in it.
type unit struct {
	scope   string
	managed []string // directories
	holder  *exec.Cmd
}

// managedBy says which hierarchies a service manager uses for a delegated unit.
func managedBy(h *hierarchy) bool {
	return h.unified || slices.ContainsFunc(h.controllers, func(controller string) bool {
		return slices.Contains([]string{"name=systemd", "cpu", "cpuacct", "memory", "pids", "blkio", "devices"}, controller)
	})
}

func startUnit(t testing.TB, c *Cgroups, scope string) *unit {
	t.Helper()
	u := &unit{scope: scope, holder: exec.Command("/bin/sh", "-c", "read x")}
	stdin, err := u.holder.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, u.holder.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		u.end(t)
	})
	for i, h := range c.all {
		if !managedBy(h) {
			continue
		}
		dir := h.root + c.base + scope
		require.NoError(t, c.makeParents(i, dir))
		require.NoError(t, writeValue(dir+"/cgroup.procs", strconv.Itoa(u.holder.Process.Pid)))
		u.managed = append(u.managed, dir)
	}
	require.NotEmpty(t, u.managed)
	return u
}

// end is what a service manager does when the last process of a unit is gone.
func (u *unit) end(t testing.TB) {
	t.Helper()
	if u.holder.ProcessState == nil {
		_ = u.holder.Process.Kill()
		_ = u.holder.Wait()
	}
	for _, dir := range u.managed {
		require.NoError(t, removeTree(dir))
	}
}

func (u *unit) pid() int { return u.holder.Process.Pid }

func createIn(t testing.TB, c *Cgroups, u *unit) *Group {
	t.Helper()
	made, err := c.CreateIn(within(t), u.scope, u.pid())
	require.NoError(t, err)
	g := made.(*Group)
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		require.NoError(t, g.Kill(ctx))
		require.NoError(t, g.Remove(ctx))
	})
	return g
}

// groupsOf is /proc/PID/cgroup by hierarchy.
func groupsOf(t testing.TB, pid int) map[string]string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	require.NoError(t, err)
	found := map[string]string{}
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		found[parts[1]] = parts[2]
	}
	return found
}

// requireInside checks where a process is, in all hierarchies that are mounted.
func requireInside(t testing.TB, c *Cgroups, pid int, want string) {
	t.Helper()
	found := groupsOf(t, pid)
	for _, h := range c.all {
		name := strings.Join(h.controllers, ",")
		if h.unified {
			name = ""
		}
		require.True(t, strings.HasSuffix(found[name], want), "%s: %q", h.root, found[name])
	}
}

// limitsFor are limits that this host has controllers for.
func limitsFor(c *Cgroups) (limits policy.Limits) {
	if _, ok := c.by["memory"]; ok {
		limits.MemoryHard = ptr(uint64(64 << 10))
	}
	if _, ok := c.by["pids"]; ok {
		limits.PIDs = ptr(uint64(50))
	}
	if _, ok := c.by["cpu"]; ok {
		limits.CPUShares = ptr(uint64(512))
	}
	return limits
}
