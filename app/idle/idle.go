// Package idle tells when nobody has needed the daemon for a while.
package idle

import (
	"sync"
	"time"
)

// Watch counts who needs the daemon: clients, running containers, its own start.
// While nobody does, time runs. It is safe from any goroutine.
type Watch struct {
	expired chan struct{} // closed when the limit has passed

	mu    sync.Mutex // guards what follows
	limit time.Duration
	users int
	timer *time.Timer // nil before the first run
	turn  uint        // which run of the time this is
	over  bool
}

// New returns a watch that nobody uses yet, with the time running. A limit of 0
// is none.
func New(limit time.Duration) *Watch {
	w := &Watch{expired: make(chan struct{}), limit: limit}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.arm()
	return w
}

// Occupied says that delta more use the daemon, or with a negative delta fewer.
func (w *Watch) Occupied(delta int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.users += delta
	w.arm()
}

// SetLimit changes the limit; the time so far does not count.
func (w *Watch) SetLimit(limit time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.limit = limit
	w.arm()
}

// Limit returns the limit.
func (w *Watch) Limit() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.limit
}

// Expired is closed once nobody has used the daemon for as long as the limit. It
// stays closed: the daemon is to end.
func (w *Watch) Expired() <-chan struct{} { return w.expired }

// Stop lets the time stand still for good.
func (w *Watch) Stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.limit = 0
	w.arm()
}

// arm lets the time run, from the beginning, if it is to. Called with mu held.
func (w *Watch) arm() {
	w.turn++
	if w.timer != nil {
		w.timer.Stop()
	}
	if w.users > 0 || w.limit <= 0 || w.over {
		return
	}
	turn := w.turn
	w.timer = time.AfterFunc(w.limit, func() { w.expire(turn) })
}

// expire ends the watch, unless somebody came at the last moment.
func (w *Watch) expire(turn uint) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if turn != w.turn || w.over {
		return
	}
	w.over = true
	close(w.expired)
}
