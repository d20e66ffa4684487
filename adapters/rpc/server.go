package rpc

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"virtlxcd/domain/access"
)

// Options are a server's limits. DefaultOptions has the usual ones.
type Options struct {
	// MaxClients bounds the connections over all sockets, MaxAnonymous those that have
	// not authenticated; 0 is no bound. Further clients wait, they are not refused.
	MaxClients, MaxAnonymous uint
	// MaxRequests bounds the calls of one client that are served at the same time.
	MaxRequests int
	// KeepaliveInterval is the silence after which a client is asked whether it is
	// alive; not above 0: never. KeepaliveCount is how many unanswered questions it may
	// have.
	KeepaliveInterval time.Duration
	KeepaliveCount    int
	// PacketLimit bounds the time in which a client finishes a packet it has begun;
	// above it the client is disconnected. Between packets it may be silent for ever.
	PacketLimit time.Duration
	// AuthLimit bounds the time in which a client authenticates, so that the places
	// of MaxAnonymous come free again. A client that has a call in service, perhaps
	// because a person is being asked, gets the time once more. 0 bounds neither.
	AuthLimit time.Duration
	// Workers: how many ordinary calls of all clients are served at the same time.
	MinWorkers, MaxWorkers, PrioWorkers uint
	// Admit may turn a client away before it is served; nil admits everybody.
	Admit func(caller access.Caller) error
	// Start prepares a session before its first packet is read: its Data, its hooks.
	Start func(session *Session)
	// Occupied is told +1 when a client has got a place, authenticated or not, and -1
	// when its session is over and its hooks have run. It must not wait. nil: nobody
	// wants to know.
	Occupied func(delta int)
}

// DefaultOptions are those of a daemon without a configuration file.
func DefaultOptions() Options {
	return Options{
		MaxClients: 5000, MaxAnonymous: 20, MaxRequests: 5,
		KeepaliveInterval: 5 * time.Second, KeepaliveCount: 5,
		PacketLimit: 30 * time.Second, AuthLimit: time.Minute,
		MinWorkers: 5, MaxWorkers: 20, PrioWorkers: 5,
	}
}

// Socket says how the clients of one socket are treated.
type Socket struct {
	ReadOnly bool
	// Authenticate makes clients authenticate before other calls; without it they
	// count as authenticated from the start.
	Authenticate bool
}

// Server serves programs to clients. Sessions on all its sockets share its limits
// and workers.
// New starts nothing; goroutines begin with Serve and ServeConn. Its methods may be
// called from any goroutine.
type Server struct {
	options  Options // what never changes of them
	fresh    fresh
	log      *slog.Logger
	programs []Program
	pool     *pool
	ctx      context.Context // ends with the server
	cancel   context.CancelFunc
	lastID   atomic.Uint64
	work     sync.WaitGroup // Serve and ServeConn that run
	clients  clients
}

// New returns a server that serves nobody yet.
// Programs are looked through in their order. MaxRequests and MaxWorkers below 1 count
// as 1, so that a mistake in a configuration does not silence the daemon.
func New(options Options, log *slog.Logger, programs ...Program) *Server {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		options: options, log: log, programs: programs, ctx: ctx, cancel: cancel,
		pool: newPool(options.MinWorkers, options.MaxWorkers, options.PrioWorkers),
	}
	s.fresh.settings = settings{options.MaxRequests, options.KeepaliveInterval, options.KeepaliveCount}
	s.clients.init(options.MaxClients, options.MaxAnonymous)
	return s
}

// errClosed is what Serve and ServeConn answer after Close.
var errClosed = errors.New("server is closed")

// ServeConn serves one client until its session is over, hooks included. It waits
// for a free place first. The server owns conn.
// The caller is taken as told: nobody asks the kernel, and Options.Admit is not asked.
// The error is nil whatever happened to the client, and errClosed if it was not served.
func (s *Server) ServeConn(conn net.Conn, caller access.Caller, socket Socket) error {
	if !s.clients.begin(&s.work) {
		conn.Close()
		return errClosed
	}
	defer s.work.Done()
	if !s.enter(socket) {
		conn.Close()
		return errClosed
	}
	s.serveEntered(conn, caller, socket)
	return nil
}

// enter waits for a place and occupies it; false if the server closes.
func (s *Server) enter(socket Socket) bool {
	if !s.clients.enter(!socket.Authenticate) {
		return false
	}
	s.occupied(1)
	return true
}

// occupied tells who counts the daemon's idle time.
func (s *Server) occupied(delta int) {
	if tell := s.options.Occupied; tell != nil {
		tell(delta)
	}
}

// serveEntered serves a client that has a place.
func (s *Server) serveEntered(conn net.Conn, caller access.Caller, socket Socket) {
	caller.ReadOnly = socket.ReadOnly
	session := newSession(s, conn, caller, socket)
	s.clients.add(session)
	session.serve()
	s.clients.leave(session)
	s.occupied(-1)
}

// Close stops listening, disconnects all clients at once and waits until all calls
// and hooks have ended, or ctx has. Closing again waits again.
func (s *Server) Close(ctx context.Context) error {
	for _, listener := range s.clients.close() {
		listener.Close()
	}
	for _, session := range s.clients.list() {
		session.Close()
	}
	s.cancel()
	done := make(chan struct{})
	go func() {
		s.work.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Sessions returns the sessions there are, oldest first.
// Sessions of clients that wait for a place are not among them.
func (s *Server) Sessions() []*Session { return s.clients.list() }

// Session finds a session by ID; nil if there is none.
func (s *Server) Session(id uint64) *Session { return s.clients.session(id) }

// Clients tells the bounds of clients and how many there are.
func (s *Server) Clients() Clients { return s.clients.count() }

// SetClientLimits changes the bounds; clients above them stay. 0 is no bound.
// A client that waits is let in at once if there is room now.
func (s *Server) SetClientLimits(maxClients, maxAnonymous uint) {
	s.clients.resize(maxClients, maxAnonymous)
}

// Workers tells what the worker pool is doing.
func (s *Server) Workers() Workers { return s.pool.workers() }

// SetWorkers changes the pool's bounds; calls being served finish.
// A maximum of 0 counts as 1.
func (s *Server) SetWorkers(low, high, prio uint) { s.pool.resize(low, high, prio) }

// SetMaxRequests changes how many calls of one client are served at the same time,
// for clients that come later.
func (s *Server) SetMaxRequests(limit int) { s.fresh.setRequests(limit) }

// SetKeepalive changes how silent clients that come later are asked whether they are
// alive; see Options.
func (s *Server) SetKeepalive(interval time.Duration, count int) {
	s.fresh.setKeepalive(interval, count)
}

// program finds what a packet is for. There are three at most: a map would be slower.
func (s *Server) program(number, version uint32) *Program {
	for i := range s.programs {
		if p := &s.programs[i]; p.Number == number && p.Version == version {
			return p
		}
	}
	return nil
}

func (s *Server) nextID() uint64 { return s.lastID.Add(1) }
