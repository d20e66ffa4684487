package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// fakeMount is one line of a made-up mount table.
type fakeMount struct{ at, fsType, options string }

var (
	oldHost = []fakeMount{
		{"cpu,cpuacct", "cgroup", "rw,cpu,cpuacct"}, {"memory", "cgroup", "rw,memory"}, {"freezer", "cgroup", "rw,xattr,freezer"},
		{"devices", "cgroup", "rw,devices"}, {"systemd", "cgroup", "rw,xattr,name=systemd"},
	}
	hybridHost = append([]fakeMount{{"unified", "cgroup2", "rw,nsdelegate"}}, oldHost...)
	newHost    = []fakeMount{{"", "cgroup2", "rw,nsdelegate"}}
)

// fakeHost is a tree of plain directories with a mount table that points at it.
func fakeHost(t *testing.T, controllers string, mounts ...fakeMount) *Cgroups {
	t.Helper()
	root := t.TempDir()
	var table strings.Builder
	for i, mount := range mounts {
		at := filepath.Join(root, mount.at)
		require.NoError(t, os.MkdirAll(at, 0o755))
		fmt.Fprintf(&table, "%d 1 0:%d / %s rw,nosuid - %s none %s\n", 30+i, 30+i, at, mount.fsType, mount.options)
		if mount.fsType == "cgroup2" {
			write(t, at+"/cgroup.controllers", controllers+"\n")
			write(t, at+"/cgroup.subtree_control", "\n")
		}
	}
	write(t, root+"/mountinfo", "20 1 8:1 / / rw - ext4 /dev/sda rw\n"+table.String())
	c, err := New(Options{Mountinfo: root + "/mountinfo"}, quiet())
	require.NoError(t, err)
	return c
}

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

// fakeGroup opens a group whose files are given by controller file name.
func fakeGroup(t *testing.T, c *Cgroups, files map[string]string) *Group {
	t.Helper()
	g := c.group("/machine/lxc-1-a.libvirt-lxc")
	for _, dir := range g.dirs {
		require.NoError(t, os.MkdirAll(dir, 0o755))
	}
	for file, text := range files {
		controller, _, _ := strings.Cut(file, ".")
		dir, _, ok := g.dir(controller)
		if controller == "cgroup" {
			dir, ok = g.dirs[0], true
		}
		require.True(t, ok, file)
		write(t, dir+"/"+file, text)
	}
	opened, err := c.Open(t.Context(), g.Path())
	require.NoError(t, err)
	return opened.(*Group)
}

func TestDetection(t *testing.T) {
	old := fakeHost(t, "", oldHost...)
	assert.False(t, old.unified())
	assert.Equal(t, 0, old.by["cpuacct"])
	assert.Equal(t, 2, old.processes(), "the freezer's")

	hybrid := fakeHost(t, "", hybridHost...)
	assert.True(t, hybrid.unified())
	assert.Equal(t, 0, hybrid.processes())
	assert.Equal(t, 1, hybrid.by["cpu"])
	assert.NotContains(t, hybrid.by, "pids")

	divided := fakeHost(t, "cpu io pids", hybridHost...)
	assert.Equal(t, 0, divided.by["pids"], "what the version 2 tree alone has")
	assert.Equal(t, 1, divided.by["cpu"], "what is mounted as version 1 stays there")

	pure := fakeHost(t, "cpu io memory pids", newHost...)
	assert.Equal(t, map[string]int{"cpu": 0, "io": 0, "memory": 0, "pids": 0}, pure.by)
}

func TestDetectionIgnores(t *testing.T) {
	found, err := parseMounts(strings.NewReader(`
30 1 0:30 / /a rw - cgroup none rw,memory
31 1 0:30 / /b rw - cgroup none rw,memory
32 1 0:31 / /c ro - cgroup none rw,cpu
33 1 0:32 / /d rw - cgroup2 none rw
34 1 0:32 / /e rw - cgroup2 none rw
35 1 0:33 / /f rw - cgroup none rw,xattr
`[1:]))
	require.NoError(t, err)
	var roots []string
	for _, h := range found {
		roots = append(roots, h.root)
	}
	assert.Equal(t, []string{"/a", "/d"}, roots)
}

func TestNoHierarchies(t *testing.T) {
	table := t.TempDir() + "/mountinfo"
	write(t, table, "20 1 8:1 / / rw - ext4 /dev/sda rw\n")
	_, err := New(Options{Mountinfo: table}, quiet())
	require.ErrorIs(t, err, fault.UnsupportedConfig)
	_, err = New(Options{Mountinfo: table + "x"}, quiet())
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = New(Options{Mountinfo: table, Base: "vlx"}, quiet())
	require.ErrorIs(t, err, fault.InvalidArgument)
}

func TestMountsInside(t *testing.T) {
	hybrid := fakeGroup(t, fakeHost(t, "", hybridHost...), nil)
	names := map[string][]string{}
	for _, mount := range hybrid.Mounts() {
		names[mount.Name] = mount.Links
	}
	assert.Equal(t, map[string][]string{
		"unified": nil, "cpu,cpuacct": {"cpu", "cpuacct"}, "memory": nil, "freezer": nil, "devices": nil, "systemd": nil,
	}, names)

	pure := fakeGroup(t, fakeHost(t, "cpu", newHost...), nil)
	assert.Equal(t, []ports.CgroupDir{{Path: pure.dirs[0]}}, pure.Mounts())
}

func TestCreateOnOldHost(t *testing.T) {
	c := fakeHost(t, "", oldHost...)
	made, err := c.Create(t.Context(), "/a/machine", "lxc-1-a")
	require.NoError(t, err)
	assert.Equal(t, "/a.partition/machine.partition/lxc-1-a.libvirt-lxc", made.Path())
	for _, h := range c.all {
		assert.DirExists(t, h.root+made.Path())
	}
	swept, err := c.Sweep(t.Context(), func(string) bool { return false })
	require.NoError(t, err)
	assert.Equal(t, []string{made.Path()}, swept)
}

func TestControllersAreEnabledOneByOne(t *testing.T) {
	c := fakeHost(t, "cpuset cpu io memory hugetlb pids", newHost...)
	control := c.all[0].root + "/machine/cgroup.subtree_control"
	write(t, control, "cpu io\n")
	_, err := c.Create(t.Context(), "/machine", "lxc-1-a")
	require.NoError(t, err)
	text, err := os.ReadFile(control)
	require.NoError(t, err)
	// A plain file keeps the last write over the first: the last one lacking.
	assert.Equal(t, "+pids", string(text[:5]))
	text, err = os.ReadFile(c.all[0].root + "/cgroup.subtree_control")
	require.NoError(t, err)
	assert.Contains(t, string(text), "+pids", "and in the parents")
}

func TestUsageFromFiles(t *testing.T) {
	pure := fakeGroup(t, fakeHost(t, "cpu memory pids", newHost...), map[string]string{
		"cgroup.events":  "populated 1\nfrozen 1\n",
		"memory.current": "4096\n", "memory.swap.current": "8192\n", "memory.events": "low 0\noom 3\noom_kill 2\n", "pids.current": "7\n",
	})
	write(t, pure.dirs[0]+"/cpu.stat", "usage_usec 12\nuser_usec 8\nsystem_usec 4\nnice_usec 1\n")
	u, err := pure.Usage(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "{12000 8000 4000 4096 8192 true 7 2 true true}", fmt.Sprint(u))

	old := fakeGroup(t, fakeHost(t, "", oldHost...), map[string]string{
		"cpuacct.usage": "123456789\n", "cpuacct.stat": "user 3\nsystem 4\n", "freezer.state": "FREEZING\n",
		"memory.usage_in_bytes": "4096\n", "memory.memsw.usage_in_bytes": "5096\n",
		"memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 9\n",
	})
	write(t, old.dirs[old.processes()]+"/cgroup.procs", "12\n")
	u, err = old.Usage(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "{123456789 30000000 40000000 4096 1000 true 0 9 false true}", fmt.Sprint(u))
	write(t, old.dirs[old.processes()]+"/cgroup.procs", "")
	u, err = old.Usage(t.Context())
	require.NoError(t, err)
	assert.False(t, u.Populated)
	write(t, old.dirs[old.processes()]+"/inside/cgroup.procs", "12\n")
	u, err = old.Usage(t.Context())
	require.NoError(t, err)
	assert.True(t, u.Populated, "in a group below")
	old.counters.close()
	_, err = old.Usage(t.Context())
	require.ErrorIs(t, err, fault.NotFound)
}

func TestFreezeOnOldHost(t *testing.T) {
	g := fakeGroup(t, fakeHost(t, "", oldHost...), map[string]string{"freezer.state": "THAWED"})
	require.NoError(t, g.Freeze(t.Context()))
	assert.Equal(t, "FROZEN", value(t, g.dirs[2]+"/freezer.state"))
	require.NoError(t, g.Thaw(t.Context()))
	assert.Equal(t, "THAWED", value(t, g.dirs[2]+"/freezer.state"))

	without := fakeGroup(t, fakeHost(t, "", oldHost[:2]...), nil)
	require.ErrorIs(t, without.Freeze(t.Context()), fault.UnsupportedConfig)
	require.ErrorIs(t, without.AllowDevices(t.Context(), nil), fault.UnsupportedConfig)
}
