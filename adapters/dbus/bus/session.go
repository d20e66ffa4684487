package bus

import (
	"context"
	"time"

	"github.com/godbus/dbus/v5"

	"virtlxcd/domain/fault"
)

const (
	// dialLimit bounds making a connection: a bus that is being started accepts
	// connections before it answers them.
	dialLimit = 10 * time.Second
	// retryAfter is how long a failed attempt answers for further calls.
	retryAfter = time.Second
	// The keeper's pauses between attempts.
	firstPause = 100 * time.Millisecond
	lastPause  = 30 * time.Second
)

// session is one connection.
// It is made by an attempt, becomes Bus.session, and is dead for ever once the library
// has called Terminate. Nothing of it is used again after that.
type session struct {
	bus  *Bus
	conn *dbus.Conn
	age  uint64        // the number of the attempt that made it; under bus.mu until the session is used
	dead bool          // under bus.mu
	gone chan struct{} // closed with it
}

// attempt is a connection being made, which several may wait for.
// session or err is set before done is closed.
type attempt struct {
	done    chan struct{}
	session *session
	err     error
}

// connect returns the connection there is, or makes one. A recent failure is
// not repeated unless the attempt shall be fresh.
// Whoever calls while an attempt is under way waits for that one: a bus that hangs is
// asked once, by however many. The attempt goes on when ctx ends, for the others.
func (b *Bus) connect(ctx context.Context, fresh bool) (*session, error) {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil, errClosed()
	}
	if s := b.session; s != nil {
		b.mu.Unlock()
		return s, nil
	}
	if err := b.failure; err != nil && !fresh && time.Since(b.failed) < retryAfter {
		b.mu.Unlock()
		return nil, err
	}
	a := b.dialing
	if a == nil {
		a = &attempt{done: make(chan struct{})}
		b.dialing = a
		b.wg.Go(func() { b.dial(a) })
	}
	b.mu.Unlock()
	select {
	case <-a.done:
		return a.session, a.err
	case <-ctx.Done():
		return nil, Ended(ctx.Err(), "cannot reach the system bus")
	}
}

// dial performs an attempt and brings the watches up to date.
// Waiters are answered before watches are installed, which takes several exchanges with
// the bus; what is called meanwhile need not wait for that.
func (b *Bus) dial(a *attempt) {
	s, err := b.open()
	b.mu.Lock()
	b.dialing = nil
	b.attempts++
	age := b.attempts
	if s != nil {
		s.age = age
	}
	if err == nil && (s.dead || b.closed) {
		err = fault.New(fault.System, fault.Host, "the connection to the system bus was lost at once")
	}
	if err != nil {
		b.failure, b.failed = err, time.Now()
	} else {
		b.failure, b.session = nil, s
	}
	watches := b.current()
	b.mu.Unlock()
	if err != nil {
		if s != nil {
			_ = s.conn.Close()
		}
		a.err = err
		close(a.done)
		for _, w := range watches {
			w.lost(age)
		}
		return
	}
	a.session = s
	close(a.done)
	for _, w := range watches {
		b.install(s, w)
	}
}

// open makes and greets a connection.
// The bus may accept and say nothing, as one that systemd is starting does: dialLimit
// ends that.
func (b *Bus) open() (*session, error) {
	s := &session{bus: b, gone: make(chan struct{})}
	ctx, cancel := context.WithTimeout(b.ctx, dialLimit)
	defer cancel()
	conn, err := dialPlain(ctx, b.address, dbus.WithSignalHandler(s))
	if err != nil {
		return nil, unreachable(err)
	}
	s.conn = conn
	if err := greet(ctx, conn); err != nil {
		return nil, unreachable(err)
	}
	return s, nil
}

// errClosed answers who calls after Close.
func errClosed() error {
	return fault.New(fault.System, fault.Host, "the connection to the system bus is closed")
}

// unreachable keeps the errno inside: "no such file" is another matter than "refused".
func unreachable(err error) error {
	wrapped := fault.Wrap(err, fault.System, "cannot reach the system bus")
	wrapped.Area = fault.Host
	return wrapped
}

// call writes and waits in a goroutine of its own: writing to a bus that does
// not read blocks, whatever the context says.
// The goroutine is Close's to wait for. A reply that comes after ctx has ended is
// dropped by the library.
func (s *session) call(ctx context.Context, destination, path, method string, args ...any) ([]any, error) {
	done := make(chan *dbus.Call, 1)
	b := s.bus
	b.mu.Lock()
	if b.closed || s.dead {
		b.mu.Unlock()
		return nil, dbus.ErrClosed
	}
	b.wg.Go(func() {
		done <- s.conn.Object(destination, dbus.ObjectPath(path)).CallWithContext(ctx, method, 0, args...)
	})
	b.mu.Unlock()
	select {
	case reply := <-done:
		return reply.Body, reply.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Terminate is called by the library when the connection ends, once.
// The order matters: the session is taken out first, so that whoever calls next dials
// anew, and the watches hear of the loss last, without a lock (see watch.lost).
func (s *session) Terminate() {
	b := s.bus
	b.mu.Lock()
	s.dead = true
	lost := b.session == s
	if lost {
		b.session = nil
	}
	watches := b.current()
	b.mu.Unlock()
	close(s.gone)
	if !lost {
		return
	}
	b.log.Info("the connection to the system bus is lost")
	for _, w := range watches {
		w.lost(s.age)
	}
}

// DeliverSignal is called by the library for every signal, in their order.
// It runs in the goroutine that reads from the bus, so it must not wait: watches take
// what they have room for. What comes over a connection that has been given up is dropped.
func (s *session) DeliverSignal(_, _ string, signal *dbus.Signal) {
	b := s.bus
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.session != s {
		return
	}
	for w := range b.watches {
		w.offer(s, signal)
	}
}

// keep keeps the bus connected as long as it is open. A connection that is lost
// as soon as it is made counts as a failure.
// Pauses double from firstPause to lastPause, so that a host without a bus is not asked
// for ever at the rate of one that restarts.
func (b *Bus) keep() {
	for pause := firstPause; b.ctx.Err() == nil; {
		began := time.Now()
		s, err := b.connect(b.ctx, true)
		if err == nil {
			b.wait(s.gone, nil)
			if time.Since(began) > retryAfter {
				pause = firstPause
				continue
			}
		}
		b.log.Debug("no system bus", "error", err, "next", pause)
		timer := time.NewTimer(pause)
		b.wait(nil, timer.C)
		timer.Stop()
		pause = min(2*pause, lastPause)
	}
}

// wait returns when either happens or the bus is closed.
func (b *Bus) wait(gone <-chan struct{}, due <-chan time.Time) {
	select {
	case <-gone:
	case <-due:
	case <-b.ctx.Done():
	}
}
