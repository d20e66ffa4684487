package control

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"virtlxcd/adapters/control/wire"
	"virtlxcd/domain/container"
	"virtlxcd/ports/hold"
)

// TestMain lets the test's own binary play a controller: how is said by the name
// under which it was started.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "--socket" {
		play(filepath.Base(os.Args[0]), os.Args[2])
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// patience bounds what would otherwise hang a test.
const patience = 10 * time.Second

// peer is a controller's end of a connection, in the hands of a test.
type peer struct {
	t  *testing.T
	fd int
}

// converse makes a Controller and the other end of its connection. alive is
// whether its process is: this one, or none.
func converse(t *testing.T, alive bool) (*Controller, *peer) {
	t.Helper()
	ours, theirs, err := pair()
	require.NoError(t, err)
	socket := filepath.Join(t.TempDir(), "vlx.sock")
	require.NoError(t, os.WriteFile(socket, nil, 0o600))
	ref := container.Controller{PID: os.Getpid(), Start: startTime(os.Getpid()), Socket: socket}
	if !alive {
		ref.Start++
	}
	parent := &Controllers{log: slog.New(slog.DiscardHandler), spare: spare{closed: true}}
	c := newController(ref, ours, parent)
	fd, err := unix.FcntlInt(theirs.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	require.NoError(t, err)
	require.NoError(t, theirs.Close())
	p := &peer{t: t, fd: fd}
	t.Cleanup(func() { c.Close(); p.hangUp() })
	return c, p
}

func (p *peer) hangUp() {
	if p.fd >= 0 {
		unix.Close(p.fd)
	}
	p.fd = -1
}

// next waits for a request.
func (p *peer) next() *hold.Message {
	packet := make([]byte, wire.Size+1)
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}, int(patience.Milliseconds())); n != 1 {
		assert.Fail(p.t, "no request comes", "%v", err)
		return &hold.Message{}
	}
	n, fds, err := wire.Receive(p.fd, packet)
	assert.NoError(p.t, err)
	m, err := wire.Decode(packet[:n], fds)
	if !assert.NoError(p.t, err) {
		return &hold.Message{}
	}
	return m
}

func (p *peer) send(m *hold.Message) {
	packet, fds := wire.Append(nil, nil, m)
	assert.NoError(p.t, wire.Send(p.fd, packet, fds))
}

// answers handles one request: what it brought is closed.
func (p *peer) answers(reply *hold.Message) (request *hold.Message) {
	request = p.next()
	release(request)
	reply.UUID = request.UUID
	p.send(reply)
	return request
}

// meanwhile runs do next to the test and waits for it in the end. done is closed
// when it is over.
func meanwhile(t *testing.T, do func()) (done <-chan struct{}) {
	t.Helper()
	over := make(chan struct{})
	go func() { defer close(over); do() }()
	t.Cleanup(func() { <-over })
	return over
}

func plain(kind hold.Kind) *hold.Message { return &hold.Message{Kind: kind, Files: hold.NoFiles()} }

// memory makes a descriptor that can be recognized.
func memory(t *testing.T, name string) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	require.NoError(t, err)
	file := os.NewFile(uintptr(fd), name)
	t.Cleanup(func() { file.Close() })
	return file
}

// inode tells whether two descriptors are of one file.
func inode(t *testing.T, fd int) uint64 {
	t.Helper()
	var status unix.Stat_t
	require.NoError(t, unix.Fstat(fd, &status))
	return status.Ino
}

// sendingEnd is a pipe: the other end tells when nobody holds it any more.
func sendingEnd(t *testing.T) (end hold.FD, abandoned func() bool) {
	t.Helper()
	var pipe [2]int
	require.NoError(t, unix.Pipe2(pipe[:], unix.O_CLOEXEC))
	t.Cleanup(func() { unix.Close(pipe[0]) })
	return hold.FD(pipe[1]), func() bool {
		poll := []unix.PollFd{{Fd: int32(pipe[0])}} // hang-ups are always told
		n, _ := unix.Poll(poll, int(patience.Milliseconds()))
		return n == 1 && poll[0].Revents&unix.POLLHUP != 0
	}
}
