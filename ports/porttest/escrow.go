package porttest

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/container"
	"virtlxcd/ports"
)

// EscrowHarness is a host that keeps descriptors.
type EscrowHarness struct {
	Escrow ports.Escrow
	// Again is the port of a daemon that was started after the last one ended,
	// with its descriptors.
	Again func(t *testing.T) ports.Escrow
	// Process makes the PID, Start and Process of a living process.
	Process func(t *testing.T) ports.Held
	// File makes a descriptor of something new. The harness closes it.
	File func(t *testing.T) *os.File
	// Same says whether two open descriptors are of the same thing.
	Same func(t *testing.T, a, b *os.File) bool
}

// TestEscrow checks an Escrow.
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

func (h EscrowHarness) held(t *testing.T) ports.Held {
	t.Helper()
	held := h.Process(t)
	held.Network, held.Plan = h.File(t), h.File(t)
	held.Terminals, held.Hosts = []*os.File{h.File(t), h.File(t)}, []*os.File{h.File(t), h.File(t)}
	return held
}

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

// filesOf lists all descriptors, nil ones too.
func filesOf(held ports.Held) []*os.File {
	files := append([]*os.File{held.Process, held.Network, held.Plan}, held.Terminals...)
	return append(files, held.Hosts...)
}

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

func escrowKeepsLittle(t *testing.T, h EscrowHarness) {
	held := h.Process(t)
	held.Hosts = []*os.File{h.File(t)}
	require.NoError(t, h.Escrow.Keep(container.UUID{1}, held))
	h.same(t, held, h.kept(t, h.Again(t), container.UUID{1}))
}

func escrowTakesNothing(t *testing.T, h EscrowHarness) {
	held := h.held(t)
	require.NoError(t, h.Escrow.Keep(container.UUID{1}, held))
	require.NoError(t, h.Escrow.Drop(container.UUID{1}))
	for _, file := range filesOf(held) {
		_, err := file.Stat()
		assert.NoError(t, err, "still the caller's")
	}
}

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

func escrowForgets(t *testing.T, h EscrowHarness) {
	require.NoError(t, h.Escrow.Keep(container.UUID{1}, h.held(t)))
	again := h.Again(t)
	require.NoError(t, again.Close())
	_, ok := again.Kept(container.UUID{1})
	assert.False(t, ok)
	_, ok = h.Again(t).Kept(container.UUID{1})
	assert.False(t, ok)
}

func escrowKeepsApart(t *testing.T, h EscrowHarness) {
	one, two := h.held(t), h.held(t)
	require.NoError(t, h.Escrow.Keep(container.UUID{1}, one))
	require.NoError(t, h.Escrow.Keep(container.UUID{2}, two))
	again := h.Again(t)
	h.same(t, two, h.kept(t, again, container.UUID{2}))
	h.same(t, one, h.kept(t, again, container.UUID{1}))
}
