package cgroup

import (
	"os"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
)

func none(string) bool { return false }

// TestSweepGoesOn: one group that resists must not keep the others.
func TestSweepGoesOn(t *testing.T) {
	c := fakeHost(t, "", oldHost...)
	last := c.all[len(c.all)-1].root
	const bad, good = "/machine/lxc-1-a.libvirt-lxc", "/machine/lxc-2-b.libvirt-lxc"
	require.NoError(t, os.MkdirAll(last+bad+"/cgroup.procs", 0o755)) // cannot be read
	require.NoError(t, os.MkdirAll(last+good, 0o755))
	swept, err := c.Sweep(t.Context(), none)
	require.ErrorIs(t, err, unix.EISDIR)
	require.ErrorIs(t, err, fault.System)
	assert.ErrorContains(t, err, bad)
	assert.Equal(t, []string{good}, swept)
	assert.DirExists(t, last+bad)
	swept, err = c.Sweep(ended(t), none)
	require.ErrorIs(t, err, fault.Aborted)
	assert.Empty(t, swept)
}

// TestSweepLooksOnlyAtItsOwn: by name, in partitions, and below the base.
func TestSweepLooksOnlyAtItsOwn(t *testing.T) {
	everyLayout(t, func(t *testing.T, c *Cgroups) {
		root := c.all[0].root
		dead := []string{
			"/a.partition/b.partition/lxc-1-a.libvirt-lxc", "/lxc-2-b.libvirt-lxc", "/machine/lxc-3-c.libvirt-lxc",
			"/machine/x.partition/lxc-4-d.libvirt-lxc", "/user/lxc-5-e.libvirt-lxc",
		}
		alien := []string{
			"/foreign/lxc-6-f.libvirt-lxc", "/machine/foreign/lxc-7-g.libvirt-lxc", "/a.partition/machine/lxc-8-h.libvirt-lxc",
			"/machine/qemu-1-a.libvirt-qemu", "/machine.slice/other.scope/libvirt", `/machine.slice/machine-lxc\x2d9.scope/supervisor`,
			"/a.partition" + strings.Repeat("/x.partition", maxDepth+1) + "/lxc-10-deep.libvirt-lxc",
		}
		for _, where := range append(alien, dead...) {
			require.NoError(t, os.MkdirAll(root+where, 0o755))
		}
		swept, err := c.Sweep(t.Context(), none)
		require.NoError(t, err)
		assert.Equal(t, dead, swept)
		for _, where := range alien {
			assert.DirExists(t, root+where)
		}
		swept, err = c.Sweep(t.Context(), none)
		require.NoError(t, err)
		assert.Empty(t, swept, "once")
	})
}

// TestCloseTakesEmptyPartitionsOnly: what is in use by anybody stays, without an error.
func TestCloseTakesEmptyPartitionsOnly(t *testing.T) {
	for base, gone := range map[string][]string{
		"":       {"/machine/" + controllersName},
		"/vlx-1": {"/vlx-1/b.partition/c.partition", "/vlx-1/b.partition", "/vlx-1/machine.slice", "/vlx-1/machine/" + controllersName},
	} {
		c := fakeHost(t, "", oldHost...)
		c.base = base
		for _, h := range c.all {
			for _, dir := range append(gone, base+"/machine/lxc-1-a.libvirt-lxc", base+"/foreign", "/b.partition") {
				require.NoError(t, os.MkdirAll(h.root+dir, 0o755))
			}
		}
		for range 2 {
			require.NoError(t, c.Close(), "twice is fine")
		}
		for _, h := range c.all {
			for _, dir := range gone {
				assert.NoDirExists(t, h.root+dir)
			}
			for _, dir := range []string{base + "/machine/lxc-1-a.libvirt-lxc", base + "/foreign", "/b.partition"} {
				assert.DirExists(t, h.root+dir)
			}
		}
	}
}

// TestCloseTellsWhatItCannot: a partition that is no directory of the kernel's.
func TestCloseTellsWhatItCannot(t *testing.T) {
	needRoot(t)
	c := fakeHost(t, "", oldHost[:1]...)
	c.base = "/vlx-1"
	target := t.TempDir()
	require.NoError(t, os.Symlink(target, c.all[0].root+c.base))
	err := c.Close()
	require.ErrorIs(t, err, unix.ENOTDIR)
	assert.ErrorContains(t, err, c.base)
}

func TestRemoveTree(t *testing.T) {
	dir := t.TempDir() + "/group"
	require.NoError(t, removeTree(dir), "gone")
	require.NoError(t, os.MkdirAll(dir+"/a/b/c", 0o755))
	require.NoError(t, os.MkdirAll(dir+"/d", 0o755))
	require.NoError(t, removeTree(dir))
	assert.NoDirExists(t, dir)
	write(t, dir+"/a/file", "") // a group that is in use answers alike
	require.NoError(t, os.MkdirAll(dir+"/b", 0o755))
	err := removeTree(dir)
	require.True(t, inUse(err), "%v", err)
	assert.DirExists(t, dir+"/a")
	require.ErrorIs(t, removeTree(dir+"/a/file"), unix.ENOTDIR)
}

// TestRemoveTriesEveryHierarchy: one that fails must not keep the rest.
func TestRemoveTriesEveryHierarchy(t *testing.T) {
	g := fakeGroup(t, fakeHost(t, "", oldHost...), nil)
	require.NoError(t, os.Remove(g.dirs[1]))
	write(t, g.dirs[1], "") // no directory
	err := g.Remove(t.Context())
	require.ErrorIs(t, err, unix.ENOTDIR)
	assert.ErrorContains(t, err, g.dirs[1])
	for i, dir := range g.dirs {
		assert.Equal(t, i == 1, exists(dir), dir)
	}
	require.NoError(t, os.Remove(g.dirs[1]))
	require.NoError(t, g.Remove(t.Context()))
	require.NoError(t, g.Remove(ended(t)), "what is gone needs no time")
}

// TestRemoveOfWhatStaysBusy: nothing lives there, and still the kernel is not done.
func TestRemoveOfWhatStaysBusy(t *testing.T) {
	g := fakeGroup(t, fakeHost(t, "", oldHost...), nil)
	busy := g.dirs[2]
	write(t, busy+"/file", "")
	require.ErrorIs(t, g.Remove(ended(t)), fault.Aborted)
	removed := make(chan error, 1)
	go func() { removed <- g.Remove(within(t)) }()
	require.NoError(t, os.Remove(busy+"/file"))
	require.NoError(t, <-removed)
	assert.NoDirExists(t, busy)
}

// TestLeavesTheScopeOthersUse: Remove takes what is left of a unit where the service
// manager does not know it, and nothing else.
func TestLeavesTheScopeOthersUse(t *testing.T) {
	everyLayout(t, func(t *testing.T, c *Cgroups) {
		g := c.group(c.PathIn(testScope))
		for _, dir := range g.dirs {
			require.NoError(t, os.MkdirAll(dir, 0o755))
		}
		held := path.Dir(g.dirs[0]) + "/" + holderGroup
		require.NoError(t, os.Mkdir(held, 0o755))
		require.NoError(t, g.Remove(t.Context()))
		for i, dir := range g.dirs {
			assert.NoDirExists(t, dir)
			assert.Equal(t, i == 0, exists(path.Dir(dir)), dir)
		}
		assert.DirExists(t, held)
	})
}
