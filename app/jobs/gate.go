// Package jobs admits one change per container at a time, in order of arrival,
// and lets the daemon wait for the changes under way when it ends.
package jobs

import (
	"context"
	"slices"
	"sync"
	"time"

	"virtlxcd/domain/fault"
)

// Patience is how long a wish waits for its turn; clients of the interface know it
// as the time limit of a job.
const Patience = 30 * time.Second

// QueueLimit is how many wishes may wait at one gate. It bounds what a client
// can make the daemon remember; urgent wishes, which are few, come on top. The
// figure is far above what clients do by accident.
const QueueLimit = 1024

// Wish is a change that somebody wants to make.
type Wish struct {
	// Name is what others are told who wait for this change in vain.
	Name string
	// Urgent wishes are let into a full queue.
	Urgent bool
	// Patient wishes wait for ever: nobody is waiting for their outcome.
	Patient bool
}

// Gate lets one change in at a time, in order of arrival. The zero value is open.
// It must not be copied. Its mutex is a leaf: nothing is called with it held. A gate
// is handed over while it is closed, so nobody who comes between gets in first.
type Gate struct {
	mu      sync.Mutex
	holder  *string // name of the change inside, nil if the gate is open
	waiting []*waiter
}

// waiter is a wish in the queue. handed is guarded by the gate: between the hand-over
// and the moment in which its goroutine runs the wish has the gate and may not know.
type waiter struct {
	wish   Wish
	turn   chan struct{} // closed when the gate was handed over
	handed bool
}

// Holder names the change inside; empty if there is none.
func (g *Gate) Holder() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.holder == nil {
		return ""
	}
	return *g.holder
}

// enter waits for the turn of wish. Stop ends all waiting. Kinds Timeout
// (naming the holder), Failed (queue full), Aborted.
func (g *Gate) enter(ctx context.Context, stop <-chan struct{}, wish Wish) error {
	w, err := g.admit(wish)
	if w == nil {
		return err
	}
	var late <-chan time.Time
	if !wish.Patient {
		timer := time.NewTimer(Patience)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-w.turn:
		return nil
	case <-late:
	case <-ctx.Done():
		err = &fault.Error{Kind: fault.Aborted, Text: "the caller went away", Err: ctx.Err()}
	case <-stop:
		err = closing()
	}
	holder, won := g.giveUp(w)
	switch {
	case won && err == nil: // in the very moment in which it was late
		return nil
	case won:
		g.leave()
	case err == nil:
		err = fault.JobTimeout(holder)
	}
	return err
}

// admit enters at once if the gate is open (nil, nil) or queues.
func (g *Gate) admit(wish Wish) (*waiter, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.holder == nil {
		g.holder = &wish.Name
		return nil, nil
	}
	if len(g.waiting) >= QueueLimit && !wish.Urgent {
		return nil, fault.New(fault.Failed, fault.Host,
			"cannot acquire state change lock due to a full queue (held by monitor=%s)", *g.holder)
	}
	w := &waiter{wish: wish, turn: make(chan struct{})}
	g.waiting = append(g.waiting, w)
	return w, nil
}

// giveUp leaves the queue and tells who is in the way. Won: the gate was handed over
// just now, and is the caller's.
func (g *Gate) giveUp(w *waiter) (holder string, won bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if w.handed {
		return "", true
	}
	g.waiting = slices.DeleteFunc(g.waiting, func(other *waiter) bool { return other == w })
	return *g.holder, false // somebody waits, so somebody is inside
}

// leave hands the gate to whoever waits longest.
func (g *Gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.next()
}

// next hands the gate over, or opens it. Called with mu held, by whoever is inside.
func (g *Gate) next() {
	if len(g.waiting) == 0 {
		g.holder, g.waiting = nil, nil
		return
	}
	w := g.waiting[0]
	g.waiting = g.waiting[1:]
	g.holder = &w.wish.Name
	w.handed = true
	close(w.turn)
}
