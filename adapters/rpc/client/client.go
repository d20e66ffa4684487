// Package client is a small client of the protocol, for tests, benchmarks and
// scripts. It does what they need to look at a server closely: many calls in
// flight, events, streams, descriptors both ways, keepalive, and the whole error.
package client

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/adapters/rpc/protocol"
)

// What ends a connection from this side.
var (
	// ErrClosed: Close was called.
	ErrClosed = errors.New("connection closed")
	// ErrKeepAlive: the server did not answer the pings.
	ErrKeepAlive = errors.New("server does not answer")
	// ErrOverflow: nobody takes the events or the data of a stream.
	ErrOverflow = errors.New("too much received and not taken")
)

// Client is one connection. All methods may be called from any goroutine.
type Client struct {
	conn    net.Conn
	options options
	out     *outbox
	events  *queue[Event]
	closed  chan struct{} // when the connection ended
	workers sync.WaitGroup
	heard   atomic.Uint64 // packets received
	pings   atomic.Uint64

	mu      sync.Mutex
	serial  uint32
	pending map[uint32]*call
	streams map[uint32]*Stream
	cause   error // why the connection ended
}

// options are what Options set; none changes once the client runs. The zero value takes
// events by NextEvent, sends no pings and answers those of the server.
type options struct {
	onEvent  func(Event)
	interval time.Duration
	count    int
	mute     bool
}

// Option changes how a client behaves.
// Later ones win.
type Option func(*options)

// OnEvent hands events to f instead of NextEvent. f runs in the goroutine that
// receives: it must neither wait nor call.
func OnEvent(f func(Event)) Option { return func(o *options) { o.onEvent = f } }

// KeepAlive sends a ping after every interval without a packet from the server
// and gives up after count of them were not answered. With an interval of 0 there are
// none.
func KeepAlive(interval time.Duration, count int) Option {
	return func(o *options) { o.interval, o.count = interval, count }
}

// Mute leaves the server's pings unanswered. Such a client is hung up on by a server that
// pings.
func Mute() Option { return func(o *options) { o.mute = true } }

// Dial connects to a server's socket. Nothing is sent yet.
// The error is the system's own. The client is closed by Close or Disconnect, also
// after the server has gone: its goroutines end then.
func Dial(path string, opts ...Option) (*Client, error) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	return New(conn, opts...), nil
}

// New makes a client of a connection, which it closes. Its goroutines run from then on,
// so Close it in any case.
func New(conn net.Conn, opts ...Option) *Client {
	c := &Client{
		conn: conn, out: newOutbox(), events: newQueue[Event](), closed: make(chan struct{}),
		pending: map[uint32]*call{}, streams: map[uint32]*Stream{},
	}
	for _, option := range opts {
		option(&c.options)
	}
	c.workers.Go(c.receive)
	c.workers.Go(c.send)
	if c.options.interval > 0 {
		c.workers.Go(c.keepAlive)
	}
	return c
}

// Open authenticates as the server wishes, as far as that needs no password, and opens
// the driver. Flag 1 asks for read-only access. A refusal is an *Error. Method 2, polkit,
// means that the server may ask a person, for as long as ctx lasts. It is for once:
// servers refuse a second open.
func (c *Client) Open(ctx context.Context, name string, flags uint32) error {
	var auth protocol.AuthListRet
	if err := c.Remote(ctx, protocol.ProcAuthList, nil, &auth); err != nil {
		return err
	}
	if len(auth.Types) > 0 && auth.Types[0] == protocol.AuthTypePolkit {
		if err := c.Remote(ctx, protocol.ProcAuthPolkit, nil, new(protocol.AuthPolkitRet)); err != nil {
			return err
		}
	}
	return c.Remote(ctx, protocol.ProcConnectOpen, &protocol.ConnectOpenArgs{Name: &name, Flags: flags}, nil)
}

// Disconnect takes leave of the server and closes the connection.
// The server answers CONNECT_CLOSE and hangs up. The connection is closed here in any
// case; the error says whether leave was taken.
func (c *Client) Disconnect(ctx context.Context) error {
	return errors.Join(c.Remote(ctx, protocol.ProcConnectClose, nil, nil), c.Close())
}

// Close ends the connection, fails what is in flight with ErrClosed and waits
// for the client's goroutines. It may be called again.
func (c *Client) Close() error {
	c.fail(ErrClosed)
	c.workers.Wait()
	return nil
}

// Done is closed when the connection has ended, by whichever side. Err says why by then;
// calls under way may end a little later.
func (c *Client) Done() <-chan struct{} { return c.closed }

// Err is why the connection ended, nil while it has not. io.EOF is an orderly
// end by the server.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause
}

// Pings is how many pings of the server have come. Those that Mute left unanswered count
// too.
func (c *Client) Pings() uint64 { return c.pings.Load() }

// fail ends the connection for a reason; the first one counts. Calls and streams are
// ended without mu: whoever waits may call again at once.
func (c *Client) fail(cause error) {
	c.mu.Lock()
	if c.cause != nil {
		c.mu.Unlock()
		return
	}
	c.cause = cause
	// Taken whole under the lock, so each is ended once.
	calls, streams := c.pending, c.streams
	c.pending, c.streams = nil, nil
	close(c.closed)
	c.mu.Unlock()
	c.conn.Close()
	for _, call := range calls {
		call.finish(cause)
	}
	if cause == io.EOF {
		cause = io.ErrUnexpectedEOF // what a stream takes for consent
	}
	for _, s := range streams {
		s.end(cause)
	}
}

// keepAlive counts pings that were not answered by a packet of any kind. It looks once
// per interval, so silence is noticed after count+1 intervals at the latest.
func (c *Client) keepAlive() {
	tick := time.NewTicker(c.options.interval)
	defer tick.Stop()
	heard, missed := c.heard.Load(), 0
	for {
		select {
		case <-c.closed:
			return
		case <-tick.C:
		}
		// Any packet is a sign of life.
		if now := c.heard.Load(); now != heard {
			heard, missed = now, 0
			continue
		}
		// The last ping had its interval too.
		if missed == c.options.count {
			c.fail(ErrKeepAlive)
			return
		}
		missed++
		c.putKeepAlive(protocol.KeepalivePing)
	}
}

// putKeepAlive sends a ping or a pong. A header alone always can be encoded.
func (c *Client) putKeepAlive(procedure int32) {
	_, _ = c.out.put(frame.Header{
		Program: protocol.KeepaliveProgram, Version: protocol.KeepaliveVersion,
		Procedure: procedure, Type: frame.Message,
	}, nil, nil, false)
}

// closeFiles closes what nobody takes.
func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
