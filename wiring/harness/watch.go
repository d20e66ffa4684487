package harness

import (
	"context"
	"sync"

	"virtlxcd/app/driver"
	"virtlxcd/domain/access"
	"virtlxcd/ports"
)

// watch stands between the clients' side and the use cases and tells when
// something happened that clients cannot see: a test may wait for it.
type watch struct {
	*driver.Driver
	autostarted chan struct{} // closed when autostart is done

	mu         sync.Mutex // guards what follows
	subscribed int
	changed    chan struct{} // closed and replaced when subscribed changes
}

func newWatch(cases *driver.Driver) *watch {
	return &watch{Driver: cases, autostarted: make(chan struct{}), changed: make(chan struct{})}
}

// StartAutostarted tells when it is done.
func (w *watch) StartAutostarted(ctx context.Context) error {
	defer close(w.autostarted)
	return w.Driver.StartAutostarted(ctx)
}

// Connect lets a client in whose subscriptions are counted.
func (w *watch) Connect(ctx context.Context, caller access.Caller) (ports.Connection, error) {
	c, err := w.Driver.Connect(ctx, caller)
	if err != nil {
		return nil, err
	}
	return watched{c, w}, nil
}

type watched struct {
	ports.Connection
	watch *watch
}

// Subscribe is counted once it has happened.
func (c watched) Subscribe(ctx context.Context, wish ports.Subscription) (int, error) {
	number, err := c.Connection.Subscribe(ctx, wish)
	if err == nil {
		c.watch.count()
	}
	return number, err
}

func (w *watch) count() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.subscribed++
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *watch) subscriptions() (n int, changed <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.subscribed, w.changed
}

// Subscriptions is how many subscriptions the daemon has taken so far, ended
// ones included.
func (m *Machine) Subscriptions() int {
	n, _ := m.daemon.Watch.subscriptions()
	return n
}

// AwaitSubscriptions waits until the daemon has taken n subscriptions in all.
func (m *Machine) AwaitSubscriptions(ctx context.Context, n int) error {
	for {
		have, changed := m.daemon.Watch.subscriptions()
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
