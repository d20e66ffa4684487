package cgroup

import (
	"context"
	"fmt"
	"os"
	"path"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/containerd/cgroups/v3/cgroup2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
	"virtlxcd/ports"
	"virtlxcd/ports/porttest"
)

const testScope = `/machine.slice/machine-vlx.slice/machine-lxc\x2d1\x2da.scope`

func TestCreateInScope(t *testing.T) {
	c := realHost(t)
	u := startUnit(t, c, testScope)
	g := createIn(t, c, u)
	assert.Equal(t, c.base+testScope+"/libvirt", g.Path())
	assert.Equal(t, g.Path(), c.PathIn(testScope))
	assert.Equal(t, `machine-lxc\x2d1\x2da.scope`, g.short())
	for i, h := range c.all {
		assert.DirExists(t, g.dirs[i])
		_, aside := os.Stat(path.Dir(g.dirs[i]) + "/supervisor")
		assert.Equal(t, managedBy(h), aside == nil, h.root)
		if managedBy(h) {
			pids, err := own(path.Dir(g.dirs[i]) + "/supervisor")
			require.NoError(t, err)
			assert.Equal(t, []int{u.pid()}, pids, h.root)
		}
	}
	again, err := c.Open(t.Context(), g.Path())
	require.NoError(t, err)
	assert.Equal(t, g.Path(), again.Path())

	p := spawn(t, g, "echo hello; read x")
	require.Equal(t, "hello\n", p.line(t))
	requireInside(t, c, p.Process.Pid, c.PathIn(testScope))
	_, err = c.CreateIn(t.Context(), testScope, u.pid())
	require.ErrorIs(t, err, fault.Busy)
	require.NoError(t, g.Apply(t.Context(), limitsFor(c)))
	used, err := g.Usage(t.Context())
	require.NoError(t, err)
	assert.True(t, used.Populated)
}

func TestRemoveLeavesTheManagersPart(t *testing.T) {
	c := realHost(t)
	u := startUnit(t, c, testScope)
	g := createIn(t, c, u)
	p := spawn(t, g, "read x")
	require.NoError(t, g.Kill(within(t)))
	p.end()
	require.NoError(t, g.Remove(within(t)))
	for i, h := range c.all {
		assert.NoDirExists(t, g.dirs[i])
		scope := path.Dir(g.dirs[i])
		if managedBy(h) {
			assert.DirExists(t, scope+"/supervisor")
		} else {
			assert.NoDirExists(t, scope)
		}
	}
	assert.NoError(t, u.holder.Process.Signal(syscall.Signal(0)), "the holder lives")
	require.NoError(t, g.Remove(within(t)), "what is gone")
	_, err := c.CreateIn(within(t), testScope, u.pid())
	require.NoError(t, err, "the holder is aside already")
	require.NoError(t, g.Remove(within(t)))
}

// A daemon killed while it removes a group leaves a scope without one.
func TestOpenFindsWhatIsLeftOfAScope(t *testing.T) {
	c := realHost(t)
	u := startUnit(t, c, testScope)
	g := createIn(t, c, u)
	for _, dir := range g.dirs {
		require.NoError(t, removeTree(dir))
	}
	again, err := c.Open(t.Context(), g.Path())
	require.NoError(t, err)
	require.NoError(t, again.Kill(within(t)))
	require.NoError(t, again.Remove(within(t)))
	for i, h := range c.all {
		assert.Equal(t, managedBy(h), exists(path.Dir(g.dirs[i])), h.root)
	}
	u.end(t)
	_, err = c.Open(t.Context(), g.Path())
	require.ErrorIs(t, err, fault.NotFound)
}

func TestCreateInRefuses(t *testing.T) {
	c := realHost(t)
	u := startUnit(t, c, testScope)
	for _, bad := range []string{"", "/", "machine.slice/a.scope", "/machine.slice", "/a/../b.scope", "/a\n.scope"} {
		_, err := c.CreateIn(t.Context(), bad, u.pid())
		require.ErrorIs(t, err, fault.InvalidArgument, "%q", bad)
	}
	_, err := c.CreateIn(t.Context(), testScope, os.Getpid())
	require.ErrorIs(t, err, fault.NotFound, "not in there")
	_, err = c.CreateIn(t.Context(), "/vlx.slice/other.scope", u.pid())
	require.ErrorIs(t, err, fault.NotFound)
	assert.NoDirExists(t, c.all[0].root+c.base+"/vlx.slice")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.CreateIn(gone, testScope, u.pid())
	require.ErrorIs(t, err, fault.Aborted)
}

func TestSweepScopes(t *testing.T) {
	c := realHost(t)
	u := startUnit(t, c, testScope)
	g := createIn(t, c, u)
	other := startUnit(t, c, `/vlx.slice/run-lxc.scope`) // not a container's
	removeNothing := func(keep bool, why string) {
		swept, err := c.Sweep(within(t), func(string) bool { return keep })
		require.NoError(t, err)
		assert.Empty(t, swept, why)
		assert.DirExists(t, g.dirs[0])
	}
	removeNothing(false, "the holder lives")
	require.NoError(t, u.holder.Process.Kill())
	_ = u.holder.Wait()
	removeNothing(true, "it is known")
	swept, err := c.Sweep(within(t), func(string) bool { return false })
	require.NoError(t, err)
	assert.Equal(t, []string{g.Path()}, swept)
	for _, dir := range g.dirs {
		assert.NoDirExists(t, path.Dir(dir))
	}
	for _, dir := range other.managed {
		assert.DirExists(t, dir)
	}
}

// A container that outlived its controller is not swept either.
func TestSweepSparesContainers(t *testing.T) {
	c := realHost(t)
	u := startUnit(t, c, testScope)
	g := createIn(t, c, u)
	p := spawn(t, g, "read x")
	require.NoError(t, u.holder.Process.Kill())
	_ = u.holder.Wait()
	swept, err := c.Sweep(within(t), func(string) bool { return false })
	require.NoError(t, err)
	assert.Empty(t, swept)
	require.NoError(t, g.Kill(within(t)))
	p.end()
}

func TestSweepScopesByLayout(t *testing.T) {
	for name, mounts := range map[string][]fakeMount{"old": oldHost, "hybrid": hybridHost, "new": newHost} {
		t.Run(name, func(t *testing.T) {
			c := fakeHost(t, "cpu memory pids", mounts...)
			last := c.all[len(c.all)-1].root
			dead, living, foreign := testScope, `/machine.slice/machine-lxc\x2d2\x2db.scope`, `/machine.slice/machine-qemu\x2d2\x2db.scope`
			write(t, last+dead+"/libvirt/x/cgroup.procs", "")
			require.NoError(t, os.Remove(last+dead+"/libvirt/x/cgroup.procs"))
			write(t, c.all[0].root+living+"/libvirt/cgroup.procs", "")
			write(t, last+living+"/supervisor/cgroup.procs", "77\n")
			write(t, last+foreign+"/libvirt/cgroup.procs", "")
			swept, err := c.Sweep(t.Context(), func(string) bool { return false })
			require.NoError(t, err)
			assert.Equal(t, []string{dead + "/libvirt"}, swept)
			assert.NoDirExists(t, last+dead)
			assert.DirExists(t, last+living)
			assert.DirExists(t, last+foreign)
		})
	}
}

func TestWeight(t *testing.T) {
	value, unified := fakeHost(t, "cpu", newHost...).Weight(1024)
	assert.True(t, unified)
	assert.Equal(t, cgroup2.ConvertCPUSharesToCgroupV2Value(1024), value)
	value, unified = fakeHost(t, "cpu", hybridHost...).Weight(1024)
	assert.False(t, unified)
	assert.EqualValues(t, 1024, value)
}

// inScopes makes the groups of the contract inside units.
type inScopes struct {
	*Cgroups
	t     *testing.T
	next  *atomic.Int64
	units map[string]*unit // by name
}

func (c inScopes) Create(ctx context.Context, _, name string) (ports.Cgroup, error) {
	u := c.units[name]
	if u == nil {
		u = startUnit(c.t, c.Cgroups, fmt.Sprintf(`/vlx.slice/machine-lxc\x2d%d.scope`, c.next.Add(1)))
		c.units[name] = u
	}
	return c.CreateIn(ctx, u.scope, u.pid())
}

// Sweep finds who held them gone: as long as they live nothing is swept.
func (c inScopes) Sweep(ctx context.Context, keep func(string) bool) ([]string, error) {
	for _, u := range c.units {
		_ = u.holder.Process.Kill()
		_ = u.holder.Wait()
	}
	return c.Cgroups.Sweep(ctx, keep)
}

func TestContractInScopes(t *testing.T) {
	porttest.TestCgroups(t, func(t *testing.T) porttest.CgroupsHarness {
		c := realHost(t)
		h := porttest.CgroupsHarness{
			Cgroups:   inScopes{c, t, new(atomic.Int64), map[string]*unit{}},
			Partition: "/vlxtest", Spawn: sleeper, Limits: limitsOf,
		}
		for _, controller := range []string{"memory", "cpu", "cpuset", "pids"} {
			if _, ok := c.by[controller]; !ok {
				h.Missing = append(h.Missing, controller)
			}
		}
		return h
	})
}
