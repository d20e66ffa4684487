package porttest

import (
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// ProcessesHarness is a host on which processes can be started.
type ProcessesHarness struct {
	Processes ports.Processes
	// Start starts a process that sleeps and handles exactly these signals: it
	// goes on when it gets one. It returns when the handlers are in place.
	Start func(t *testing.T, catches ...int) Child
	// NoFifo starts one that sees no init control fifo; Fifo one that sees one,
	// with a function that returns the first request written to it. They must
	// never see the host's own.
	NoFifo func(t *testing.T) Child
	Fifo   func(t *testing.T) (child Child, request func() []byte)

	Missing []string
}

// Signal numbers that mean the same everywhere.
const (
	sigHUP  = 1
	sigKILL = 9
	sigUSR1 = 10
	sigTERM = 15
)

// TestProcesses checks a Processes.
func TestProcesses(t *testing.T, build func(t *testing.T) ProcessesHarness) {
	run(t, build, slices.Concat(processEdges, []check[ProcessesHarness]{
		{"opens by pid and start", processOpens},
		{"refuses another start", processOtherStart},
		{"refuses what is gone", processGone},
		{"tells the end", processDone},
		{"tells the end to everyone", processDoneTwice},
		{"signals", processSignals},
		{"signals what is caught", processCaught},
		{"does not signal the dead", processSignalDead},
		{"knows what is caught", processCatches},
		{"knows the program", processProgram},
		{"opens namespaces", processNamespaces},
		{"no init control", processNoFifo},
		{"init control", processFifo},
		{"closing is not killing", processCloses},
	}))
}

// open returns a handle that is closed with the check.
func open(t *testing.T, h ProcessesHarness, child Child) ports.Process {
	t.Helper()
	process, err := h.Processes.Open(soon(t), child.PID, child.Start)
	require.NoError(t, err)
	t.Cleanup(func() { process.Close() })
	return process
}

func processOpens(t *testing.T, h ProcessesHarness) {
	child := h.Start(t)
	process := open(t, h, child)
	assert.Equal(t, child.PID, process.PID())
	assert.Equal(t, child.Start, process.Start())

	child.Start = 0
	assert.Equal(t, process.Start(), open(t, h, child).Start(), "start is found out")
}

func processOtherStart(t *testing.T, h ProcessesHarness) {
	child := h.Start(t)
	_, err := h.Processes.Open(soon(t), child.PID, child.Start+1)
	assert.ErrorIs(t, err, fault.NotFound)
	stillOpen(t, child.Ended, "the process was harmed")
}

func processGone(t *testing.T, h ProcessesHarness) {
	child := h.Start(t)
	child.End()
	_, err := h.Processes.Open(soon(t), child.PID, child.Start)
	assert.ErrorIs(t, err, fault.NotFound)
}

func processDone(t *testing.T, h ProcessesHarness) {
	child := h.Start(t)
	process := open(t, h, child)
	stillOpen(t, process.Done(), "end of the process")
	child.End()
	awaitClosed(t, process.Done(), "end of the process")
	assert.Equal(t, child.PID, process.PID())
}

func processDoneTwice(t *testing.T, h ProcessesHarness) {
	child := h.Start(t)
	first, second := open(t, h, child), open(t, h, child)
	var group sync.WaitGroup
	for _, process := range []ports.Process{first, first, second} {
		group.Go(func() { <-process.Done() })
	}
	child.End()
	awaitClosed(t, first.Done(), "end for the first")
	awaitClosed(t, second.Done(), "end for the second")
	group.Wait()
}

func processSignals(t *testing.T, h ProcessesHarness) {
	for _, signum := range []int{sigTERM, sigKILL} {
		child := h.Start(t)
		process := open(t, h, child)
		require.NoError(t, process.Signal(0), "it exists")
		require.NoError(t, process.Signal(signum))
		awaitClosed(t, process.Done(), "end of the process")
		awaitClosed(t, child.Ended, "end of the child")
	}
}

func processCaught(t *testing.T, h ProcessesHarness) {
	child := h.Start(t, sigTERM)
	process := open(t, h, child)
	require.NoError(t, process.Signal(sigTERM))
	require.NoError(t, process.Signal(sigTERM))
	stillOpen(t, process.Done(), "it handles the signal")
	require.NoError(t, process.Signal(sigKILL))
	awaitClosed(t, process.Done(), "end of the process")
}

func processSignalDead(t *testing.T, h ProcessesHarness) {
	child := h.Start(t)
	process := open(t, h, child)
	child.End()
	assert.ErrorIs(t, process.Signal(sigTERM), fault.NotFound)
}

func processCatches(t *testing.T, h ProcessesHarness) {
	child := h.Start(t, sigHUP, sigTERM)
	process := open(t, h, child)
	for signum, want := range map[int]bool{sigHUP: true, sigTERM: true, sigUSR1: false, sigKILL: false} {
		catches, err := process.Catches(signum)
		require.NoError(t, err)
		assert.Equal(t, want, catches, "signal %d", signum)
	}
}

func processProgram(t *testing.T, h ProcessesHarness) {
	child := h.Start(t)
	program, err := open(t, h, child).Program()
	require.NoError(t, err)
	assert.Equal(t, child.Program, program)
}

func processNamespaces(t *testing.T, h ProcessesHarness) {
	child := h.Start(t)
	process := open(t, h, child)
	files, err := process.Namespaces()
	require.NoError(t, err)
	assert.NotEmpty(t, files)
	assert.LessOrEqual(t, len(files), 6)
	for _, file := range files {
		_, err := file.Stat()
		assert.NoError(t, err)
		assert.NoError(t, file.Close(), "the caller closes them")
	}
}

func processNoFifo(t *testing.T, h ProcessesHarness) {
	needHook(t, h.NoFifo != nil, "NoFifo")
	child := h.NoFifo(t)
	assert.ErrorIs(t, open(t, h, child).RequestRunlevel('0'), fault.UnsupportedOperation)
	stillOpen(t, child.Ended, "it was not asked")
}

// The request is struct init_request of initctl(4): a magic number, the
// command "run level" and the level, padded to 384 bytes.
func processFifo(t *testing.T, h ProcessesHarness) {
	needHook(t, h.Fifo != nil, "Fifo")
	child, request := h.Fifo(t)
	require.NoError(t, open(t, h, child).RequestRunlevel('6'))
	got := request()
	require.Len(t, got, 384)
	assert.Equal(t, []byte{0x69, 0x19, 0x09, 0x03}, got[:4])
	assert.Equal(t, []byte{1, 0, 0, 0}, got[4:8])
	assert.Equal(t, byte('6'), got[8])
}

func processCloses(t *testing.T, h ProcessesHarness) {
	child := h.Start(t)
	process := open(t, h, child)
	other := open(t, h, child)
	require.NoError(t, process.Close())
	stillOpen(t, child.Ended, "closing is not killing")
	child.End()
	awaitClosed(t, other.Done(), "the other handle works")
}
