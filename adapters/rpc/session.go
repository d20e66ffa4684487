package rpc

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/domain/access"
)

// Session is one client's connection. Its methods may be called from any goroutine,
// also after the client has gone.
type Session struct {
	// Data belongs to the handlers. It may be set in Options.Start and must not be
	// changed later, because calls of one session run at the same time.
	Data any

	id     uint64
	since  time.Time
	caller access.Caller
	socket Socket
	server *Server
	log    *slog.Logger
	conn   net.Conn
	reader *frame.Reader

	// ctx ends when the connection is over, whoever ended it.
	ctx    context.Context
	cancel context.CancelFunc

	authenticated atomic.Bool
	displaced     bool     // has to make room; guarded by the server's clients
	patience      patience // with a client that does not authenticate
	keepalive     keepalive
	inbox         inbox
	outbox        outbox
	streams       streams

	// work counts calls and goroutines that must end before the hooks run.
	work sync.WaitGroup

	mu    sync.Mutex
	hooks []func()
	over  bool // hooks have run

	// Method values, made once instead of for every answer.
	slotReturned, lastWordSaid func(bool)
}

// The session has a place already. Nothing runs before serve.
func newSession(server *Server, conn net.Conn, caller access.Caller, socket Socket) *Session {
	ctx, cancel := context.WithCancel(server.ctx)
	s := &Session{
		id: server.nextID(), since: time.Now(), caller: caller, socket: socket, server: server,
		conn: conn, reader: frame.NewReader(conn), ctx: ctx, cancel: cancel,
	}
	s.log = server.log.With("client", s.id)
	s.authenticated.Store(!socket.Authenticate)
	s.reader.Limit(server.options.PacketLimit)
	settings := server.fresh.get()
	s.inbox.init(settings.requests)
	s.outbox = outbox{conn: conn, spawn: s.work.Go, fail: s.fail}
	s.keepalive.session, s.keepalive.interval, s.keepalive.count = s, settings.interval, settings.count
	s.slotReturned = s.returnSlot
	s.lastWordSaid = func(bool) { s.Close() }
	return s
}

// ID numbers the sessions of a server, from 1, never twice.
func (s *Session) ID() uint64 { return s.id }

// Since is when the client was accepted.
func (s *Session) Since() time.Time { return s.since }

// Caller is who the kernel says the client was when it was accepted.
func (s *Session) Caller() access.Caller { return s.caller }

// Socket is how the clients of this session's socket are treated.
func (s *Session) Socket() Socket { return s.socket }

// ReadOnly tells whether the client came over a read-only socket.
func (s *Session) ReadOnly() bool { return s.caller.ReadOnly }

// Context ends when the connection is over.
func (s *Session) Context() context.Context { return s.ctx }

// Authenticated tells whether the client may make calls that are not Open.
func (s *Session) Authenticated() bool { return s.authenticated.Load() }

// SetAuthenticated lets the client make all calls from its next packet on.
func (s *Session) SetAuthenticated() {
	if s.server.clients.authenticated(s) {
		s.patience.end()
	}
}

// EnableKeepalive starts to ask a silent client whether it is alive, as the options
// say. Calling it again changes nothing.
// It is asked for by the client (CONNECT_SUPPORTS_FEATURE 10): one that does not know of
// pings would never answer them.
func (s *Session) EnableKeepalive() { s.keepalive.enable() }

// OnClose registers what runs once when the connection is over and its calls and
// streams have ended; the last one registered runs first. After that moment hook runs
// at once.
// Hooks run in one goroutine, one after the other, and may wait; a place is free again
// when all have run. A hook that is registered late runs in the caller's goroutine.
func (s *Session) OnClose(hook func()) {
	s.mu.Lock()
	over := s.over
	if !over {
		s.hooks = append(s.hooks, hook)
	}
	s.mu.Unlock()
	if over {
		hook()
	}
}

// SendEvent queues an event. It never blocks: a client that does not read until the
// queue overflows is disconnected. Events are sent in order; after the end of the
// connection they are dropped.
// An event that does not fit its schema is logged and dropped.
func (s *Session) SendEvent(program uint32, procedure int32, body Body) {
	packet, err := encode(frame.Header{
		Program: program, Version: 1, Procedure: procedure,
		Type: frame.Message, Serial: eventSerial, Status: frame.OK,
	}, body, nil)
	if err != nil {
		s.log.Warn("cannot encode event", "program", program, "procedure", procedure, "error", err)
		return
	}
	packet.kind = event
	s.outbox.post(packet, drainNone)
}

// eventSerial is what clients have always been sent; they ignore it.
const eventSerial = 1

// Close disconnects the client at once. It does not wait for calls or hooks and may
// be called any number of times.
func (s *Session) Close() {
	s.conn.Close() // first: a call that sees its context end has nobody to answer
	s.cancel()
	s.keepalive.stop()
	s.patience.end()
	s.inbox.close()
	s.outbox.close()
	s.streams.abortAll()
}

// fail ends the session because its connection does not work.
// What a client that hangs up does to its own connection is not worth more than debug.
func (s *Session) fail(err error) {
	switch {
	case s.ctx.Err() != nil || errors.Is(err, net.ErrClosed):
	case errors.Is(err, frame.ErrSlow):
		s.log.Warn("client began a packet and did not finish it in time: closing")
	default:
		s.log.Debug("client connection failed", "error", err)
	}
	s.Close()
}

// serve runs the session from its first packet to its last hook.
func (s *Session) serve() {
	if start := s.server.options.Start; start != nil {
		start(s)
	}
	s.log.Debug("client connected", "uid", s.caller.UID, "pid", s.caller.PID, "readonly", s.caller.ReadOnly)
	defer s.log.Debug("client gone")
	if limit := s.server.options.AuthLimit; limit > 0 && !s.Authenticated() {
		s.patience.begin(s, limit)
	}
	if err := s.read(); err != nil {
		s.fail(err)
	}
	s.Close() // again, even if somebody else is at it: from here on nothing may start
	s.end()
}

// end waits for the calls and streams and runs the hooks.
func (s *Session) end() {
	mine := func(t task) bool { return t.(*Call).session == s }
	for _, queued := range s.server.pool.withdraw(mine) {
		queued.(*Call).drop()
	}
	s.work.Wait()
	s.mu.Lock()
	hooks := s.hooks
	s.hooks, s.over = nil, true
	s.mu.Unlock()
	for i := len(hooks) - 1; i >= 0; i-- {
		hooks[i]()
	}
}
