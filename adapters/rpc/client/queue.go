package client

import (
	"context"
	"sync"
)

// queue hands values from the receiver to whoever asks, in order.
// It is unbounded; who puts looks at the number that put returns. wake has room for one
// signal, and whoever takes a value and leaves some passes the signal on, so no value
// waits while somebody waits for one.
type queue[T any] struct {
	wake chan struct{}

	mu    sync.Mutex
	items []T
}

// newQueue makes an empty one; it needs no closing.
func newQueue[T any]() *queue[T] { return &queue[T]{wake: make(chan struct{}, 1)} }

// put adds a value and returns how many wait now. It never blocks, as the receiver must
// go on reading.
func (q *queue[T]) put(v T) int {
	q.mu.Lock()
	q.items = append(q.items, v)
	n := len(q.items)
	q.mu.Unlock()
	q.signal()
	return n
}

// signal wakes one who waits, or the next one who comes.
func (q *queue[T]) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// poll takes a value if there is one.
func (q *queue[T]) poll() (v T, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		return v, false
	}
	v = q.items[0]
	q.items = q.items[1:]
	// Another may be waiting who was not woken by that put.
	if len(q.items) > 0 {
		q.signal()
	}
	return v, true
}

// get waits for a value. Once ended is closed it gives what is left and then not
// ok. The error is that of ctx alone.
func (q *queue[T]) get(ctx context.Context, ended <-chan struct{}) (v T, ok bool, err error) {
	for {
		if v, ok = q.poll(); ok {
			return v, true, nil
		}
		select {
		case <-q.wake:
		case <-ctx.Done():
			return v, false, ctx.Err()
		// What came before the end is given first.
		case <-ended:
			v, ok = q.poll()
			return v, ok, nil
		}
	}
}
