package rpc

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/domain/access"
)

func TestCallerOfASocket(t *testing.T) {
	bench := newBench(DefaultOptions())
	c := dial(t, bench.listen(t, Socket{ReadOnly: true}))
	c.quiet()
	session := <-bench.session
	stat, err := os.ReadFile("/proc/self/stat")
	require.NoError(t, err)
	want := access.Caller{
		UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), PID: os.Getpid(),
		Start: parseStart(stat), ReadOnly: true,
	}
	assert.NotZero(t, want.Start)
	assert.Equal(t, want, session.Caller())
	assert.True(t, session.ReadOnly())
	assert.True(t, session.Authenticated())
	assert.EqualValues(t, 1, session.ID())
	assert.WithinDuration(t, time.Now(), session.Since(), time.Minute)
	assert.Same(t, session, bench.server.Session(1))
	assert.Nil(t, bench.server.Session(2))
	dead := dial(t, bench.listen(t, Socket{}))
	dead.quiet()
	assert.Len(t, bench.server.Sessions(), 2)
}

func TestParseStart(t *testing.T) {
	fields := "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 987654 20 21"
	for text, want := range map[string]uint64{
		"12 (cat) " + fields:      987654,
		"12 (a) b (c)) " + fields: 987654,
		"12 (cat) S 1 2":          0,
		"":                        0,
		"12 cat " + fields:        0,
		"12 (x) " + fields[:40]:   0,
		"12 (x) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 -3 4": 0,
	} {
		assert.Equal(t, want, parseStart([]byte(text)), text)
	}
	assert.Zero(t, startTime(0))
	assert.Zero(t, startTime(1<<30))
}

func TestAdmit(t *testing.T) {
	options := DefaultOptions()
	var refuse atomic.Bool
	refuse.Store(true)
	options.Admit = func(caller access.Caller) error {
		assert.Equal(t, os.Getpid(), caller.PID)
		if refuse.Load() {
			return errors.New("not you")
		}
		return nil
	}
	bench := newBench(options)
	path := bench.listen(t, Socket{})
	dial(t, path).closed()
	refuse.Store(false)
	dial(t, path).quiet()
}

// hasNoPlace makes a call that is answered only when the client gets a place, and
// watches for a moment that it is not.
func (c *client) hasNoPlace() {
	c.t.Helper()
	c.call(procAuth, 1)
	require.NoError(c.t, c.conn.SetReadDeadline(time.Now().Add(30*time.Millisecond)))
	_, err := c.conn.Read(make([]byte, 1))
	require.ErrorIs(c.t, err, os.ErrDeadlineExceeded)
	require.NoError(c.t, c.conn.SetReadDeadline(time.Now().Add(20*time.Second)))
}

func TestClientLimit(t *testing.T) {
	options := DefaultOptions()
	options.MaxClients = 2
	bench := newBench(options)
	main, other := bench.listen(t, Socket{}), bench.listen(t, Socket{ReadOnly: true})
	first, second := dial(t, main), dial(t, other)
	first.quiet()
	second.quiet()
	third, fourth := dial(t, other), dial(t, main)
	third.hasNoPlace() // the limit counts all sockets
	fourth.hasNoPlace()
	assert.Equal(t, Clients{Max: 2, MaxAnonymous: 20, Now: 2}, bench.server.Clients())
	first.conn.Close()
	<-bench.gone
	second.conn.Close()
	<-bench.gone
	third.reply(1)
	fourth.reply(1)
	fifth := dial(t, main)
	fifth.hasNoPlace()
	bench.server.SetClientLimits(3, 20)
	fifth.reply(1)
}

func TestAnonymousLimit(t *testing.T) {
	options := DefaultOptions()
	options.MaxAnonymous = 1
	bench := newBench(options)
	path := bench.listen(t, Socket{Authenticate: true})
	first := dial(t, path)
	first.call(procEcho, 1)
	first.receive()
	second := dial(t, path)
	second.hasNoPlace()
	assert.Equal(t, Clients{Max: 5000, MaxAnonymous: 1, Now: 1, Anonymous: 1}, bench.server.Clients())
	first.call(procAuth, 2)
	first.reply(2)
	first.call(procAuth, 3)
	first.reply(3)
	second.reply(1)
	second.call(procEcho, 2)
	second.reply(2)
	assert.Equal(t, Clients{Max: 5000, MaxAnonymous: 1, Now: 2}, bench.server.Clients())
}

func TestCloseServer(t *testing.T) {
	bench := newBench(Options{MaxRequests: 5, MaxWorkers: 5, MaxClients: 3})
	path := bench.listen(t, Socket{})
	clients := []*client{dial(t, path), dial(t, path), dial(t, path)}
	for _, c := range clients {
		c.call(procWait, 1)
		<-bench.started
	}
	waiting := dial(t, path) // has no place
	short, cancel := context.WithCancel(context.Background())
	cancel()
	_ = bench.server.Close(short) // calls may still be running
	require.NoError(t, bench.server.Close(context.Background()))
	assert.Len(t, bench.gone, 3)
	for _, c := range append(clients, waiting) {
		c.closed()
	}
	_, err := net.Dial("unix", path)
	assert.Error(t, err)
	ours, theirs := net.Pipe()
	assert.Error(t, bench.server.ServeConn(theirs, access.Caller{}, Socket{}))
	_, err = ours.Read(make([]byte, 1))
	assert.Error(t, err)
	late, err := net.Listen("unix", filepath.Join(t.TempDir(), "late"))
	require.NoError(t, err)
	assert.Error(t, bench.server.Serve(late, Socket{}))
}

// TestCloseWaits: a call that does not look at its context is waited for.
func TestCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stubborn := make(chan struct{})
		running := make(chan struct{})
		server := New(DefaultOptions(), newBench(DefaultOptions()).server.log, Program{
			Number: 1, Version: 1, Procedure: func(int32) *Procedure {
				return &Procedure{Handle: func(_ context.Context, call *Call) {
					close(running)
					<-stubborn
					call.Reply(nil)
				}}
			},
		})
		ours, theirs := net.Pipe()
		done := make(chan error)
		go func() { done <- server.ServeConn(theirs, access.Caller{}, Socket{}) }()
		_, err := ours.Write(encoded(frame.Header{Program: 1, Version: 1}, nil))
		require.NoError(t, err)
		<-running
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		assert.ErrorIs(t, server.Close(short), context.DeadlineExceeded)
		close(stubborn)
		require.NoError(t, server.Close(t.Context()))
		require.NoError(t, <-done)
	})
}

// exhausted is a listener whose first accepts fail.
type exhausted struct {
	net.Listener
	failures []error
	closed   chan struct{}
	accepts  atomic.Int32
}

func (e *exhausted) Accept() (net.Conn, error) {
	e.accepts.Add(1)
	if len(e.failures) > 0 {
		err := e.failures[0]
		e.failures = e.failures[1:]
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", err)}
	}
	<-e.closed
	return nil, net.ErrClosed
}

func (e *exhausted) Close() error {
	select {
	case <-e.closed:
	default:
		close(e.closed)
	}
	return nil
}

func TestAcceptBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bench := newBench(DefaultOptions())
		listener := &exhausted{
			failures: []error{syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED},
			closed:   make(chan struct{}),
		}
		start := time.Now()
		done := make(chan error)
		go func() { done <- bench.server.Serve(listener, Socket{}) }()
		synctest.Wait()
		assert.EqualValues(t, 1, listener.accepts.Load())
		time.Sleep(pause + time.Millisecond)
		synctest.Wait()
		assert.EqualValues(t, 2, listener.accepts.Load())
		time.Sleep(pause)
		synctest.Wait()
		assert.EqualValues(t, 4, listener.accepts.Load())
		require.NoError(t, bench.server.Close(t.Context()))
		require.NoError(t, <-done)
		assert.Less(t, time.Since(start), 3*pause)
		assert.Equal(t, 1, bench.log.count("cannot accept clients for now"))
	})
}

func TestAcceptFailure(t *testing.T) {
	bench := newBench(DefaultOptions())
	listener := &exhausted{failures: []error{syscall.EINVAL}, closed: make(chan struct{})}
	assert.ErrorIs(t, bench.server.Serve(listener, Socket{}), syscall.EINVAL)
	require.NoError(t, bench.server.Close(t.Context()))
}

// TestPauseEndsWithServer: closing does not wait for the pause.
func TestPauseEndsWithServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bench := newBench(DefaultOptions())
		listener := &exhausted{failures: []error{syscall.EMFILE}, closed: make(chan struct{})}
		done := make(chan error)
		go func() { done <- bench.server.Serve(listener, Socket{}) }()
		synctest.Wait()
		start := time.Now()
		require.NoError(t, bench.server.Close(t.Context()))
		require.NoError(t, <-done)
		assert.Zero(t, time.Since(start))
	})
}
