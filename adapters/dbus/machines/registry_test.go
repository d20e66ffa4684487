package machines

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
)

// A machine whose leader nobody can make out may be another's: it stays.
func TestLeaderOfAnotherForm(t *testing.T) {
	for _, leader := range []any{"4712", int32(4712), uint64(4712), []uint32{4712}} {
		h := newHost(t)
		m := open(t, h.Address, quiet())
		one := machine("lxc-1-a")
		require.NoError(t, m.Enclose(t.Context(), one))
		h.set(func() { h.machines[one.Name], h.leader = recorded{Leader: 99}, leader })
		err := m.Register(t.Context(), one)
		require.ErrorIs(t, err, fault.System)
		assert.ErrorContains(t, err, "'lxc-1-a'")
		found, ok := h.known(one.Name)
		assert.True(t, ok)
		assert.Equal(t, uint32(99), found.Leader)
		assert.Zero(t, h.count("UnregisterMachine"))
		require.NoError(t, m.Close())
	}
}

// The daemon's own machine, left by the one before it, is no conflict.
func TestRegisteredAlready(t *testing.T) {
	h := newHost(t)
	m := open(t, h.Address, quiet())
	one := machine("lxc-1-a")
	require.NoError(t, m.Enclose(t.Context(), one))
	h.set(func() { h.machines[one.Name] = recorded{Leader: uint32(one.Leader)} })
	require.NoError(t, m.Register(t.Context(), one))
	assert.Zero(t, h.count("UnregisterMachine"))
	require.NoError(t, m.Release(t.Context(), one.Name))
	assert.Equal(t, 1, h.count("UnregisterMachine"), "it counts as made here")
	require.NoError(t, m.Release(t.Context(), one.Name), "twice")
	assert.Equal(t, 1, h.count("UnregisterMachine"))
}

// Ends of jobs that are not of the right form concern nobody, and break nothing.
func TestOddJobEnds(t *testing.T) {
	h := newHost(t)
	m := open(t, h.Address, quiet())
	waiter := make(chan outcome, 1)
	m.mu.Lock()
	m.jobs["a.scope"] = waiter
	m.mu.Unlock()
	for _, args := range [][]any{
		nil, {uint32(1), "/job", "a.scope"}, {uint32(1), "/job", 7, "done"},
		{uint32(1), "/job", "b.scope", "done"}, {uint32(1), "/job", "a.scope", "done", "more"},
	} {
		m.finished(args)
		assert.Empty(t, waiter, "%v", args)
	}
	m.finished([]any{uint32(1), "no object path", "a.scope", "failed"})
	assert.Equal(t, outcome{result: "failed"}, <-waiter, "an end of some other job: whoever waits compares")
	for range 3 {
		m.finished([]any{uint32(1), "x", "a.scope", "done"})
	}
	assert.Len(t, waiter, 1, "nobody is held up by one who does not look")
}
