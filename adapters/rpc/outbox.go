package rpc

import (
	"errors"
	"net"
	"sync"

	"virtlxcd/adapters/rpc/frame"
)

// What may wait unsent for one client. Replies and stream data are bounded by the
// session's slots and by one packet per stream; events and pongs are bounded here.
// 64 pongs are more than a client asks for before it reads one; further pings find their
// answer queued already.
const (
	maxEvents     = 16384
	maxEventBytes = 32 << 20
	maxPongs      = 64
)

var errSlowReader = errors.New("client does not read its events")

// share says how much of the outbox the poster writes if nobody else is writing.
type share uint8

const (
	drainNone share = iota // nothing: a goroutine is started for it
	drainOnce              // what is there, a goroutine for what arrives meanwhile
	drainAll               // until it is empty
)

// outbox lets any number of goroutines send whole packets over one connection.
// Whoever posts while nobody writes becomes the writer: the common case, one answer,
// is written by the goroutine that made it, without a switch to another. No lock is
// held while writing.
type outbox struct {
	conn  net.Conn
	spawn func(func()) // starts a goroutine the session waits for
	fail  func(error)  // ends the session; must not block

	mu         sync.Mutex
	queue      []*outgoing
	spare      []*outgoing // storage of the batch before
	writing    bool
	closed     bool
	events     int
	eventBytes int
	pongs      int
}

// post queues a packet, in order. It blocks only as far as how allows.
func (o *outbox) post(packet *outgoing, how share) {
	write, err := o.add(packet, how)
	if err != nil {
		release(packet, false)
		o.fail(err)
		return
	}
	if write {
		o.drain(how)
	}
}

// add reports whether the caller has to write. A packet that cannot be added
// is released here, unless an error is returned.
func (o *outbox) add(packet *outgoing, how share) (write bool, err error) {
	o.mu.Lock()
	if o.closed || (packet.kind == pong && o.pongs >= maxPongs) {
		o.mu.Unlock()
		release(packet, false)
		return false, nil
	}
	defer o.mu.Unlock()
	if !o.count(packet, 1) {
		o.count(packet, -1)
		return false, errSlowReader
	}
	o.queue = append(o.queue, packet)
	if o.writing {
		return false, nil
	}
	o.writing = true
	if how == drainNone {
		o.spawn(o.drainRest)
		return false, nil
	}
	return true, nil
}

// count keeps the books of what is bounded; false if there is too much of it.
func (o *outbox) count(packet *outgoing, sign int) bool {
	switch packet.kind {
	case event:
		o.events += sign
		o.eventBytes += sign * len(packet.data)
	case pong:
		o.pongs += sign
	}
	return o.events <= maxEvents && o.eventBytes <= maxEventBytes
}

// drain writes batches; only the goroutine that set writing may call it.
func (o *outbox) drain(how share) {
	batch := o.next(nil, drainAll)
	for len(batch) > 0 {
		err := o.write(batch)
		if err != nil {
			o.fail(err)
		}
		for _, packet := range batch {
			release(packet, err == nil)
		}
		batch = o.next(batch, how)
	}
}

// next gives back a batch's storage and takes the next one. When the caller has
// written its share, a goroutine goes on instead.
func (o *outbox) next(done []*outgoing, how share) []*outgoing {
	clear(done)
	o.mu.Lock()
	defer o.mu.Unlock()
	if done != nil {
		o.spare = emptied(done)
	}
	if len(o.queue) == 0 {
		o.writing = false
		return nil
	}
	if how == drainOnce {
		o.spawn(o.drainRest)
		return nil
	}
	batch := o.queue
	o.queue, o.spare = o.spare, nil
	for _, packet := range batch {
		o.count(packet, -1)
	}
	return batch
}

func (o *outbox) drainRest() { o.drain(drainAll) }

// close gives up what is queued and refuses what comes later. The batch being
// written, if any, is given up by its writer when the connection fails.
func (o *outbox) close() {
	o.mu.Lock()
	o.closed = true
	given := o.queue
	o.queue = nil
	o.mu.Unlock()
	for _, packet := range given {
		release(packet, false)
	}
}

// write sends packets in order, joining small ones into one system call.
func (o *outbox) write(batch []*outgoing) error {
	for len(batch) > 0 {
		n, err := o.writeSome(batch)
		if err != nil {
			return err
		}
		batch = batch[n:]
	}
	return nil
}

// writeSome sends at least one packet and says how many.
func (o *outbox) writeSome(batch []*outgoing) (int, error) {
	n := joinable(batch)
	if n <= 1 {
		return 1, o.writeOne(batch[0])
	}
	joined := newOutgoing()
	defer release(joined, true)
	for _, packet := range batch[:n] {
		joined.data = append(joined.data, packet.data...)
	}
	_, err := o.conn.Write(joined.data)
	return n, err
}

// writeOne sends a packet that is large, or has descriptors, which must follow it.
func (o *outbox) writeOne(packet *outgoing) error {
	return frame.Write(o.conn, packet.data, packet.files)
}

// joinable counts the packets at the front that fit one buffer.
func joinable(batch []*outgoing) int {
	size := 0
	for i, packet := range batch {
		size += len(packet.data)
		if size > keptBuffer || len(packet.files) > 0 {
			return i
		}
	}
	return len(batch)
}
