package rpc

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"
)

// TestFIFO compares the queue with a plain slice over random steps.
func TestFIFO(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var queue fifo[int]
		var model []int
		next := 0
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0, 1:
				for range rapid.IntRange(1, 60).Draw(t, "pushed") {
					queue.push(next)
					model = append(model, next)
					next++
				}
				assert.LessOrEqual(t, len(queue.items), 2*len(model)+64, "storage does not grow with what has gone")
			case 2:
				for range min(len(model), rapid.IntRange(1, 60).Draw(t, "popped")) {
					assert.Equal(t, model[0], queue.pop())
					model = model[1:]
				}
			case 3:
				divisor := rapid.IntRange(2, 9).Draw(t, "divisor")
				var taken, kept []int
				for _, n := range model {
					if n%divisor == 0 {
						taken = append(taken, n)
					} else {
						kept = append(kept, n)
					}
				}
				assert.Equal(t, taken, queue.remove(func(n int) bool { return n%divisor == 0 }))
				model = kept
			}
			assert.Equal(t, len(model), queue.len())
		}
	})
}

// What a burst has made large is not kept; what usual traffic needs is.
func TestFIFOAfterABurst(t *testing.T) {
	var queue fifo[int]
	for size, kept := range map[int]bool{10: true, 10_000: false} {
		for i := range size {
			queue.push(i)
		}
		for range size {
			queue.pop()
		}
		assert.Equal(t, kept, cap(queue.items) > 0, size)
	}
}
