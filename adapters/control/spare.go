package control

import (
	"context"
	"sync"
)

// spare is a controller that was started before anybody needed it, because to
// execute and initialize a program is half of what a start takes. It is made
// when no start is under way.
type spare struct {
	spawn func(context.Context) (*Controller, error)

	mu     sync.Mutex // guards ready, busy and closed
	ready  *Controller
	busy   bool // one is being made
	closed bool
	work   sync.WaitGroup
}

// breed says how one is made and makes the first.
// It must be called once, before the others.
func (s *spare) breed(spawn func(context.Context) (*Controller, error)) {
	s.spawn = spawn
	s.refill()
}

// take returns the spare one if it is there and alive; the caller owns it. It does
// not wait for one that is being made.
// Nil is no error: the caller then makes one itself, and waits that long.
func (s *spare) take() *Controller {
	s.mu.Lock()
	one := s.ready
	s.ready = nil
	s.mu.Unlock()
	if one != nil && one.isGone() {
		one.Close() // outside of the lock: it asks for a refill
		return nil
	}
	return one
}

// refill makes a new one if there is none. A failure is not told: who needs one
// tries itself and gets the error.
// It returns at once, may be called at any time, and does nothing after close.
func (s *spare) refill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.busy || s.ready != nil {
		return
	}
	s.busy = true
	s.work.Go(s.fill)
}

// fill does what refill began. It does not end with a context: close waits for it.
// The network is made for it too. Nobody else has seen the controller yet, so its
// fields need no lock here.
func (s *spare) fill() {
	one, err := s.spawn(context.Background())
	if err == nil {
		one.network = newNetwork() // takes half a millisecond of a start too
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy = false
	if err == nil {
		s.ready = one
	}
}

// close ends the spare one: a controller without work and daemon ends by itself.
// One that is being made is waited for, or nobody would hang up on it.
func (s *spare) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.work.Wait()
	if one := s.take(); one != nil {
		one.Close()
	}
}
