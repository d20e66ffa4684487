// Package feed tells subscribers what happens. Publishing never waits for a
// subscriber: each client has a queue of its own and a goroutine that empties
// it, so a client hears of things in their order, whichever of its
// subscriptions they are for.
package feed

import (
	"context"
	"log/slog"
	"sync"

	"virtlxcd/domain/access"
	"virtlxcd/ports"
)

// QueueLimit is how many events may wait for one client. A client that is
// slower loses the oldest. Subscriptions of one client share the room.
const QueueLimit = 4096

// Feed is the set of clients. Its mutex is held only to look at the set, and
// before that of a client. Publish holds it for reading, so that events of
// different containers do not wait for each other.
type Feed struct {
	access ports.Access
	log    *slog.Logger

	mu      sync.RWMutex
	next    int // number of the next subscription
	clients map[*Client]struct{}
	closed  bool
}

// New returns a feed. Access is asked whether the receiver of an event may know
// of the container; if not the event is silently dropped. An answer that takes
// long holds up that receiver alone.
func New(access ports.Access, log *slog.Logger) *Feed {
	return &Feed{access: access, log: log, clients: map[*Client]struct{}{}}
}

// Join returns a client without subscriptions, which costs nothing yet. It ends
// with Leave, or with the feed.
func (f *Feed) Join(caller access.Caller) *Client {
	return &Client{
		feed: f, caller: caller, subscriptions: map[int]*subscription{},
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
}

// Publish queues event for everybody who wants it, in the order of calls. What
// events of two goroutines have for an order is up to the lock; those of one
// container are published with its gate held and so come in the order of its
// changes.
func (f *Feed) Publish(event ports.Event) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for c := range f.clients {
		c.push(event)
	}
}

// Close ends all subscriptions and waits for their goroutines. What was queued
// and not yet delivered is lost. Deliver must not be what calls it. Publishing
// afterwards reaches nobody.
func (f *Feed) Close() {
	f.mu.Lock()
	f.closed = true
	all := f.clients
	f.clients = map[*Client]struct{}{}
	f.mu.Unlock()
	for c := range all {
		c.cancel()
	}
	for c := range all {
		<-c.done
	}
}

// admit gives a subscription its number and makes sure that its client is
// served. On a closed feed nothing is ever delivered.
func (f *Feed) admit(c *Client) (number int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	number = f.next
	f.next++
	if c.cancel == nil && !f.closed {
		f.clients[c] = struct{}{}
		var ctx context.Context
		ctx, c.cancel = context.WithCancel(context.Background())
		go c.run(ctx)
	}
	return number
}

// dismiss serves a client no longer. It returns what ends its goroutine, nil if it
// never had one: whoever else ends it, or has, the caller is to wait as well.
func (f *Feed) dismiss(c *Client) context.CancelFunc {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.clients, c)
	return c.cancel
}
