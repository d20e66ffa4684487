package client

import (
	"os"
	"sync"

	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/adapters/rpc/protocol"
)

// outbox collects packets while the writer is busy, so that calls made at the
// same time leave together.
// Two buffers take turns: one is written while the other is filled. Nothing bounds them
// but the callers, who wait for their answers.
type outbox struct {
	wake chan struct{}

	mu    sync.Mutex
	bytes []byte
	marks []mark
	spare []byte // the buffer the writer has done with
}

// mark is a point in the outgoing bytes where something must happen. Without files it
// only tells somebody that the bytes have gone.
type mark struct {
	end     int
	files   []*os.File    // follow the bytes before end
	written chan struct{} // closed when all that is written
}

// newOutbox has room for one wake: any number of packets are fetched at once.
func newOutbox() *outbox { return &outbox{wake: make(chan struct{}, 1)} }

// put adds a packet. With wanted the result is closed once packet and files are
// written; a caller that waits for it must also watch the connection's end. Body and
// header are encoded at once, so the caller may change the body afterwards. An error
// means that nothing was added.
func (o *outbox) put(h frame.Header, body protocol.Message, files []*os.File, wanted bool) (<-chan struct{}, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	begin := len(o.bytes)
	if err := o.encode(h, body, len(files)); err != nil {
		o.bytes = o.bytes[:begin]
		return nil, err
	}
	var written chan struct{}
	if wanted || len(files) > 0 {
		written = make(chan struct{})
		o.marks = append(o.marks, mark{end: len(o.bytes), files: files, written: written})
	}
	select {
	// A full channel means that the writer will come anyway.
	case o.wake <- struct{}{}:
	default:
	}
	return written, nil
}

// encode appends one whole packet. With an error the bytes behind begin are rubbish,
// which put cuts off.
func (o *outbox) encode(h frame.Header, body protocol.Message, files int) error {
	begin := len(o.bytes)
	if h.Type.HasFDs() {
		o.bytes = frame.AppendHeaderFDs(o.bytes, h, files)
	} else {
		o.bytes = frame.AppendHeader(o.bytes, h)
	}
	if body != nil {
		b, err := body.AppendXDR(o.bytes)
		if err != nil {
			return err
		}
		o.bytes = b
	}
	return frame.Finish(o.bytes[begin:])
}

// take empties the outbox. Marks count from the start of the bytes that come with them.
func (o *outbox) take() ([]byte, []mark) {
	o.mu.Lock()
	defer o.mu.Unlock()
	bytes, marks := o.bytes, o.marks
	o.bytes, o.marks, o.spare = o.spare[:0], nil, nil
	return bytes, marks
}

// give returns a buffer for later use. Its content is overwritten when the other buffer
// is taken.
func (o *outbox) give(b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.spare = b
}

// send writes what is put into the outbox until the connection ends. It is the only
// goroutine that writes, so packets never mix.
func (c *Client) send() {
	for {
		select {
		case <-c.closed:
			return
		case <-c.out.wake:
		}
		bytes, marks := c.out.take()
		if err := c.write(bytes, marks); err != nil {
			c.fail(err)
			return
		}
		c.out.give(bytes)
	}
}

// write sends what was taken from the outbox in as few system calls as descriptors
// allow: each byte that carries one must follow its packet (see frame.WriteFiles).
func (c *Client) write(bytes []byte, marks []mark) error {
	begin := 0
	for i, m := range marks {
		if len(m.files) == 0 && i < len(marks)-1 {
			continue // leaves with the next one
		}
		if err := frame.Write(c.conn, bytes[begin:m.end], m.files); err != nil {
			return err
		}
		begin = m.end
	}
	// All at once: who waits for an earlier one waits for the later ones too.
	for _, m := range marks {
		close(m.written)
	}
	if begin == len(bytes) {
		return nil
	}
	return frame.Write(c.conn, bytes[begin:], nil)
}
