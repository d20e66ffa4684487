package porttest

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/host"
	"virtlxcd/ports"
)

// HostInfoHarness reads one machine. It need not know what is true: checks only ask for
// what must hold on any machine.
type HostInfoHarness struct {
	HostInfo ports.HostInfo
	Missing  []string
}

// TestHostInfo checks a HostInfo. What a machine may lack is not asked for. So most of
// the facts are tested by adapters, against recorded files of several machines.
func TestHostInfo(t *testing.T, build func(t *testing.T) HostInfoHarness) {
	run(t, build, []check[HostInfoHarness]{
		{"knows the machine", hostInfoMachine},
		{"counts what is there", hostInfoCells},
		{"gathers anew", hostInfoAnew},
	})
}

// Gathering never fails for want of a single fact: what cannot be read is left zero.
func facts(t *testing.T, h HostInfoHarness) *host.Facts {
	t.Helper()
	facts, err := h.HostInfo.Facts(soon(t))
	require.NoError(t, err)
	require.NotNil(t, facts)
	return facts
}

// hostInfoMachine: every machine has these. The last capability is 36 at least
// (CAP_BLOCK_SUSPEND, since Linux 3.5): a count that is off, or was read from nowhere,
// is lower.
func hostInfoMachine(t *testing.T, h HostInfoHarness) {
	facts := facts(t, h)
	assert.NotEmpty(t, facts.Hostname)
	assert.NotEmpty(t, facts.Arch)
	assert.NotEmpty(t, facts.KernelRelease)
	assert.NotEmpty(t, facts.BootID)
	assert.NotZero(t, facts.UUID)
	assert.NotZero(t, facts.Memory)
	assert.Positive(t, facts.CPUs)
	assert.GreaterOrEqual(t, facts.LastCapability, uint(36))
}

// hostInfoCells: a processor is in one cell only, and cells have no more of them than
// the machine. Both fail when a list like "0-3,8" is read wrongly, or offline ones are
// counted in one place and not in the other. There may be no cells at all, as a kernel
// without NUMA tells none.
func hostInfoCells(t *testing.T, h HostInfoHarness) {
	facts := facts(t, h)
	assert.Positive(t, facts.Nodes)
	assert.Positive(t, facts.Sockets)
	assert.Positive(t, facts.Cores)
	assert.Positive(t, facts.Threads)
	seen := map[int]bool{}
	for _, cell := range facts.Cells {
		for _, cpu := range cell.CPUs {
			assert.False(t, seen[cpu.ID], "processor %d is in one cell", cpu.ID)
			seen[cpu.ID] = true
		}
	}
	assert.LessOrEqual(t, len(seen), facts.CPUs)
}

// hostInfoAnew: the facts are the caller's, who may change them, lists included. A port
// that gives the same ones to everybody would show the change to the next.
func hostInfoAnew(t *testing.T, h HostInfoHarness) {
	first := facts(t, h)
	name, boot := first.Hostname, first.BootID
	first.Hostname = "scribbled over"
	if len(first.Cells) > 0 {
		first.Cells[0].ID = 99
	}
	second := facts(t, h)
	assert.Equal(t, name, second.Hostname)
	assert.Equal(t, boot, second.BootID)
	if len(second.Cells) > 0 {
		assert.NotEqual(t, 99, second.Cells[0].ID)
	}
}
