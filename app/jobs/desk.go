package jobs

import (
	"context"
	"sync"

	"virtlxcd/domain/fault"
)

// Desk runs changes on the daemon's context, whoever asked for them, and knows
// which are under way. There is one per daemon; gates belong to the containers
// and know nothing of it.
type Desk struct {
	ctx    context.Context
	cancel context.CancelFunc
	stop   chan struct{} // closed when nothing new is accepted

	mu     sync.Mutex
	closed bool
	active int
	idle   chan struct{} // closed when closed and active is 0
}

// NewDesk returns an open desk. Jobs see the values of ctx and end with it.
// Close must be called in the end, or the context of the jobs is never
// released.
func NewDesk(ctx context.Context) *Desk {
	d := &Desk{stop: make(chan struct{}), idle: make(chan struct{})}
	d.ctx, d.cancel = context.WithCancel(ctx)
	return d
}

// Do waits for the turn of wish at the gate, as long as ctx lasts, and calls
// work with the daemon's context, in the caller's goroutine. It returns what work
// returns, or without having called it a fault: Timeout after Patience, naming the
// change in the way; Failed for a full queue; Aborted if ctx or the desk ended
// first. A gate that is open is entered without a look at ctx: there is nothing to
// wait for. Work that wants the same gate waits for itself.
func (d *Desk) Do(ctx context.Context, gate *Gate, wish Wish, work func(context.Context) error) error {
	if !d.enter() {
		return closing()
	}
	defer d.leave()
	if err := gate.enter(ctx, d.stop, wish); err != nil {
		return err
	}
	defer gate.leave()
	return work(d.ctx)
}

// Context is the daemon's: it ends when Close gave up waiting.
func (d *Desk) Context() context.Context { return d.ctx }

// Closing is closed when no new changes are accepted.
func (d *Desk) Closing() <-chan struct{} { return d.stop }

// enter counts a change, waiting or under way, unless the desk is closed.
func (d *Desk) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.active++
	return true
}

// leave also runs when work panics, so that Close does not wait for ever.
func (d *Desk) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.active--
	if d.closed && d.active == 0 {
		close(d.idle)
	}
}

// Close refuses new changes and those that still wait, and waits for those
// under way. When ctx ends first they are told through their context, and the
// answer is of kind Timeout. Closing twice waits again.
func (d *Desk) Close(ctx context.Context) error {
	d.refuse()
	defer d.cancel()
	select {
	case <-d.idle:
		return nil
	case <-ctx.Done():
		return fault.Wrap(ctx.Err(), fault.Timeout, "changes are still under way")
	}
}

// refuse closes the desk. Those who wait at gates see stop and give up. Those
// already inside are not disturbed: only Close's caller decides when to end
// them.
func (d *Desk) refuse() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	d.closed = true
	close(d.stop)
	if d.active == 0 {
		close(d.idle)
	}
}

// closing is the answer to changes that come too late.
func closing() error { return fault.New(fault.Aborted, fault.Driver, "the daemon is shutting down") }
