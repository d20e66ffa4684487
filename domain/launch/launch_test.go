package launch

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/container"
	"virtlxcd/domain/device"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/host"
	"virtlxcd/domain/launch/step"
	"virtlxcd/domain/policy"
)

var update = flag.Bool("update", false, "rewrite testdata")

func facts() *host.Facts {
	return &host.Facts{
		Arch: "x86_64", NetNamespaces: true, UserNamespaces: true, LastCapability: 40, Capabilities: 1<<41 - 1,
		InitPaths: []string{"/sbin/init", "/lib/systemd/systemd"},
	}
}

// definition is the smallest that can be started.
func definition(changes ...func(*container.Definition)) *container.Definition {
	d := &container.Definition{
		Name: "vlx-a", Arch: "x86_64", Memory: 65536, Init: container.Init{Path: "/bin/sh"},
		Filesystems: []device.Filesystem{{Kind: device.HostDir, Source: "/srv/root", Target: "/"}},
		Consoles:    []device.Console{{Kind: "pty"}},
	}
	for _, change := range changes {
		change(d)
	}
	return d
}

var hybrid = []CgroupDir{
	{Name: "memory", Path: "/sys/fs/cgroup/memory/machine/c"},
	{Name: "cpu,cpuacct", Path: "/sys/fs/cgroup/cpu,cpuacct/machine/c", Links: []string{"cpu", "cpuacct"}},
	{Name: "systemd", Path: "/sys/fs/cgroup/systemd/machine/c"},
	{Name: "unified", Path: "/sys/fs/cgroup/unified/machine/c"},
}

func mapped(d *container.Definition) {
	d.IDMap = policy.IDMap{
		Users:  []policy.IDRange{{Start: 0, Target: 100000, Count: 65536}},
		Groups: []policy.IDRange{{Start: 0, Target: 200000, Count: 65536}},
	}
}

// TestPlans compares whole plans with testdata, printed one operation a line.
func TestPlans(t *testing.T) {
	everything := func(d *container.Definition) {
		d.PrivateNet = true
		d.Filesystems[0].ReadOnly = true
		d.Filesystems = append(d.Filesystems,
			device.Filesystem{Kind: device.Memory, Usage: 2048, Target: "/tmp"},
			device.Filesystem{Kind: device.HostDir, Source: "/srv/share", Target: "data", ReadOnly: true},
			device.Filesystem{Kind: device.GuestDir, Source: "/etc", Target: "/mnt/etc", ReadOnly: true})
		d.Consoles = append(d.Consoles, device.Console{Kind: "pty"})
		d.Arch = "i686"
		d.Init = container.Init{
			Path: "/bin/app", Args: []string{"-v"}, Env: []container.EnvVar{{Name: "A", Value: "b c"}},
			Dir: "/srv", User: "bob", Group: "aux", CommandLine: "x y",
		}
	}
	for name, request := range map[string]Request{
		"minimal":     {Definition: definition(), Cgroups: hybrid},
		"pure-v2":     {Definition: definition(), Cgroups: []CgroupDir{{Path: "/sys/fs/cgroup/machine/c"}}},
		"host-root":   {Definition: definition(func(d *container.Definition) { d.Filesystems = nil })},
		"everything":  {Definition: definition(everything), Cgroups: hybrid},
		"idmap":       {Definition: definition(mapped), Cgroups: hybrid},
		"idmap-links": {Definition: definition(mapped, func(d *container.Definition) { d.Links = make([]device.Link, 1) })},
	} {
		t.Run(name, func(t *testing.T) {
			request.Facts = facts()
			plan, err := New(request)
			require.NoError(t, err)
			compare(t, filepath.Join("testdata", name+".txt"), printed(&plan))
		})
	}
}

func compare(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}

func printed(p *Plan) string {
	var b strings.Builder
	for _, part := range []struct {
		name string
		list step.List
	}{{"prepare", p.Prepare}, {"enter", p.Enter}} {
		fmt.Fprintf(&b, "%s\n", part.name)
		for _, op := range part.list {
			fmt.Fprintf(&b, "  %-26s%s\n", op.Code, fields(op))
		}
	}
	fmt.Fprintf(&b, "namespaces %+v, wait for links %t, slots %d, terminals %v\n", p.Namespaces, p.WaitLinks, p.Slots, p.Terminals)
	return b.String()
}

func fields(op step.Op) string {
	var b strings.Builder
	add := func(name string, value any, zero bool) {
		if !zero {
			fmt.Fprintf(&b, " %s=%v", name, value)
		}
	}
	add("slot", op.Slot, op.Slot == 0 && op.Code >= step.Join && op.Code != step.Pivot)
	add("path", op.Path, op.Path == "")
	add("source", op.Source, op.Source == "")
	add("data", op.Data, op.Data == "")
	add("flags", fmt.Sprintf("%#x", op.Flags), op.Flags == 0)
	add("mode", fmt.Sprintf("%#o", op.Mode), op.Mode == 0)
	add("major", op.Major, op.Major == 0)
	add("minor", op.Minor, op.Minor == 0)
	add("owner", fmt.Sprint(op.UID, ":", op.GID), op.UID == 0 && op.GID == 0)
	add("value", fmt.Sprintf("%#x", op.Value), op.Value == 0)
	add("value2", fmt.Sprintf("%#x", op.Value2), op.Value2 == 0)
	add("words", op.Words, len(op.Words) == 0)
	add("env", op.Env, len(op.Env) == 0)
	return b.String()
}

func TestLimitsAndDevices(t *testing.T) {
	plan, err := New(Request{Definition: definition(), Facts: facts()})
	require.NoError(t, err)
	assert.Equal(t, uint64(65536), *plan.Limits.MemoryHard, "memory is the limit")
	assert.Equal(t, policy.DefaultDevices(), plan.Devices)

	hard := uint64(4096)
	plan, err = New(Request{Facts: facts(), Definition: definition(func(d *container.Definition) {
		d.Limits.MemoryHard = &hard
		d.Capabilities.States = map[string]bool{"mknod": true}
	})})
	require.NoError(t, err)
	assert.Equal(t, hard, *plan.Limits.MemoryHard, "hard_limit counts instead")
	assert.Equal(t, policy.MakeAnyNode(), plan.Devices[:2])
}

func TestMachineName(t *testing.T) {
	for name, want := range map[string]string{
		"web":                   "lxc-7-web",
		"ct_host.root 1-":       "lxc-7-cthost.root1",
		"a..b--c":               "lxc-7-a.b-c",
		"日本":                    "lxc-7",
		strings.Repeat("x", 99): "lxc-7-" + strings.Repeat("x", 58),
	} {
		assert.Equal(t, want, MachineName(7, name))
	}
}

func TestHostname(t *testing.T) {
	for name, want := range map[string]string{"ct_host.root 1-": "cthostroot1-", "-a": "a", "": "", strings.Repeat("y", 70): strings.Repeat("y", 64)} {
		assert.Equal(t, want, Hostname(name))
	}
}

func TestExplain(t *testing.T) {
	plan, err := New(Request{Definition: definition(), Facts: facts()})
	require.NoError(t, err)
	find := func(list step.List, code step.Code) int {
		for i := range list {
			if list[i].Code == code {
				return i
			}
		}
		return -1
	}
	exec, tree, user := find(plan.Enter, step.Exec), find(plan.Prepare, step.OpenTree), find(plan.Enter, step.Become)
	for _, row := range []struct {
		entered     bool
		index       int
		errno       syscall.Errno
		interpreter bool
		want        string
	}{
		{true, exec, syscall.ENOENT, false, "cannot find init path '/bin/sh' relative to container root: no such file or directory"},
		{true, exec, syscall.ENOENT, true, "the interpreter that init '/bin/sh' asks for is missing inside the container: no such file or directory"},
		{true, exec, syscall.ENOEXEC, false, "cannot execute init '/bin/sh': exec format error"},
		{true, exec, syscall.EACCES, false, "cannot execute init '/bin/sh': permission denied"},
		{false, tree, syscall.ENOENT, false, "Failed to access '/srv/root': no such file or directory"},
		{true, user, syscall.ENOENT, false, "user or group 'root' doesn't exist inside the container"},
		{true, user, syscall.EPERM, false, "cannot take user 'root': operation not permitted"},
		{true, 9999, syscall.ECHILD, false, "cannot start the container: no child processes"},
	} {
		err := plan.Explain(row.entered, row.index, row.errno, row.interpreter)
		assert.EqualError(t, err, row.want)
		if fault.KindOf(err) == fault.System {
			assert.True(t, errors.Is(err, row.errno), "the errno is kept")
		}
	}
}
