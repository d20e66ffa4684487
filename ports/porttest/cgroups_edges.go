package porttest

import (
	"context"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
	"virtlxcd/domain/policy"
	"virtlxcd/ports"
)

// cgroupEdges are the checks of what is rare: refusals, ends and crowds. They come with
// TestCgroups and use its harness.
var cgroupEdges = []check[CgroupsHarness]{
	{"makes what is above", cgroupParents},
	{"says where it makes groups", cgroupNamed},
	{"takes limits back", cgroupUnlimits},
	{"a refused limit changes nothing", cgroupRefusedLimit},
	{"limits to processors", cgroupCPUSet},
	{"is counted by many", cgroupCountedByMany},
	{"waits for the last process", cgroupRemoveAwaits},
	{"kills and signals in what is gone", cgroupGone},
	{"lets processes in", cgroupEntry},
	{"an ended context leaves nothing", cgroupEnded},
}

// cgroupParents: partitions nest ("/machine/customers/a"), and nobody makes them
// beforehand. With version 2 each of the parents has to enable its controllers for the
// next, which is found out when the group is used, not when it is made.
func cgroupParents(t *testing.T, h CgroupsHarness) {
	h.Partition = path.Join(h.Partition, "vlxsub", "vlxdeep")
	group := create(t, h, "vlxa")
	again, err := h.Cgroups.Open(soon(t), group.Path())
	require.NoError(t, err)
	assert.Equal(t, group.Path(), again.Path())
}

// cgroupNamed: the daemon writes the path into a status file before the group exists,
// so that a successor finds what a start has left behind that was cut short. A path
// that is told wrong leaves a group that nobody ever removes. To ask makes nothing, and
// two names never lead to one path. In a unit's group it is CgroupScopes.PathIn that
// tells.
func cgroupNamed(t *testing.T, h CgroupsHarness) {
	namer, ok := h.Cgroups.(ports.CgroupNamer)
	if !ok {
		t.Skip("its groups are at the partition's path, or only it knows")
	}
	before, err := namer.PathOf(h.Partition, "vlxa")
	require.NoError(t, err)
	_, err = h.Cgroups.Open(soon(t), before)
	assert.ErrorIs(t, err, fault.NotFound, "nothing is made")
	made := create(t, h, "vlxa").Path()
	if strings.Contains(made, ".scope/") {
		t.Skip("the group is in a unit: CgroupScopes says where")
	}
	assert.Equal(t, before, made)
	other, err := namer.PathOf(h.Partition, "vlxb")
	require.NoError(t, err)
	assert.NotEqual(t, before, other)
}

// cgroupUnlimits: clients take a quota back with -1. The period goes into the same file
// with version 2, so a port that writes "max" alone would reset it.
func cgroupUnlimits(t *testing.T, h CgroupsHarness) {
	need(t, h.Missing, "cpu")
	needHook(t, h.Limits != nil, "Limits")
	group := create(t, h, "vlxa")
	require.NoError(t, group.Apply(soon(t), policy.Limits{CPUPeriod: new(uint64(50000)), CPUQuota: new(int64(25000))}))
	require.Equal(t, new(int64(25000)), h.Limits(t, group).CPUQuota)
	require.NoError(t, group.Apply(soon(t), policy.Limits{CPUQuota: new(int64(-1))}))
	got := h.Limits(t, group)
	assert.Nil(t, got.CPUQuota, "negative is none")
	assert.Equal(t, new(uint64(50000)), got.CPUPeriod, "left alone")
}

// cgroupRefusedLimit: of several wishes one is such that no kernel takes it (a period
// is a millisecond at least, see admin-guide/cgroup-v2). Memory is another file than
// that of the period, so a port that stops at the first refusal may leave it changed.
// What is compared is all that Limits reads, before and after.
func cgroupRefusedLimit(t *testing.T, h CgroupsHarness) {
	need(t, h.Missing, "memory")
	need(t, h.Missing, "cpu")
	needHook(t, h.Limits != nil, "Limits")
	group := create(t, h, "vlxa")
	require.NoError(t, group.Apply(soon(t), policy.Limits{
		MemoryHard: new(uint64(65536)), CPUShares: new(uint64(1024)), CPUPeriod: new(uint64(50000)), CPUQuota: new(int64(25000)),
	}))
	before := h.Limits(t, group)
	require.Error(t, group.Apply(soon(t), policy.Limits{
		MemoryHard: new(uint64(131072)), CPUShares: new(uint64(2048)), CPUPeriod: new(uint64(1)), CPUQuota: new(int64(30000)),
	}))
	assert.Equal(t, before, h.Limits(t, group))
}

// cgroupCPUSet: processor 0 is on every host. It is applied twice, as all limits are; a
// list that is none must be refused by whoever notices.
func cgroupCPUSet(t *testing.T, h CgroupsHarness) {
	need(t, h.Missing, "cpuset")
	group := create(t, h, "vlxa")
	require.NoError(t, group.Apply(soon(t), policy.Limits{CPUSet: "0"}))
	require.NoError(t, group.Apply(soon(t), policy.Limits{CPUSet: "0"}))
	assert.Error(t, group.Apply(soon(t), policy.Limits{CPUSet: "no list"}))
}

// cgroupCountedByMany: Usage needs no job, so it meets everything. Groups are filled
// and killed meanwhile. Found are counters that are read without a lock and processes
// that vanish between two reads, which must not be an error.
func cgroupCountedByMany(t *testing.T, h CgroupsHarness) {
	group := create(t, h, "vlxa")
	ctx, enough := context.WithCancel(soon(t))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				if _, err := group.Usage(context.WithoutCancel(ctx)); !assert.NoError(t, err) {
					return
				}
			}
		})
	}
	for range 3 {
		child := h.Spawn(t, group)
		assert.NoError(t, group.Signal(soon(t), 0))
		assert.NoError(t, group.Kill(soon(t)))
		awaitClosed(t, child.Ended, "killed")
	}
	enough()
	all.Wait()
	assert.False(t, used(t, group).Populated)
}

// cgroupRemoveAwaits: the last process of a group is gone a moment after it was killed,
// when it has been reaped. Remove is called at once, in the job that stops a container,
// so it must wait for that instead of reporting a group that is busy. The group must be
// gone when the call returns, as links and names are free from then on.
func cgroupRemoveAwaits(t *testing.T, h CgroupsHarness) {
	group := create(t, h, "vlxa")
	child := h.Spawn(t, group)
	ctx, removed := soon(t), make(chan error, 1)
	go func() { removed <- group.Remove(ctx) }()
	stillOpen(t, child.Ended, "removing killed the process")
	child.End()
	require.NoError(t, <-removed)
	_, err := h.Cgroups.Open(soon(t), group.Path())
	assert.ErrorIs(t, err, fault.NotFound)
}

// cgroupGone: there are no processes in what is gone. A container that ended by itself
// may be destroyed at the same time. Only what has an effect to show may fail.
func cgroupGone(t *testing.T, h CgroupsHarness) {
	group := create(t, h, "vlxa")
	require.NoError(t, group.Remove(soon(t)))
	assert.NoError(t, group.Kill(soon(t)))
	assert.NoError(t, group.Signal(soon(t), 15))
	assert.Error(t, group.Apply(soon(t), policy.Limits{MemoryHard: new(uint64(65536))}), "there is nothing to limit")
}

// cgroupEntry: a real group hands out its directories, afresh each time. It is handed
// out for each start, and each of the descriptors is the caller's: one that is shared
// would be closed under somebody else. What the container sees below /sys/fs/cgroup has
// one directory for each name.
func cgroupEntry(t *testing.T, h CgroupsHarness) {
	entry, ok := create(t, h, "vlxa").(ports.CgroupEntry)
	if !ok {
		t.Skip("it holds no real processes")
	}
	for range 2 {
		unified, tasks, err := entry.Entry()
		require.NoError(t, err)
		assert.True(t, unified != nil || len(tasks) > 0, "there is a way in")
		for _, file := range append(slices.Clone(tasks), unified) {
			if file != nil {
				assert.NoError(t, file.Close(), "the caller's to close")
			}
		}
	}
	seen := map[string]bool{}
	for _, dir := range entry.Mounts() {
		assert.False(t, seen[dir.Name], "%q is there twice", dir.Name)
		seen[dir.Name] = true
		assert.True(t, path.IsAbs(dir.Path), "%q is on the host", dir.Path)
	}
	assert.NotEmpty(t, seen)
}

// cgroupEnded: either the group was not made, and then nothing is left of it, or it was
// made and is the caller's to remove. A freeze that was given up is undone: a container
// that is frozen while its state says that it runs could not be resumed.
func cgroupEnded(t *testing.T, h CgroupsHarness) {
	made, err := h.Cgroups.Create(over(), h.Partition, "vlxover")
	if refused(t, err) {
		assert.Nil(t, made)
		swept, err := h.Cgroups.Sweep(soon(t), func(string) bool { return false })
		require.NoError(t, err)
		assert.Empty(t, swept, "something was made")
	} else {
		require.NoError(t, made.Remove(soon(t)))
	}
	if slices.Contains(h.Missing, "freezer") {
		return
	}
	group := create(t, h, "vlxa")
	h.Spawn(t, group)
	if refused(t, group.Freeze(over())) {
		assert.False(t, used(t, group).Frozen, "a freeze that failed thaws again")
	}
}
