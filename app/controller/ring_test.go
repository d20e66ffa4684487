package controller

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"
)

// TestRingKeepsTheTail compares the ring with the obvious implementation.
func TestRingKeepsTheTail(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r ring
		var want []byte
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			added := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "bytes")
			if rapid.Bool().Draw(t, "much") {
				added = append(make([]byte, ringSize-7), added...)
			}
			r.push(added)
			want = append(want, added...)
			want = want[max(0, len(want)-ringSize):]
			taken := rapid.IntRange(0, len(r.front())).Draw(t, "taken")
			assert.Equal(t, string(want[:taken]), string(r.front()[:taken]))
			r.drop(taken)
			want = want[taken:]
			assert.Equal(t, len(want), r.length)
		}
		for !r.empty() {
			front := r.front()
			assert.Equal(t, string(want[:len(front)]), string(front))
			want = want[len(front):]
			r.drop(len(front))
		}
		assert.Empty(t, want)
	})
}
