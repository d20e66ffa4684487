package porttest

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
)

// processEdges are the checks of what is rare: the dead, no numbers, crowds. A handle
// has to be right about them without a lock of the container's.
var processEdges = []check[ProcessesHarness]{
	{"answers for the dead", processDead},
	{"refuses what is no number", processNoNumber},
	{"serves many at once", processMany},
	{"an ended context opens nothing", processEnded},
}

// processDead: whoever asks for something inside must learn that there is none. The
// child was reaped, so its number may be another's by now: what would look by number
// must fail, and what the handle itself keeps is still told.
func processDead(t *testing.T, h ProcessesHarness) {
	child := h.Start(t, sigTERM)
	process := open(t, h, child)
	child.End()
	awaitClosed(t, process.Done(), "end of the process")
	files, err := process.Namespaces()
	assert.ErrorIs(t, err, fault.NotFound)
	assert.Empty(t, files)
	for _, signum := range []int{0, sigTERM, sigKILL} {
		assert.ErrorIs(t, process.Signal(signum), fault.NotFound)
	}
	catches, err := process.Catches(sigTERM)
	assert.Error(t, err)
	assert.False(t, catches)
	_, err = process.Program()
	assert.Error(t, err)
	assert.Error(t, process.RequestRunlevel('0'))
	assert.Equal(t, child.PID, process.PID(), "its number is still known")
	assert.Equal(t, child.Start, process.Start())
}

// processNoNumber: 0 and -1 mean groups of processes to kill(2), and the largest pid is
// below 1<<22 (proc(5), pid_max). No handle may come back with the error.
func processNoNumber(t *testing.T, h ProcessesHarness) {
	for _, pid := range []int{0, -1, 1 << 30} {
		process, err := h.Processes.Open(soon(t), pid, 0)
		assert.Error(t, err, "pid %d", pid)
		assert.Nil(t, process)
	}
}

// processMany: reads of state need no job, so one process is opened by many at once.
// Each closes its own handle.
func processMany(t *testing.T, h ProcessesHarness) {
	child := h.Start(t, sigHUP)
	ctx := soon(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			process, err := h.Processes.Open(ctx, child.PID, child.Start)
			if !assert.NoError(t, err) {
				return
			}
			assert.NoError(t, process.Signal(sigHUP))
			catches, err := process.Catches(sigHUP)
			assert.NoError(t, err)
			assert.True(t, catches)
			assert.NoError(t, process.Close())
		})
	}
	all.Wait()
	stillOpen(t, child.Ended, "handles were closed, not the process")
}

// processEnded: there is a handle or an error, never both: the caller would not close
// it.
func processEnded(t *testing.T, h ProcessesHarness) {
	child := h.Start(t)
	process, err := h.Processes.Open(over(), child.PID, child.Start)
	if refused(t, err) {
		assert.Nil(t, process)
		return
	}
	require.NoError(t, process.Close())
}
