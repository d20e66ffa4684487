package harness

import (
	"context"
	"io"
	"sync"

	"virtlxcd/app/driver"
	"virtlxcd/domain/access"
	"virtlxcd/domain/container"
	"virtlxcd/ports"
)

// Call is a call of the use cases that a test may wait for, because a client in
// another process does not tell when it has made it.
type Call string

// The calls that are counted when they return, whatever they return.
const (
	Subscribe   Call = "Subscribe"
	OpenConsole Call = "OpenConsole"
)

// watch stands between the clients' side and the use cases and tells what
// happens there.
// Everything that it does not name is the driver's own method, without a detour.
type watch struct {
	*driver.Driver
	autostarted chan struct{} // closed when autostart is done

	mu      sync.Mutex // guards what follows
	calls   map[Call]int
	changed chan struct{} // closed and replaced when calls change
}

// newWatch stands before cases, for one daemon.
func newWatch(cases *driver.Driver) *watch {
	return &watch{Driver: cases, autostarted: make(chan struct{}), calls: map[Call]int{}, changed: make(chan struct{})}
}

// StartAutostarted tells when it is done.
// It is called once for each daemon; a second call would close the channel twice.
func (w *watch) StartAutostarted(ctx context.Context) error {
	defer close(w.autostarted)
	return w.Driver.StartAutostarted(ctx)
}

// Connect lets a client in whose calls are counted.
func (w *watch) Connect(ctx context.Context, caller access.Caller) (ports.Connection, error) {
	c, err := w.Driver.Connect(ctx, caller)
	if err != nil {
		return nil, err
	}
	return watched{c, w}, nil
}

// watched is a client's connection whose calls are counted.
// A method that is not counted goes straight to the connection.
type watched struct {
	ports.Connection
	watch *watch
}

// Subscribe is counted.
// It is counted after the subscription is in force, so that a test that waits for it
// misses no event.
func (c watched) Subscribe(ctx context.Context, wish ports.Subscription) (int, error) {
	defer c.watch.count(Subscribe)
	return c.Connection.Subscribe(ctx, wish)
}

// OpenConsole is counted.
// Likewise: what a container says from then on reaches the client.
func (c watched) OpenConsole(ctx context.Context, ref container.Ref, device string) (io.ReadWriteCloser, error) {
	defer c.watch.count(OpenConsole)
	return c.Connection.OpenConsole(ctx, ref, device)
}

// count wakes everybody who waits; who has not enough yet waits for the next channel.
func (w *watch) count(call Call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls[call]++
	close(w.changed)
	w.changed = make(chan struct{})
}

// counted returns the channel with the number, so that nothing is missed in between.
func (w *watch) counted(call Call) (n int, changed <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[call], w.changed
}

// Calls is how many such calls clients have made of the running daemon.
func (m *Machine) Calls(call Call) int {
	n, _ := m.daemon.Watch.counted(call)
	return n
}

// AwaitCalls waits until clients have made n such calls in all of the running daemon, or
// for ctx, whose error it returns.
func (m *Machine) AwaitCalls(ctx context.Context, call Call, n int) error {
	for {
		have, changed := m.daemon.Watch.counted(call)
		if have >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
