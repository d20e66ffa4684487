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

// Patience is how long a wish waits for its turn.
const Patience = 30 * time.Second

// QueueLimit is how many wishes may wait at one gate.
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

// Gate lets one change in at a time. The zero value is open. Its mutex is a
// leaf: nothing is called with it held.
type Gate struct {
	mu      sync.Mutex
	holder  *string // name of the change inside, nil if the gate is open
	waiting []*waiter
}

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
		err = fault.JobTimeout(g.Holder())
	case <-ctx.Done():
		err = &fault.Error{Kind: fault.Aborted, Text: "the caller went away", Err: ctx.Err()}
	case <-stop:
		err = closing()
	}
	g.giveUp(w)
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

// giveUp leaves the queue, or hands the gate on if it was won just now.
func (g *Gate) giveUp(w *waiter) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if w.handed {
		g.next()
		return
	}
	g.waiting = slices.DeleteFunc(g.waiting, func(other *waiter) bool { return other == w })
}

// leave hands the gate to whoever waits longest.
func (g *Gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.next()
}

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
