package porttest

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/ports"
)

// TerminalsHarness opens host terminals.
type TerminalsHarness struct {
	Terminals ports.Terminals
	Missing   []string
}

// TestTerminals checks a Terminals.
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

// terminal opens one whose master is closed with the check.
func terminal(t *testing.T, h TerminalsHarness) ports.Terminal {
	t.Helper()
	terminal, err := h.Terminals.Open(soon(t))
	require.NoError(t, err)
	require.NotNil(t, terminal.Master)
	t.Cleanup(func() { terminal.Master.Close() }) // a check may have closed it
	return terminal
}

// attach opens a stream as a client's console does.
func attach(t *testing.T, h TerminalsHarness, terminal ports.Terminal) io.ReadWriteCloser {
	t.Helper()
	stream, err := h.Terminals.Attach(soon(t), terminal.Path)
	require.NoError(t, err)
	t.Cleanup(func() { stream.Close() })
	return stream
}

// expect reads exactly the text, or fails after a while.
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

// send writes everything: a terminal takes short texts whole.
func send(t *testing.T, to io.Writer, text string) {
	t.Helper()
	n, err := io.WriteString(to, text)
	require.NoError(t, err)
	require.Equal(t, len(text), n)
}

func terminalsDiffer(t *testing.T, h TerminalsHarness) {
	first, second := terminal(t, h), terminal(t, h)
	assert.NotEmpty(t, first.Path)
	assert.NotEqual(t, first.Path, second.Path)
}

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

func terminalNoEcho(t *testing.T, h TerminalsHarness) {
	terminal := terminal(t, h)
	stream := attach(t, h, terminal)
	send(t, terminal.Master, "in")
	expect(t, stream, "in")
	send(t, stream, "out")
	expect(t, terminal.Master, "out") // an echo of "in" would come first
}

func terminalMaster(t *testing.T, h TerminalsHarness) {
	terminal := terminal(t, h)
	attach(t, h, terminal)
	require.NoError(t, terminal.Master.SetReadDeadline(time.Now().Add(-time.Second)), "it is known to the poller")
	_, err := terminal.Master.Read(make([]byte, 1))
	assert.Error(t, err)
}

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

// reading starts a Read and returns its end.
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

func terminalHangup(t *testing.T, h TerminalsHarness) {
	terminal := terminal(t, h)
	ended := reading(attach(t, h, terminal))
	require.NoError(t, terminal.Master.Close())
	awaitClosed(t, ended, "end of the read")
}

func terminalMissing(t *testing.T, h TerminalsHarness) {
	_, err := h.Terminals.Attach(soon(t), "/dev/pts/vlxnone")
	assert.Error(t, err)
	gone := terminal(t, h)
	require.NoError(t, gone.Master.Close())
	_, err = h.Terminals.Attach(soon(t), gone.Path)
	assert.Error(t, err)
}
