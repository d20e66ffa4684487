package rpc

// keptItems is how much storage an empty queue keeps: what a burst has made larger
// must not stay with every connection that once had one.
const keptItems = 64

// fifo is a queue whose storage is reused: popping moves a mark, and the storage
// starts over when the queue runs empty. The zero value is an empty queue.
type fifo[T any] struct {
	items []T
	first int
}

func (q *fifo[T]) len() int { return len(q.items) - q.first }

func (q *fifo[T]) push(item T) {
	if q.first > 32 && q.first > len(q.items)/2 { // mostly holes: close them
		left := copy(q.items, q.items[q.first:])
		clear(q.items[left:])
		q.items, q.first = q.items[:left], 0
	}
	q.items = append(q.items, item)
}

// pop takes the oldest item; the queue must not be empty.
func (q *fifo[T]) pop() T {
	var none T
	item := q.items[q.first]
	q.items[q.first] = none
	q.first++
	if q.first == len(q.items) {
		q.items, q.first = emptied(q.items), 0
	}
	return item
}

// emptied is storage for the next items.
func emptied[T any](items []T) []T {
	if cap(items) > keptItems {
		return nil
	}
	return items[:0]
}

// remove takes out the items for which wanted is true, in order.
func (q *fifo[T]) remove(wanted func(T) bool) []T {
	var taken, kept []T
	for _, item := range q.items[q.first:] {
		if wanted(item) {
			taken = append(taken, item)
			continue
		}
		kept = append(kept, item)
	}
	q.items, q.first = kept, 0
	return taken
}
