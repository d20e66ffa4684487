package porttest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
	"virtlxcd/domain/policy"
	"virtlxcd/domain/usage"
	"virtlxcd/ports"
)

// CgroupsHarness is one host's control groups. Features that Missing may name:
// "memory", "swap", "cpu", "cpuset", "pids", "freezer", "devices". A feature is missing
// when the kernel has no such controller, or when it is not delegated to where the
// groups are made. "swap" is apart from "memory", as a kernel may account for memory
// alone; "freezer" and "devices" are features of every version 2 hierarchy, while
// version 1 has a controller for each.
type CgroupsHarness struct {
	Cgroups ports.Cgroups
	// Partition is for this check alone ("/vlxtest-..."): Sweep looks there.
	Partition string
	// Spawn starts a process inside the group that sleeps, and ends when it has handled
	// SIGTERM. It must have a handler: what a signal does by default the kernel may do
	// to the frozen, too. Spawn returns when the handler is in place, since a signal
	// that comes before it ends the process by default.
	Spawn func(t *testing.T, group ports.Cgroup) Child
	// Limits reads back what the kernel has; what is unlimited is nil. It reads the
	// files and does not ask the port, which has no way to read limits: so a wish that
	// was accepted and never written is found. May be nil.
	Limits func(t *testing.T, group ports.Cgroup) policy.Limits

	Missing []string
}

// TestCgroups checks a Cgroups and the groups it makes. Groups come in both versions of
// the kernel's interface, on some hosts in a mixture: the checks say what is the same
// in all of them (admin-guide/cgroup-v1, cgroup-v2).
func TestCgroups(t *testing.T, build func(t *testing.T) CgroupsHarness) {
	run(t, build, slices.Concat([]check[CgroupsHarness]{
		{"creates and opens", cgroupOpens},
		{"does not open what is not there", cgroupOpenMissing},
		{"replaces an empty leftover", cgroupLeftover},
		{"refuses a leftover that lives", cgroupLivingLeftover},
		{"counts", cgroupUsage},
		{"limits memory", cgroupMemory},
		{"limits swap", cgroupSwap},
		{"limits cpu", cgroupCPU},
		{"limits processes", cgroupPIDs},
		{"takes wishes one at a time", cgroupPartialWishes},
		{"takes device lists", cgroupDevices},
		{"freezes and thaws", cgroupFreezes},
		{"signals", cgroupSignals},
		{"kills", cgroupKills},
		{"kills what is frozen", cgroupKillsFrozen},
		{"removes once or twice", cgroupRemoves},
		{"does not remove what lives", cgroupRemoveWaits},
		{"sweeps", cgroupSweeps},
	}, cgroupEdges))
}

// create makes a group that is killed and removed with the check, however it ends. It
// is killed first since what lives in it keeps it from being removed. Both are fine for
// a group that the check has removed, so checks need not say whether they did.
func create(t *testing.T, h CgroupsHarness, name string) ports.Cgroup {
	t.Helper()
	group, err := h.Cgroups.Create(soon(t), h.Partition, name)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		assert.NoError(t, group.Kill(ctx))
		assert.NoError(t, group.Remove(ctx))
	})
	return group
}

// used reads counters, which works at any time. It asks the port itself; that a process
// has ended is seen by Child.Ended as well.
func used(t *testing.T, group ports.Cgroup) usage.Usage {
	t.Helper()
	usage, err := group.Usage(soon(t))
	require.NoError(t, err)
	return usage
}

// cgroupOpens: the path is all that a status file keeps, so a daemon that was started
// anew must come to the same group by it, not merely to one that answers.
func cgroupOpens(t *testing.T, h CgroupsHarness) {
	group := create(t, h, "vlxa")
	require.NotEmpty(t, group.Path())
	again, err := h.Cgroups.Open(soon(t), group.Path())
	require.NoError(t, err)
	assert.Equal(t, group.Path(), again.Path())

	h.Spawn(t, group)
	assert.True(t, used(t, again).Populated, "both are the same group")
}

// cgroupOpenMissing: both a group that never was and one that was removed. A daemon
// learns in this way that a container ended while it was away; an open that makes the
// group, or does not look, would have it adopt nothing.
func cgroupOpenMissing(t *testing.T, h CgroupsHarness) {
	group := create(t, h, "vlxa")
	_, err := h.Cgroups.Open(soon(t), group.Path()+"x")
	assert.ErrorIs(t, err, fault.NotFound)
	require.NoError(t, group.Remove(soon(t)))
	_, err = h.Cgroups.Open(soon(t), group.Path())
	assert.ErrorIs(t, err, fault.NotFound)
}

// cgroupLeftover: a daemon that was killed leaves groups in which nothing lives. The
// next container of the name must not inherit the limits, which is what happens when a
// directory that exists is taken as it is.
func cgroupLeftover(t *testing.T, h CgroupsHarness) {
	leftover := create(t, h, "vlxa")
	limited := h.Limits != nil && !slices.Contains(h.Missing, "memory")
	if limited {
		require.NoError(t, leftover.Apply(soon(t), policy.Limits{MemoryHard: new(uint64(65536))}))
	}
	group := create(t, h, "vlxa")
	assert.Equal(t, leftover.Path(), group.Path())
	assert.False(t, used(t, group).Populated)
	if limited {
		assert.Nil(t, h.Limits(t, group).MemoryHard, "a new group has no limits")
	}
}

// cgroupLivingLeftover: whoever lives in a group of that name may be a container that
// this daemon does not know. It is neither joined nor killed.
func cgroupLivingLeftover(t *testing.T, h CgroupsHarness) {
	group := create(t, h, "vlxa")
	child := h.Spawn(t, group)
	_, err := h.Cgroups.Create(soon(t), h.Partition, "vlxa")
	assert.ErrorIs(t, err, fault.Busy)
	stillOpen(t, child.Ended, "the process that lives there was killed")
	assert.True(t, used(t, group).Populated)
}

// cgroupUsage: counters are read before, while and after something lives in the group.
// What was used stays counted when the process has gone: processor time that falls back
// would look like a restart to those who watch it.
func cgroupUsage(t *testing.T, h CgroupsHarness) {
	group := create(t, h, "vlxa")
	before := used(t, group)
	assert.False(t, before.Populated)
	assert.False(t, before.Frozen)

	child := h.Spawn(t, group)
	during := used(t, group)
	assert.True(t, during.Populated)
	if !slices.Contains(h.Missing, "memory") {
		assert.NotZero(t, during.Memory)
	}
	if !slices.Contains(h.Missing, "pids") {
		assert.NotZero(t, during.PIDs)
	}
	child.End()
	after := used(t, group)
	assert.False(t, after.Populated)
	assert.GreaterOrEqual(t, after.CPU, during.CPU)
}

// readBack applies twice, which must be the same as once. What is returned is the
// kernel's word, not the port's.
func readBack(t *testing.T, h CgroupsHarness, wish policy.Limits) policy.Limits {
	t.Helper()
	needHook(t, h.Limits != nil, "Limits")
	group := create(t, h, "vlxa")
	require.NoError(t, group.Apply(soon(t), wish))
	require.NoError(t, group.Apply(soon(t), wish))
	return h.Limits(t, group)
}

// cgroupMemory: limits are in KiB, files in bytes. Both sizes are whole pages on any
// machine, as the kernel rounds down to pages.
func cgroupMemory(t *testing.T, h CgroupsHarness) {
	need(t, h.Missing, "memory")
	got := readBack(t, h, policy.Limits{MemoryHard: new(uint64(65536)), MemorySoft: new(uint64(32768))})
	assert.Equal(t, new(uint64(65536)), got.MemoryHard)
	assert.Equal(t, new(uint64(32768)), got.MemorySoft)
}

// cgroupSwap: the limit is of memory and swap together, as clients say it. Version 1
// has it so (memory.memsw) and refuses to let it fall below that of memory, so the
// order of the two writes depends on the direction; version 2 limits swap alone, so a
// port that forgets to subtract sets twice as much.
func cgroupSwap(t *testing.T, h CgroupsHarness) {
	need(t, h.Missing, "memory")
	need(t, h.Missing, "swap")
	needHook(t, h.Limits != nil, "Limits")
	group := create(t, h, "vlxa")
	sizes := []uint64{131072, 65536, 262144} // shrink and grow: the order of writes differs
	for _, size := range sizes {
		require.NoError(t, group.Apply(soon(t), policy.Limits{MemoryHard: new(size), SwapHard: new(2 * size)}))
		got := h.Limits(t, group)
		assert.Equal(t, new(size), got.MemoryHard)
		assert.Equal(t, new(2*size), got.SwapHard, "memory plus swap")
	}
}

// cgroupCPU: the quota is time per period, both in microseconds. Version 2 has both in
// one file (cpu.max) and a weight instead of shares, so what is read back shows that
// the conversion has an inverse at the default of 1024.
func cgroupCPU(t *testing.T, h CgroupsHarness) {
	need(t, h.Missing, "cpu")
	got := readBack(t, h, policy.Limits{CPUPeriod: new(uint64(50000)), CPUQuota: new(int64(25000)), CPUShares: new(uint64(1024))})
	assert.Equal(t, new(uint64(50000)), got.CPUPeriod)
	assert.Equal(t, new(int64(25000)), got.CPUQuota)
	assert.Equal(t, new(uint64(1024)), got.CPUShares)
}

// cgroupPIDs: the number is one that no default has.
func cgroupPIDs(t *testing.T, h CgroupsHarness) {
	need(t, h.Missing, "pids")
	assert.Equal(t, new(uint64(77)), readBack(t, h, policy.Limits{PIDs: new(uint64(77))}).PIDs)
}

// cgroupPartialWishes: a client changes one limit at a time, so what is not wished for
// stays, and no wish at all does nothing. A port that writes every file would set the
// others to what nobody asked for. The largest size stands for none, and is read back
// as none.
func cgroupPartialWishes(t *testing.T, h CgroupsHarness) {
	need(t, h.Missing, "memory")
	needHook(t, h.Limits != nil, "Limits")
	group := create(t, h, "vlxa")
	require.NoError(t, group.Apply(soon(t), policy.Limits{}))
	require.NoError(t, group.Apply(soon(t), policy.Limits{MemoryHard: new(uint64(65536))}))
	require.NoError(t, group.Apply(soon(t), policy.Limits{MemorySoft: new(uint64(32768))}))
	got := h.Limits(t, group)
	assert.Equal(t, new(uint64(65536)), got.MemoryHard, "left alone")
	assert.Equal(t, new(uint64(32768)), got.MemorySoft)

	unlimited := policy.Unlimited
	require.NoError(t, group.Apply(soon(t), policy.Limits{MemoryHard: &unlimited}))
	assert.Nil(t, h.Limits(t, group).MemoryHard)
}

// cgroupDevices: a list replaces the one before it, also by none. With version 2 each
// is a program (bpf(2)): attaching the next without removing the last would add up, and
// the kernel takes 64 programs at most.
func cgroupDevices(t *testing.T, h CgroupsHarness) {
	need(t, h.Missing, "devices")
	group := create(t, h, "vlxa")
	rules := policy.DefaultDevices()
	require.NoError(t, group.AllowDevices(soon(t), rules))
	require.NoError(t, group.AllowDevices(soon(t), append(rules, policy.MakeAnyNode()...)))
	require.NoError(t, group.AllowDevices(soon(t), nil))
}

// cgroupFreezes: freezing twice and thawing what runs are fine. The signal must be
// kept, not lost, so the process has to be silent for a moment and then end by its
// handler, without being sent another.
func cgroupFreezes(t *testing.T, h CgroupsHarness) {
	need(t, h.Missing, "freezer")
	group := create(t, h, "vlxa")
	child := h.Spawn(t, group)
	require.NoError(t, group.Thaw(soon(t)), "thawing what runs does nothing")
	for range 2 {
		require.NoError(t, group.Freeze(soon(t)))
		assert.True(t, used(t, group).Frozen)
	}
	require.NoError(t, group.Signal(soon(t), 15))
	select {
	case <-child.Ended:
		assert.Fail(t, "a frozen process reacted")
	case <-time.After(moment):
	}
	require.NoError(t, group.Thaw(soon(t)))
	assert.False(t, used(t, group).Frozen)
	awaitClosed(t, child.Ended, "the signal is delivered after the thaw")
}

// cgroupSignals: two processes, since a port that reads the list of processes only in
// part would still reach one.
func cgroupSignals(t *testing.T, h CgroupsHarness) {
	group := create(t, h, "vlxa")
	require.NoError(t, group.Signal(soon(t), 15), "an empty group is fine")
	first, second := h.Spawn(t, group), h.Spawn(t, group)
	require.NoError(t, group.Signal(soon(t), 15))
	awaitClosed(t, first.Ended, "end of the first process")
	awaitClosed(t, second.Ended, "end of the second process")
}

// cgroupKills: the group is empty when the call returns, not a while after. Removing it
// and the end of the container's links depend on that.
func cgroupKills(t *testing.T, h CgroupsHarness) {
	group := create(t, h, "vlxa")
	require.NoError(t, group.Kill(soon(t)), "an empty group is fine")
	first, second := h.Spawn(t, group), h.Spawn(t, group)
	require.NoError(t, group.Kill(soon(t)))
	assert.False(t, used(t, group).Populated, "none is left when Kill returns")
	awaitClosed(t, first.Ended, "end of the first process")
	awaitClosed(t, second.Ended, "end of the second process")
	require.NoError(t, group.Kill(soon(t)))
}

// cgroupKillsFrozen: with version 1 a frozen process does not die of SIGKILL before it
// is thawed, so a port that sends it and waits would wait for ever.
func cgroupKillsFrozen(t *testing.T, h CgroupsHarness) {
	need(t, h.Missing, "freezer")
	group := create(t, h, "vlxa")
	child := h.Spawn(t, group)
	require.NoError(t, group.Freeze(soon(t)))
	require.NoError(t, group.Kill(soon(t)))
	awaitClosed(t, child.Ended, "end of the frozen process")
	assert.False(t, used(t, group).Populated)
	require.NoError(t, group.Remove(soon(t)))
}

// cgroupRemoves: two parties may clean up after the same container, the daemon's job
// and the next daemon. The second finds nothing and must not fail.
func cgroupRemoves(t *testing.T, h CgroupsHarness) {
	group := create(t, h, "vlxa")
	child := h.Spawn(t, group)
	child.End()
	require.NoError(t, group.Remove(soon(t)))
	require.NoError(t, group.Remove(soon(t)), "removing what is gone is fine")
	_, err := h.Cgroups.Open(soon(t), group.Path())
	assert.ErrorIs(t, err, fault.NotFound)
}

// cgroupRemoveWaits: to remove is not to kill. The wait ends with the context, and the
// group is as it was.
func cgroupRemoveWaits(t *testing.T, h CgroupsHarness) {
	group := create(t, h, "vlxa")
	child := h.Spawn(t, group)
	ctx, cancel := context.WithTimeout(context.Background(), moment)
	defer cancel()
	assert.Error(t, group.Remove(ctx))
	stillOpen(t, child.Ended, "removing killed the process")
	assert.True(t, used(t, group).Populated)
}

// cgroupSweeps: of three groups one is empty, one is empty but known, one is unknown
// but lives. Only the first may go, and its path is returned once.
func cgroupSweeps(t *testing.T, h CgroupsHarness) {
	empty, known, alive := create(t, h, "vlxempty"), create(t, h, "vlxknown"), create(t, h, "vlxalive")
	h.Spawn(t, alive)
	keep := func(path string) bool { return path == known.Path() }
	removed, err := h.Cgroups.Sweep(soon(t), keep)
	require.NoError(t, err)
	assert.Contains(t, removed, empty.Path())
	assert.NotContains(t, removed, known.Path())
	assert.NotContains(t, removed, alive.Path())

	_, err = h.Cgroups.Open(soon(t), empty.Path())
	assert.ErrorIs(t, err, fault.NotFound)
	for _, group := range []ports.Cgroup{known, alive} {
		_, err = h.Cgroups.Open(soon(t), group.Path())
		assert.NoError(t, err)
	}
	removed, err = h.Cgroups.Sweep(soon(t), keep)
	require.NoError(t, err)
	assert.NotContains(t, removed, empty.Path(), "swept once")
}
