package porttest

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/ports"
)

// TerminalsHarness opens host terminals. It needs no hooks: the two ends of a terminal
// look at each other.
type TerminalsHarness struct {
	Terminals ports.Terminals
	Missing   []string
}

// TestTerminals checks a Terminals. The real ones are pseudoterminals (pts(4)): clients
// get the slave, by its path, and the controller the master.
func TestTerminals(t *testing.T, build func(t *testing.T) TerminalsHarness) {
	run(t, build, []check[TerminalsHarness]{
		{"opens terminals that differ", terminalsDiffer},
		{"carries bytes as they are", terminalCarries},
		{"has no echo", terminalNoEcho},
		{"has a master that does not block", terminalMaster},
		{"serves several streams", terminalSeveral},
		{"closing a stream unblocks its reader", terminalClose},
		{"closing the master ends the streams", terminalHangup},
		{"does not attach to what is not there", terminalMissing},
	})
}

// terminal opens one whose master is closed with the check. Its path is gone with the
// master, as that of a pseudoterminal is.
func terminal(t *testing.T, h TerminalsHarness) ports.Terminal {
	t.Helper()
	terminal, err := h.Terminals.Open(soon(t))
	require.NoError(t, err)
	require.NotNil(t, terminal.Master)
	t.Cleanup(func() { terminal.Master.Close() }) // a check may have closed it
	return terminal
}

// attach opens a stream as a client's console does. Several may be open on one
// terminal. It is closed with the check, before the master is.
func attach(t *testing.T, h TerminalsHarness, terminal ports.Terminal) io.ReadWriteCloser {
	t.Helper()
	stream, err := h.Terminals.Attach(soon(t), terminal.Path)
	require.NoError(t, err)
	t.Cleanup(func() { stream.Close() })
	return stream
}

// expect reads exactly the text, or fails after a while. The read cannot be given up.
// When it fails the check ends, and closing the terminal ends the read.
func expect(t *testing.T, from io.Reader, text string) {
	t.Helper()
	got := make([]byte, len(text))
	done := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(from, got)
		done <- err
	}()
	select {
	case err := <-done:
		require.NoError(t, err)
		assert.Equal(t, text, string(got))
	case <-time.After(patience):
		require.Fail(t, "nothing to read", "wanted %q", text)
	}
}

// send writes everything: a terminal takes short texts whole. Texts are far shorter
// than the 4 KiB that a terminal takes unread.
func send(t *testing.T, to io.Writer, text string) {
	t.Helper()
	n, err := io.WriteString(to, text)
	require.NoError(t, err)
	require.Equal(t, len(text), n)
}

// terminalsDiffer: both are open at once, and a path leads to one of them. A status
// file keeps paths, so one that is shared would show a client another container's
// console.
func terminalsDiffer(t *testing.T, h TerminalsHarness) {
	first, second := terminal(t, h), terminal(t, h)
	assert.NotEmpty(t, first.Path)
	assert.NotEqual(t, first.Path, second.Path)
}

// terminalCarries: bytes that a terminal changes unless it is raw (termios(3)): ends of
// lines, a zero, those that stand for signals, for the end of input and for flow
// control, and what is no text. They go both ways.
func terminalCarries(t *testing.T, h TerminalsHarness) {
	terminal := terminal(t, h)
	stream := attach(t, h, terminal)
	for _, text := range []string{"hello\n", "a\r\nb\tc\x00", "\x03\x04\x1a\x11\x13", "\xff\xfe"} {
		send(t, stream, text)
		expect(t, terminal.Master, text)
		send(t, terminal.Master, text)
		expect(t, stream, text)
	}
}

// terminalNoEcho: the guest's own terminal echoes already, so an echo here would show
// each character twice.
func terminalNoEcho(t *testing.T, h TerminalsHarness) {
	terminal := terminal(t, h)
	stream := attach(t, h, terminal)
	send(t, terminal.Master, "in")
	expect(t, stream, "in")
	send(t, stream, "out")
	expect(t, terminal.Master, "out") // an echo of "in" would come first
}

// terminalMaster: a deadline works only for files that the runtime can wait for
// (os.File.SetDeadline). A master that blocks would hold a thread for each console, and
// could not be closed while it is read.
func terminalMaster(t *testing.T, h TerminalsHarness) {
	terminal := terminal(t, h)
	attach(t, h, terminal)
	require.NoError(t, terminal.Master.SetReadDeadline(time.Now().Add(-time.Second)), "it is known to the poller")
	_, err := terminal.Master.Read(make([]byte, 1))
	assert.Error(t, err)
}

// terminalSeveral: what two clients type comes from either. Which of them reads what
// comes back is open while both are there, so it is read when one has left.
func terminalSeveral(t *testing.T, h TerminalsHarness) {
	terminal := terminal(t, h)
	first, second := attach(t, h, terminal), attach(t, h, terminal)
	send(t, first, "one")
	expect(t, terminal.Master, "one")
	send(t, second, "two")
	expect(t, terminal.Master, "two")
	require.NoError(t, first.Close())
	send(t, terminal.Master, "three")
	expect(t, second, "three")
}

// reading starts a Read and returns its end. The channel is closed when a Read fails.
// It goes on after bytes that come.
func reading(from io.Reader) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if _, err := from.Read(make([]byte, 16)); err != nil {
				return
			}
		}
	}()
	return ended
}

// terminalClose: a client that hangs up while nothing is printed must not leave a
// goroutine behind. Others at the same terminal read on.
func terminalClose(t *testing.T, h TerminalsHarness) {
	terminal := terminal(t, h)
	closed, other := attach(t, h, terminal), attach(t, h, terminal)
	ended := reading(closed)
	require.NoError(t, closed.Close())
	awaitClosed(t, ended, "end of the read")
	_, err := closed.Write([]byte("x"))
	assert.Error(t, err, "a closed stream takes nothing")
	send(t, terminal.Master, "still here")
	expect(t, other, "still here")
}

// terminalHangup: the end of the container closes its terminal, and clients have to
// notice without typing. Whether it is io.EOF or EIO is left open.
func terminalHangup(t *testing.T, h TerminalsHarness) {
	terminal := terminal(t, h)
	ended := reading(attach(t, h, terminal))
	require.NoError(t, terminal.Master.Close())
	awaitClosed(t, ended, "end of the read")
}

// terminalMissing: a path that is none, and one whose terminal was closed. The number
// may be given to another terminal later, but not here.
func terminalMissing(t *testing.T, h TerminalsHarness) {
	_, err := h.Terminals.Attach(soon(t), "/dev/pts/vlxnone")
	assert.Error(t, err)
	gone := terminal(t, h)
	require.NoError(t, gone.Master.Close())
	_, err = h.Terminals.Attach(soon(t), gone.Path)
	assert.Error(t, err)
}
