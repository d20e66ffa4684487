package controller

// ringSize is how much output of a console is kept for a client that comes
// late. In bytes; it is also what init may print in vain without losing any of
// it.
const ringSize = 64 << 10

// ring keeps the last ringSize bytes that nobody has taken yet. Its memory is
// taken with the first byte. start is where the oldest byte is; the kept ones
// may wrap around the end of buffer.
type ring struct {
	buffer []byte
	start  int
	length int
}

// push adds bytes and drops the oldest ones when full. Nothing is refused: the
// newest output is what a late client wants to see.
func (r *ring) push(bytes []byte) {
	if len(bytes) == 0 {
		return
	}
	if r.buffer == nil {
		r.buffer = make([]byte, ringSize)
	}
	if len(bytes) > ringSize {
		bytes = bytes[len(bytes)-ringSize:]
	}
	if excess := r.length + len(bytes) - ringSize; excess > 0 {
		r.drop(excess)
	}
	end := (r.start + r.length) % ringSize
	n := copy(r.buffer[end:], bytes)
	copy(r.buffer, bytes[n:])
	r.length += len(bytes)
}

// front is the oldest run of bytes that lies in one piece. What has wrapped
// around comes with the next call, after drop.
func (r *ring) front() []byte {
	return r.buffer[r.start:min(r.start+r.length, len(r.buffer))]
}

// drop forgets the n oldest bytes. n is at most length.
func (r *ring) drop(n int) {
	r.start = (r.start + n) % ringSize
	r.length -= n
}

// empty says whether nothing is kept.
func (r *ring) empty() bool { return r.length == 0 }
