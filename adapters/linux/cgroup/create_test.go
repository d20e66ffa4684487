package cgroup

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
)

func TestCreateMakesEveryHierarchy(t *testing.T) {
	c := realHost(t)
	g := create(t, c, "lxc-1-a")
	assert.Equal(t, c.base+"/machine/lxc-1-a.libvirt-lxc", g.Path())
	for _, dir := range g.dirs {
		assert.DirExists(t, dir)
	}
	if dir, version, ok := g.dir("cpuset"); ok && version == 1 {
		for _, file := range []string{"/cpuset.cpus", "/cpuset.mems"} {
			value, err := readValue(dir + file)
			require.NoError(t, err)
			assert.NotEmpty(t, value, file)
		}
	}
	opened, err := c.Open(within(t), g.Path())
	require.NoError(t, err)
	assert.Equal(t, g.Path(), opened.Path())
}

func TestCreateInCustomPartition(t *testing.T) {
	c := realHost(t)
	made, err := c.Create(within(t), "/web/front", "lxc-1-a")
	require.NoError(t, err)
	assert.Equal(t, c.base+"/web.partition/front.partition/lxc-1-a.libvirt-lxc", made.Path())
	require.NoError(t, made.Remove(within(t)))
}

func TestCreateReplacesOnlyWhatIsEmpty(t *testing.T) {
	c := realHost(t)
	g := create(t, c, "lxc-1-a")
	for _, dir := range g.dirs {
		require.NoError(t, os.Mkdir(dir+"/inside", 0o755))
	}
	_, err := c.Create(within(t), "/machine", "lxc-1-a")
	require.NoError(t, err)
	assert.NoDirExists(t, g.dirs[0]+"/inside")

	spawn(t, g, "read x")
	_, err = c.Create(within(t), "/machine", "lxc-1-a")
	require.ErrorIs(t, err, fault.Busy)
	for _, dir := range g.dirs {
		assert.DirExists(t, dir, "a refused creation must not take anything away")
	}
}

func TestOpenOfNothing(t *testing.T) {
	c := realHost(t)
	for _, where := range []string{c.base + "/machine/lxc-9-x.libvirt-lxc", "/", "", "/etc", c.base + "/../x"} {
		_, err := c.Open(within(t), where)
		require.ErrorIs(t, err, fault.NotFound, where)
	}
}

func TestSweep(t *testing.T) {
	c := realHost(t)
	kept, dead, busy := create(t, c, "lxc-1-kept"), create(t, c, "lxc-2-dead"), create(t, c, "lxc-3-busy")
	custom, err := c.Create(within(t), "/web", "lxc-4-dead")
	require.NoError(t, err)
	half := c.group(c.base + "/machine/lxc-5-half.libvirt-lxc")
	require.NoError(t, os.Mkdir(half.dirs[len(half.dirs)-1], 0o755))
	foreign := c.all[0].root + c.base + "/machine/foreign"
	require.NoError(t, os.Mkdir(foreign, 0o755))
	t.Cleanup(func() { _ = os.Remove(foreign) })
	p := spawn(t, busy, "read x")
	removed, err := c.Sweep(within(t), func(path string) bool { return path == kept.Path() })
	require.NoError(t, err)
	assert.Equal(t, []string{dead.Path(), half.Path(), custom.Path()}, removed)
	assert.DirExists(t, kept.dirs[0])
	assert.DirExists(t, busy.dirs[0])
	assert.DirExists(t, foreign)
	_ = p.in.Close()
	p.end()
}

func TestEntry(t *testing.T) {
	c := realHost(t)
	g := create(t, c, "lxc-1-a")
	unified, tasks, err := g.Entry()
	require.NoError(t, err)
	defer closeAll(unified, tasks)
	if unified == nil {
		t.Skip("no version 2 tree on this host")
	}
	cmd := exec.Command("/bin/cat", "/proc/self/cgroup")
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(unified.Fd())}
	out, err := cmd.Output()
	require.NoError(t, err)
	assert.Contains(t, string(out), "0::"+g.Path()+"\n")
	for i, mount := range g.Mounts() {
		assert.Equal(t, g.dirs[i], mount.Path)
		assert.DirExists(t, mount.Path)
	}
}

func TestControllersGroup(t *testing.T) {
	c := realHost(t)
	for range 2 {
		unified, tasks, err := c.ControllersGroup(within(t))
		require.NoError(t, err)
		closeAll(unified, tasks)
		assert.Len(t, tasks, len(c.all)-boolToInt(unified != nil))
	}
	for _, h := range c.all {
		assert.DirExists(t, h.root+c.base+"/machine/"+controllersName)
	}
	removed, err := c.Sweep(within(t), func(string) bool { return false })
	require.NoError(t, err)
	assert.Empty(t, removed)
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
