package rpc

import (
	"sync"

	"virtlxcd/adapters/rpc/frame"
)

// What a session keeps of a client that sends faster than it is served: calls
// waiting for a slot and stream data waiting for its sink, in bytes. A single larger
// packet is taken when nothing else waits. packetCost is added for each packet, so
// that many empty ones are bounded too.
const (
	maxHeld    = 1 << 20
	packetCost = 512
)

// inbox counts a session's calls and holds what cannot be served yet.
//
// A client may have a fixed number of calls in service (slots); a slot is free again
// when the answer has been written. Further calls wait here, in order, and nothing is
// refused. Reading goes on meanwhile, so that keepalive packets behind waiting calls
// are answered and a hang-up is noticed; it stops when maxHeld bytes wait. Stream
// data that its sink does not take waits in the same budget but takes no slot: a
// console nobody reads can not block the calls of its connection.
type inbox struct {
	limit int

	mu     sync.Mutex
	space  sync.Cond // signalled when bytes shrinks or the inbox closes
	used   int       // slots
	held   fifo[*frame.Packet]
	bytes  int
	closed bool
	warned bool
}

func (b *inbox) init(limit int) {
	b.limit = max(limit, 1)
	b.space.L = &b.mu
}

// cost is what a held packet counts.
func cost(packet *frame.Packet) int { return len(packet.Payload) + packetCost }

// admission is what becomes of a call that was just read.
type admission uint8

const (
	admitted admission = iota
	waiting
	waitingFirst // waiting, and no call of this session ever waited before
)

// admit takes a slot for the call or keeps it until one is free.
func (b *inbox) admit(packet *frame.Packet) admission {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used < b.limit && b.held.len() == 0 {
		b.used++
		return admitted
	}
	b.held.push(packet)
	b.bytes += cost(packet)
	if b.warned || b.limit == 1 { // whoever allows one call only knows what it does
		return waiting
	}
	b.warned = true
	return waitingFirst
}

// passOn gives a slot back, or with it the next waiting call.
func (b *inbox) passOn() (next *frame.Packet, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.held.len() == 0 {
		b.used--
		return nil, false
	}
	next = b.held.pop()
	b.shrink(cost(next))
	return next, true
}

// keep counts stream data that waits for its sink; shed counts it off.
func (b *inbox) keep(bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes += bytes
}

// shed is called when data has been written to its sink or given up.
func (b *inbox) shed(bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shrink(bytes)
}

// shrink wakes the reader, the only one who waits. mu is held.
func (b *inbox) shrink(bytes int) {
	b.bytes -= bytes
	b.space.Signal()
}

// full reports whether wait would block at the moment.
func (b *inbox) full() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes > maxHeld
}

// busy reports whether a call is in service.
func (b *inbox) busy() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used > 0
}

// wait returns when there is room to read on, false when the inbox is closed. Only
// the reader calls it.
func (b *inbox) wait() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.bytes > maxHeld && !b.closed {
		b.space.Wait()
	}
	return !b.closed
}

// close gives up the waiting calls.
func (b *inbox) close() {
	b.mu.Lock()
	b.closed = true
	given := b.held
	b.held = fifo[*frame.Packet]{}
	b.space.Signal()
	b.mu.Unlock()
	for given.len() > 0 {
		discard(given.pop())
	}
}
