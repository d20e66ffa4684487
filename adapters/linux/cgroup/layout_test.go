package cgroup

import (
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
	"virtlxcd/domain/policy"
)

// everyLayout runs a test on each kind of host, with all controllers somewhere.
func everyLayout(t *testing.T, test func(t *testing.T, c *Cgroups)) {
	all := []fakeMount{{"cpuset", "cgroup", "rw,cpuset"}, {"pids", "cgroup", "rw,pids"}}
	for name, mounts := range map[string][]fakeMount{
		"old": append(slices.Clone(oldHost), all...), "hybrid": append(slices.Clone(hybridHost), all...), "new": newHost,
	} {
		t.Run(name, func(t *testing.T) { test(t, fakeHost(t, "cpuset cpu io memory pids", mounts...)) })
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	bare := []fakeMount{{"unified", "cgroup2", "rw"}, {"systemd", "cgroup", "rw,name=systemd"}}
	g := fakeGroup(t, fakeHost(t, "", bare...), nil)
	for controller, limits := range map[string]policy.Limits{
		"memory": {MemorySoft: ptr(uint64(1))}, "cpu": {CPUShares: ptr(uint64(2))}, "cpuset": {CPUSet: "0"}, "pids": {PIDs: ptr(uint64(1))},
	} {
		err := g.Apply(t.Context(), limits)
		require.ErrorIs(t, err, fault.UnsupportedConfig, controller)
		assert.ErrorContains(t, err, "'"+controller+"'")
	}
	require.NoError(t, g.Apply(t.Context(), policy.Limits{}), "nothing asked")
	require.NoError(t, g.Apply(t.Context(), policy.Limits{CPUQuota: ptr(int64(0))}), "leave it as it is")
	err := g.Freeze(t.Context())
	require.ErrorIs(t, err, fault.UnsupportedConfig, "a kernel before 5.2 has no cgroup.freeze")
	assert.ErrorContains(t, err, "'freezer'")
}

// TestAGroupIsEverywhereOrNowhere is Create by layout, and what names it.
func TestAGroupIsEverywhereOrNowhere(t *testing.T) {
	everyLayout(t, func(t *testing.T, c *Cgroups) {
		for i, h := range c.all {
			if i == c.by["cpuset"] && !h.unified {
				for _, dir := range []string{"", "/machine", "/machine/lxc-1-a.libvirt-lxc"} {
					write(t, h.root+dir+"/cpuset.cpus", "")
					write(t, h.root+dir+"/cpuset.mems", "")
					write(t, h.root+dir+"/cgroup.clone_children", "0")
				}
				write(t, h.root+"/cpuset.cpus", "0-3\n")
				write(t, h.root+"/cpuset.mems", "0\n")
				require.NoError(t, fillCpuset(h, h.root+"/machine/lxc-1-a.libvirt-lxc"))
				for _, dir := range []string{"/machine", "/machine/lxc-1-a.libvirt-lxc"} {
					assert.Equal(t, "0-3", value(t, h.root+dir+"/cpuset.cpus"), dir)
					assert.Equal(t, "0", value(t, h.root+dir+"/cpuset.mems"), dir)
				}
				require.NoError(t, c.inherit(i, h.root+"/machine"))
				assert.Equal(t, "1", value(t, h.root+"/machine/cgroup.clone_children"))
			}
		}
		where, err := c.PathOf("/machine", "lxc-1-b")
		require.NoError(t, err)
		_, err = c.Open(t.Context(), where)
		require.ErrorIs(t, err, fault.NotFound)
		for _, h := range c.all { // one directory alone makes it a leftover that can be opened
			require.NoError(t, os.MkdirAll(h.root+where, 0o755))
			g, err := c.Open(t.Context(), where)
			require.NoError(t, err)
			require.NoError(t, g.Remove(t.Context()))
			assert.NoDirExists(t, h.root+where)
		}
	})
}

// TestACpusetThatCannotBeFilled: a group in it could hold no process (ENOSPC).
func TestACpusetThatCannotBeFilled(t *testing.T) {
	c := fakeHost(t, "", append([]fakeMount{{"cpuset", "cgroup", "rw,cpuset"}}, oldHost...)...)
	_, err := c.Create(t.Context(), "/machine", "lxc-1-a") // no files at all
	require.ErrorIs(t, err, unix.ENOENT)
	require.ErrorIs(t, err, fault.System)
	for _, h := range c.all {
		assert.NoDirExists(t, h.root+"/machine/lxc-1-a.libvirt-lxc")
	}
}

func TestOldMemoryIsCountedByHierarchy(t *testing.T) {
	c := fakeHost(t, "", oldHost...)
	i := c.by["memory"]
	dir := c.all[i].root + "/machine"
	for before, after := range map[string]string{"0\n": "1", "1\n": "1"} {
		write(t, dir+"/memory.use_hierarchy", before)
		require.NoError(t, c.inherit(i, dir))
		assert.Equal(t, after, value(t, dir+"/memory.use_hierarchy"))
	}
	require.NoError(t, os.Remove(dir+"/memory.use_hierarchy"))
	require.NoError(t, c.inherit(i, dir), "newer kernels have no such file")
}

func TestUsageOfWhatIsGone(t *testing.T) {
	everyLayout(t, func(t *testing.T, c *Cgroups) {
		g := c.group("/machine/lxc-1-a.libvirt-lxc")
		for range 2 {
			_, err := g.Usage(t.Context())
			require.ErrorIs(t, err, fault.NotFound)
			assert.ErrorContains(t, err, g.Path())
		}
		g.counters.close()
		g.counters.close()
		_, err := g.Usage(t.Context())
		require.ErrorIs(t, err, fault.NotFound)
	})
}

// TestUsageOfWhatCannotBeRead: a counter that fails is not a counter of nothing, and
// nothing stays open.
func TestUsageOfWhatCannotBeRead(t *testing.T) {
	g := fakeGroup(t, fakeHost(t, "pids", newHost...), map[string]string{"cgroup.events": "populated 1\n"})
	require.NoError(t, os.Mkdir(g.dirs[0]+"/pids.current", 0o755))
	_, err := g.Usage(t.Context())
	require.ErrorIs(t, err, unix.EISDIR)
	require.ErrorIs(t, err, fault.System)
	assert.ErrorContains(t, err, g.short())
	g.counters.close()
	assert.Zero(t, g.counters.fds)
}

func TestControllersGroupByLayout(t *testing.T) {
	everyLayout(t, func(t *testing.T, c *Cgroups) {
		if i := c.by["cpuset"]; !c.all[i].unified {
			for _, dir := range []string{"", "/machine", "/machine/" + controllersName} {
				write(t, c.all[i].root+dir+"/cpuset.cpus", "0")
				write(t, c.all[i].root+dir+"/cpuset.mems", "0")
				write(t, c.all[i].root+dir+"/cgroup.clone_children", "0")
			}
		}
		for _, h := range c.all {
			if h.unified {
				write(t, h.root+"/machine/cgroup.subtree_control", "")
			} else {
				write(t, h.root+"/tasks", "")
				write(t, h.root+"/machine/"+controllersName+"/tasks", "")
			}
		}
		unified, tasks, err := c.ControllersGroup(t.Context())
		require.NoError(t, err)
		defer closeAll(unified, tasks)
		assert.Equal(t, c.unified(), unified != nil)
		assert.Len(t, tasks, len(c.all)-boolToInt(c.unified()))
		home, err := c.HomeTasks()
		require.NoError(t, err)
		defer closeAll(nil, home)
		assert.Len(t, home, len(tasks), "there is a way back from each")
		for i := range home {
			assert.Equal(t, path.Dir(home[i].Name()), strings.TrimSuffix(path.Dir(tasks[i].Name()), "/machine/"+controllersName), "of the same hierarchy")
		}
		_, _, err = c.ControllersGroup(ended(t))
		require.ErrorIs(t, err, fault.Aborted)
	})
}

func TestEntryIsWholeOrNothing(t *testing.T) {
	g := fakeGroup(t, fakeHost(t, "", hybridHost...), nil)
	for i := range g.all { // one more each time, and the last one is missing
		unified, tasks, err := g.Entry()
		require.ErrorIs(t, err, unix.ENOENT, "%d", i)
		assert.Nil(t, unified)
		assert.Nil(t, tasks)
		if !g.all[i].unified {
			write(t, g.dirs[i]+"/tasks", "")
		}
		if i == len(g.all)-2 {
			break
		}
	}
	write(t, g.dirs[len(g.dirs)-1]+"/tasks", "")
	unified, tasks, err := g.Entry()
	require.NoError(t, err)
	closeAll(unified, tasks)
}

// TestHomeWithoutATasksFile: what could be opened comes along with the error.
func TestHomeWithoutATasksFile(t *testing.T) {
	c := fakeHost(t, "", oldHost...)
	write(t, c.all[0].root+"/tasks", "")
	tasks, err := c.HomeTasks()
	require.ErrorIs(t, err, unix.ENOENT)
	assert.ErrorContains(t, err, c.all[1].root)
	assert.Len(t, tasks, 1)
	closeAll(nil, tasks)
	none, err := fakeHost(t, "", newHost...).HomeTasks()
	require.NoError(t, err)
	assert.Empty(t, none, "a version 2 host has none")
}

func TestControllersAreFoundByName(t *testing.T) {
	// cpuacct first: names and links are what containers see, whatever the order.
	c := fakeHost(t, "", fakeMount{"cpuacct", "cgroup", "rw,relatime,cpuacct"}, fakeMount{"net_cls,net_prio", "cgroup", "rw,net_cls,net_prio"},
		fakeMount{"elogind", "cgroup", "rw,xattr,release_agent=/x,name=elogind"})
	assert.Equal(t, map[string]int{"cpuacct": 0, "net_cls": 1, "net_prio": 1, "name=elogind": 2}, maps.Clone(c.by))
	assert.Equal(t, []string{"net_cls", "net_prio"}, c.all[1].links)
	assert.Empty(t, c.all[2].links, "the name of a named one is its directory's")
	assert.Equal(t, 0, c.processes(), "any will do without a freezer")
	_, _, ok := c.group("/x.libvirt-lxc").dir("memory")
	assert.False(t, ok)
}
