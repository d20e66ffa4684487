package porttest

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/container"
	"virtlxcd/ports"
)

// EscrowHarness is a host that keeps descriptors. A real one is a service manager with
// a store of descriptors (sd_pid_notify_with_fds(3)): it keeps a duplicate, so numbers
// differ and only the thing behind is the same.
type EscrowHarness struct {
	Escrow ports.Escrow
	// Again is the port of a daemon that was started after the last one ended, with its
	// descriptors. It is called more than once in some checks: each is a daemon after
	// the last.
	Again func(t *testing.T) ports.Escrow
	// Process makes the PID, Start and Process of a living process. It must live, as
	// what is kept of a dead one is given back without its number.
	Process func(t *testing.T) ports.Held
	// File makes a descriptor of something new. The harness closes it.
	File func(t *testing.T) *os.File
	// Same says whether two open descriptors are of the same thing.
	Same func(t *testing.T, a, b *os.File) bool
}

// TestEscrow checks an Escrow. The keeper outlives both daemon and controller, so that
// containers can be taken over when both have died; that takeover is the driver's and
// not checked here.
func TestEscrow(t *testing.T, build func(t *testing.T) EscrowHarness) {
	run(t, build, []check[EscrowHarness]{
		{"keeps", escrowKeeps},
		{"keeps what little there is", escrowKeepsLittle},
		{"takes nothing over", escrowTakesNothing},
		{"replaces", escrowReplaces},
		{"drops", escrowDrops},
		{"forgets what nobody asked for", escrowForgets},
		{"keeps containers apart", escrowKeepsApart},
	})
}

// held has two consoles, since the order of descriptors counts: it says which console
// each is of.
func (h EscrowHarness) held(t *testing.T) ports.Held {
	t.Helper()
	held := h.Process(t)
	held.Network, held.Plan = h.File(t), h.File(t)
	held.Terminals, held.Hosts = []*os.File{h.File(t), h.File(t)}, []*os.File{h.File(t), h.File(t)}
	return held
}

// kept closes what it received with the check: it is the receiver's.
func (h EscrowHarness) kept(t *testing.T, escrow ports.Escrow, uuid container.UUID) ports.Held {
	t.Helper()
	held, ok := escrow.Kept(uuid)
	require.True(t, ok, "nothing was kept")
	t.Cleanup(func() {
		for _, file := range filesOf(held) {
			if file != nil {
				assert.NoError(t, file.Close())
			}
		}
	})
	return held
}

// filesOf lists all descriptors, nil ones too. Their order is the same for all, so that
// two sets can be compared one by one.
func filesOf(held ports.Held) []*os.File {
	files := append([]*os.File{held.Process, held.Network, held.Plan}, held.Terminals...)
	return append(files, held.Hosts...)
}

// same compares things, not numbers of descriptors. What was nil must come back as nil:
// a network that is the host's must not become one of the container's.
func (h EscrowHarness) same(t *testing.T, want, got ports.Held) {
	t.Helper()
	assert.Equal(t, want.PID, got.PID)
	assert.Equal(t, want.Start, got.Start)
	require.Len(t, got.Terminals, len(want.Terminals))
	require.Len(t, got.Hosts, len(want.Hosts))
	for i, file := range filesOf(want) {
		other := filesOf(got)[i]
		require.Equal(t, file == nil, other == nil, "descriptor %d", i)
		if file != nil {
			assert.True(t, h.Same(t, file, other), "descriptor %d", i)
		}
	}
}

// escrowKeeps: all of it comes back after a restart, and once: whoever asks again would
// get descriptors that are closed by the first. A uuid that was never kept gives
// nothing, not somebody else's.
func escrowKeeps(t *testing.T, h EscrowHarness) {
	held := h.held(t)
	require.NoError(t, h.Escrow.Keep(container.UUID{1}, held))
	again := h.Again(t)
	h.same(t, held, h.kept(t, again, container.UUID{1}))
	_, ok := again.Kept(container.UUID{1})
	assert.False(t, ok, "handed out once")
	_, ok = again.Kept(container.UUID{2})
	assert.False(t, ok, "was never kept")
}

// escrowKeepsLittle: a container in the host's network, without a guest terminal or a
// plan. A port that numbers what it keeps by position would give the one back as
// another.
func escrowKeepsLittle(t *testing.T, h EscrowHarness) {
	held := h.Process(t)
	held.Hosts = []*os.File{h.File(t)}
	require.NoError(t, h.Escrow.Keep(container.UUID{1}, held))
	h.same(t, held, h.kept(t, h.Again(t), container.UUID{1}))
}

// escrowTakesNothing: the descriptors go on being used by the daemon, so neither
// keeping nor dropping may close them.
func escrowTakesNothing(t *testing.T, h EscrowHarness) {
	held := h.held(t)
	require.NoError(t, h.Escrow.Keep(container.UUID{1}, held))
	require.NoError(t, h.Escrow.Drop(container.UUID{1}))
	for _, file := range filesOf(held) {
		_, err := file.Stat()
		assert.NoError(t, err, "still the caller's")
	}
}

// escrowReplaces: after a restart inside, what was kept is of a dead init, so the next
// Keep replaces it as a whole; adding to it would fill the store, which is bounded.
// What a new daemon keeps again is no longer left over, so Close leaves it.
func escrowReplaces(t *testing.T, h EscrowHarness) {
	require.NoError(t, h.Escrow.Keep(container.UUID{1}, h.held(t)))
	held := h.Process(t)
	require.NoError(t, h.Escrow.Keep(container.UUID{1}, held))
	again := h.Again(t)
	h.same(t, held, h.kept(t, again, container.UUID{1}))

	require.NoError(t, again.Keep(container.UUID{1}, held))
	require.NoError(t, again.Close())
	h.same(t, held, h.kept(t, h.Again(t), container.UUID{1}))
}

// escrowDrops: of a container that has stopped nothing may come back, else its
// successor of the same uuid would be taken for running. A container may also stop
// before the new daemon has asked for it.
func escrowDrops(t *testing.T, h EscrowHarness) {
	require.NoError(t, h.Escrow.Keep(container.UUID{1}, h.held(t)))
	require.NoError(t, h.Escrow.Drop(container.UUID{1}))
	require.NoError(t, h.Escrow.Drop(container.UUID{1}), "dropping twice is fine")
	_, ok := h.Again(t).Kept(container.UUID{1})
	assert.False(t, ok)

	require.NoError(t, h.Escrow.Keep(container.UUID{2}, h.held(t)))
	again := h.Again(t)
	require.NoError(t, again.Drop(container.UUID{2}), "also what an earlier daemon kept")
	_, ok = again.Kept(container.UUID{2})
	assert.False(t, ok)
}

// escrowForgets: what the daemon does not ask for at its start is of containers that
// are gone. Kept on, its descriptors would hold namespaces and terminals for the life
// of the host.
func escrowForgets(t *testing.T, h EscrowHarness) {
	require.NoError(t, h.Escrow.Keep(container.UUID{1}, h.held(t)))
	again := h.Again(t)
	require.NoError(t, again.Close())
	_, ok := again.Kept(container.UUID{1})
	assert.False(t, ok)
	_, ok = h.Again(t).Kept(container.UUID{1})
	assert.False(t, ok)
}

// escrowKeepsApart: they are asked for in another order than kept.
func escrowKeepsApart(t *testing.T, h EscrowHarness) {
	one, two := h.held(t), h.held(t)
	require.NoError(t, h.Escrow.Keep(container.UUID{1}, one))
	require.NoError(t, h.Escrow.Keep(container.UUID{2}, two))
	again := h.Again(t)
	h.same(t, two, h.kept(t, again, container.UUID{2}))
	h.same(t, one, h.kept(t, again, container.UUID{1}))
}
