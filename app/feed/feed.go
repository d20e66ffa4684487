// Package feed tells subscribers what happens. Publishing never waits for a
// subscriber: each has a queue of its own and a goroutine that empties it.
package feed

import (
	"context"
	"log/slog"
	"sync"

	"virtlxcd/domain/access"
	"virtlxcd/ports"
)

// QueueLimit is how many events may wait for one subscriber. A subscriber that
// is slower loses the oldest.
const QueueLimit = 4096

// Feed is the set of subscriptions. Its mutex is held only to look at the set.
type Feed struct {
	access ports.Access
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc

	mu            sync.RWMutex
	next          int
	subscriptions map[int]*subscription
	closed        bool
}

// New returns a feed. Access is asked, for every event, whether its receiver may
// know of the container; if not the event is silently dropped.
func New(access ports.Access, log *slog.Logger) *Feed {
	f := &Feed{access: access, log: log, subscriptions: map[int]*subscription{}}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

// Subscribe starts delivery to caller and returns a number that is never used
// again. On a closed feed nothing is ever delivered.
func (f *Feed) Subscribe(caller access.Caller, wish ports.Subscription) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	number := f.next
	f.next++
	if f.closed {
		return number
	}
	s := &subscription{
		feed: f, caller: caller, wish: wish, number: number,
		wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	f.subscriptions[number] = s
	go s.run()
	return number
}

// Unsubscribe ends delivery; when it returns, none is under way. It must not be
// called from Deliver. Unknown numbers are fine.
func (f *Feed) Unsubscribe(number int) {
	f.mu.Lock()
	s := f.subscriptions[number]
	delete(f.subscriptions, number)
	f.mu.Unlock()
	if s != nil {
		close(s.stop)
		<-s.done
	}
}

// Publish queues event for everybody who wants it, in the order of calls.
func (f *Feed) Publish(event ports.Event) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, s := range f.subscriptions {
		if s.wants(&event) {
			s.push(event)
		}
	}
}

// Close ends all subscriptions and waits for their goroutines. What was queued
// and not yet delivered is lost.
func (f *Feed) Close() {
	f.mu.Lock()
	f.closed = true
	all := f.subscriptions
	f.subscriptions = map[int]*subscription{}
	f.mu.Unlock()
	f.cancel()
	for _, s := range all {
		close(s.stop)
	}
	for _, s := range all {
		<-s.done
	}
}
