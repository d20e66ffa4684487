package cgroup

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
	"virtlxcd/domain/policy"
)

func TestUsage(t *testing.T) {
	c := realHost(t)
	g := create(t, c, "lxc-1-a")
	u, err := g.Usage(within(t))
	require.NoError(t, err)
	assert.False(t, u.Populated)
	assert.False(t, u.Frozen)
	p := spawn(t, g, `i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo done; read y`)
	require.Equal(t, "done\n", p.line(t))
	u, err = g.Usage(within(t))
	require.NoError(t, err)
	assert.True(t, u.Populated)
	assert.Greater(t, u.CPU, uint64(1_000_000))
	assert.Greater(t, u.CPUUser, uint64(0))
	assert.Greater(t, u.Memory, uint64(0))
	assert.Equal(t, uint64(1), u.PIDs)
	assert.Less(t, u.CPU, uint64(100*time.Second))
}

func TestUsageCountsKillsForMemory(t *testing.T) {
	c := realHost(t)
	g := create(t, c, "lxc-1-a")
	require.NoError(t, g.Apply(within(t), policy.Limits{MemoryHard: ptr(uint64(16 << 10)), SwapHard: ptr(uint64(16 << 10))}))
	p := spawn(t, g, `head -c 90000000 /dev/zero | tail > /dev/null; echo over; read y`)
	// The kernel chooses the victim; when it is the shell, its end is all there is to see.
	_, _ = p.out.ReadString('\n')
	u, err := g.Usage(within(t))
	require.NoError(t, err)
	assert.Greater(t, u.OOMKills, uint64(0))
}

func TestUsageDoesNotAllocate(t *testing.T) {
	c := realHost(t)
	g := create(t, c, "lxc-1-a")
	if !c.unified() {
		t.Skip("without events the process list is read anew each time")
	}
	ctx := within(t)
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	allocations := testing.AllocsPerRun(100, func() { _, _ = g.Usage(ctx) })
	assert.Zero(t, allocations)
}

func TestUsageWhileRemoved(t *testing.T) {
	c := realHost(t)
	ctx := within(t)
	for range 20 {
		made, err := c.Create(ctx, "/machine", "lxc-1-gone")
		require.NoError(t, err)
		var readers sync.WaitGroup
		for range 4 {
			readers.Go(func() {
				for {
					if _, err := made.Usage(ctx); err != nil {
						assert.ErrorIs(t, err, fault.NotFound)
						return
					}
				}
			})
		}
		require.NoError(t, made.Remove(ctx))
		readers.Wait()
	}
}
