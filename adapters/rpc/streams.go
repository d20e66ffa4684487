package rpc

import (
	"sync"

	"virtlxcd/adapters/rpc/frame"
)

// streamKey identifies a stream of a session: the call that opened it.
type streamKey struct {
	program   uint32
	procedure int32
	serial    uint32
}

func keyOf(header frame.Header) streamKey {
	return streamKey{header.Program, header.Procedure, header.Serial}
}

// streams are the open streams of a session.
type streams struct {
	mu     sync.Mutex
	open   map[streamKey]*stream
	closed bool
}

// add makes a stream known, so that packets reach it. It refuses a triple that is a
// stream already, as its packets could not be told apart, and any stream when the
// session is over.
func (t *streams) add(st *stream) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.open[st.key()] != nil {
		return false
	}
	if t.open == nil {
		t.open = make(map[streamKey]*stream)
	}
	t.open[st.key()] = st
	return true
}

// remove makes packets that come late strays.
func (t *streams) remove(st *stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, st.key())
}

// find returns the stream a packet belongs to, or nil.
func (t *streams) find(header frame.Header) *stream {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.open[keyOf(header)]
}

// deliver hands a packet to its stream; false if there is none.
func (t *streams) deliver(packet *frame.Packet) bool {
	st := t.find(packet.Header)
	return st != nil && st.deliver(packet)
}

// abortAll ends all streams without a word to the client.
func (t *streams) abortAll() {
	t.mu.Lock()
	t.closed = true
	open := t.open
	t.open = nil
	t.mu.Unlock()
	for _, st := range open {
		st.end(nil)
	}
}
