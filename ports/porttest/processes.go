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

// ProcessesHarness is a host on which processes can be started. Processes are children
// of the harness, which reaps them: before that no number is used again.
type ProcessesHarness struct {
	Processes ports.Processes
	// Start starts a process that sleeps and handles exactly these signals: it goes on
	// when it gets one. It returns when the handlers are in place. What it does not
	// handle it has by default, which for most signals is to end.
	Start func(t *testing.T, catches ...int) Child
	// NoFifo starts one that sees no init control fifo; Fifo one that sees one, with a
	// function that returns the first request written to it. They must never see the
	// host's own. The fifos are /run/initctl, /dev/initctl and /etc/.initctl, seen from
	// inside. One of the host would shut the host down.
	NoFifo func(t *testing.T) Child
	Fifo   func(t *testing.T) (child Child, request func() []byte)

	Missing []string
}

// Signal numbers that mean the same everywhere. They are those of the kernel
// (signal(7)), which the ports speak in, and not names of the Go runtime.
const (
	sigHUP  = 1
	sigKILL = 9
	sigUSR1 = 10
	sigTERM = 15
)

// TestProcesses checks a Processes. Handles go by pidfd (pidfd_open(2)), so nothing
// here may depend on a number that is used again.
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

// open returns a handle that is closed with the check. Closing it again, as a check may
// have, does nothing.
func open(t *testing.T, h ProcessesHarness, child Child) ports.Process {
	t.Helper()
	process, err := h.Processes.Open(soon(t), child.PID, child.Start)
	require.NoError(t, err)
	t.Cleanup(func() { process.Close() })
	return process
}

// processOpens: without a start time, which a status may lack, the process of the
// number is taken and its start found out.
func processOpens(t *testing.T, h ProcessesHarness) {
	child := h.Start(t)
	process := open(t, h, child)
	assert.Equal(t, child.PID, process.PID())
	assert.Equal(t, child.Start, process.Start())

	child.Start = 0
	assert.Equal(t, process.Start(), open(t, h, child).Start(), "start is found out")
}

// processOtherStart: the number has been taken by another process. The driver would
// signal it if it got a handle.
func processOtherStart(t *testing.T, h ProcessesHarness) {
	child := h.Start(t)
	_, err := h.Processes.Open(soon(t), child.PID, child.Start+1)
	assert.ErrorIs(t, err, fault.NotFound)
	stillOpen(t, child.Ended, "the process was harmed")
}

// processGone: the child was reaped. NotFound is what tells the driver that a container
// ended while there was no daemon.
func processGone(t *testing.T, h ProcessesHarness) {
	child := h.Start(t)
	child.End()
	_, err := h.Processes.Open(soon(t), child.PID, child.Start)
	assert.ErrorIs(t, err, fault.NotFound)
}

// processDone: the channel is open until the end and closed by it, without a call that
// waits. What the handle knows of the process stays.
func processDone(t *testing.T, h ProcessesHarness) {
	child := h.Start(t)
	process := open(t, h, child)
	stillOpen(t, process.Done(), "end of the process")
	child.End()
	awaitClosed(t, process.Done(), "end of the process")
	assert.Equal(t, child.PID, process.PID())
}

// processDoneTwice: one end, told to all who wait, on one handle and on another. A port
// that sends a value instead of closing the channel tells only one.
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

// processSignals: 0 only asks whether there is a process (kill(2)). SIGTERM is not
// handled here, so both end it.
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

// processCaught: a process that handles a signal is not ended by it, sent once or
// twice. That is how a container refuses to shut down.
func processCaught(t *testing.T, h ProcessesHarness) {
	child := h.Start(t, sigTERM)
	process := open(t, h, child)
	require.NoError(t, process.Signal(sigTERM))
	require.NoError(t, process.Signal(sigTERM))
	stillOpen(t, process.Done(), "it handles the signal")
	require.NoError(t, process.Signal(sigKILL))
	awaitClosed(t, process.Done(), "end of the process")
}

// processSignalDead: a port that signals by number would hit whoever has it now, or say
// that all is well.
func processSignalDead(t *testing.T, h ProcessesHarness) {
	child := h.Start(t)
	process := open(t, h, child)
	child.End()
	assert.ErrorIs(t, process.Signal(sigTERM), fault.NotFound)
}

// processCatches: the kernel tells it as a mask in hexadecimal (SigCgt in proc(5)), in
// which signal 1 is the lowest bit. Two that are handled and two that are not show a
// mask that is shifted by one. SIGKILL can never be.
func processCatches(t *testing.T, h ProcessesHarness) {
	child := h.Start(t, sigHUP, sigTERM)
	process := open(t, h, child)
	for signum, want := range map[int]bool{sigHUP: true, sigTERM: true, sigUSR1: false, sigKILL: false} {
		catches, err := process.Catches(signum)
		require.NoError(t, err)
		assert.Equal(t, want, catches, "signal %d", signum)
	}
}

// processProgram: it is what is executed (/proc/PID/exe) and not what the process calls
// itself.
func processProgram(t *testing.T, h ProcessesHarness) {
	child := h.Start(t)
	program, err := open(t, h, child).Program()
	require.NoError(t, err)
	assert.Equal(t, child.Program, program)
}

// processNamespaces: six at most, in the order that the port has; a kernel may lack
// some. They are open files, each the caller's.
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

// processNoFifo: clients that do not insist then try a signal, so the kind has to be
// right. Nothing must have been written anywhere.
func processNoFifo(t *testing.T, h ProcessesHarness) {
	needHook(t, h.NoFifo != nil, "NoFifo")
	child := h.NoFifo(t)
	assert.ErrorIs(t, open(t, h, child).RequestRunlevel('0'), fault.UnsupportedOperation)
	stillOpen(t, child.Ended, "it was not asked")
}

// The request is struct init_request of initctl(4): a magic number, the command "run
// level" and the level, padded to 384 bytes. Numbers are little endian here; '6' is the
// level of a reboot. Some inits drop a request of any other length.
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

// processCloses: a handle is only a view. Others of the same process are not closed
// with it.
func processCloses(t *testing.T, h ProcessesHarness) {
	child := h.Start(t)
	process := open(t, h, child)
	other := open(t, h, child)
	require.NoError(t, process.Close())
	stillOpen(t, child.Ended, "closing is not killing")
	child.End()
	awaitClosed(t, other.Done(), "the other handle works")
}
