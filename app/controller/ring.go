package controller

// ringSize is how much output of a console is kept for a client that comes late.
const ringSize = 64 << 10

// ring keeps the last ringSize bytes that nobody has taken yet. Its memory is
// taken with the first byte.
type ring struct {
	buffer []byte
	start  int
	length int
}

// push adds bytes and drops the oldest ones when full.
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

// front is the oldest run of bytes that lies in one piece.
func (r *ring) front() []byte {
	return r.buffer[r.start:min(r.start+r.length, len(r.buffer))]
}

// drop forgets the n oldest bytes.
func (r *ring) drop(n int) {
	r.start = (r.start + n) % ringSize
	r.length -= n
}

// empty says whether nothing is kept.
func (r *ring) empty() bool { return r.length == 0 }
