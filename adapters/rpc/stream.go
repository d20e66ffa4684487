package rpc

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"

	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/adapters/rpc/protocol"
)

// Sizes of one read from a stream's source, in bytes. A source that fills what it is
// offered is offered twice as much next time.
const (
	firstRead   = 16 << 10
	largestRead = frame.MaxStreamData
)

// stream joins a call's triple to something that reads and writes. Two goroutines
// serve it: pump carries from the source to the client, one packet at a time, so that
// a client that does not read holds up the source and nothing else; run carries from
// the client to the sink and says the last word.
// It ends once, by whoever comes first: the client's finish or abort, a failure of source
// or sink, or the session's end. Then pump is waited for, and run says the last word.
type stream struct {
	session *Session
	header  frame.Header // of stream packets
	source  io.ReadWriteCloser
	written chan bool     // pump's packet is out, or given up
	pumped  chan struct{} // closed when pump has ended

	mu     sync.Mutex
	wake   sync.Cond // signalled when queue or last changes
	queue  fifo[*frame.Packet]
	finish bool      // the client wants to end after what is queued
	last   *outgoing // the last packet to the client, once the end is certain
	ended  bool
}

func newStream(s *Session, call frame.Header, source io.ReadWriteCloser) *stream {
	st := &stream{
		session: s, header: call, source: source,
		written: make(chan bool, 1), pumped: make(chan struct{}),
	}
	st.header.Type, st.header.Status = frame.Stream, frame.Continue
	st.wake.L = &st.mu
	return st
}

func (st *stream) key() streamKey { return keyOf(st.header) }

func (st *stream) start() {
	st.session.work.Go(st.pump)
	st.session.work.Go(st.run)
}

// deliver takes a packet of the client in the reader: data and finish are queued, an
// abort overtakes them. It returns false when the stream no longer listens.
func (st *stream) deliver(packet *frame.Packet) bool {
	switch packet.Header.Status {
	case frame.Continue:
		return st.enqueue(packet)
	case frame.OK:
		st.askFinish()
	case frame.Error:
		st.end(st.confirmation())
	default:
		st.end(st.failure(streamError(badStreamStatus(packet.Header.Status))))
	}
	return false
}

func (st *stream) enqueue(packet *frame.Packet) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.ended || st.finish {
		return false
	}
	st.session.inbox.keep(cost(packet))
	st.queue.push(packet)
	st.wake.Signal()
	return true
}

// askFinish lets what is queued be written first.
func (st *stream) askFinish() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.finish = true
	st.wake.Signal()
}

// end makes the stream end now, with last as its last packet (nil: none). The first
// end counts.
func (st *stream) end(last *outgoing) {
	st.mu.Lock()
	first := !st.ended
	if first {
		st.ended, st.last = true, last
		st.wake.Signal()
	}
	st.mu.Unlock()
	if !first {
		if last != nil {
			release(last, false)
		}
		return
	}
	st.source.Close() // frees pump and run if they wait
}

// run writes what the client sends until the stream ends, then sees it off.
func (st *stream) run() {
	for st.carry() {
	}
	st.end(st.confirmation())
	<-st.pumped // nothing may follow the last packet
	st.discard()
	st.session.streams.remove(st)
	if st.last != nil {
		st.session.outbox.post(st.last, drainAll)
	}
}

// carry writes one packet; false when there is nothing more to carry.
// An error of the sink ends the stream and is told to the client with its errno.
func (st *stream) carry() bool {
	packet, ok := st.next()
	if !ok {
		return false
	}
	err := st.consume(packet.Payload)
	st.done(packet)
	if err != nil {
		st.end(st.failure(sinkFailure(err)))
	}
	return err == nil
}

// next waits for data; not ok when the stream has ended, or is to end and all is written.
func (st *stream) next() (*frame.Packet, bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for !st.ended && st.queue.len() == 0 {
		if st.finish {
			return nil, false
		}
		st.wake.Wait()
	}
	if st.ended {
		return nil, false
	}
	return st.queue.pop(), true
}

// consume writes data; no data means that the client has no more.
func (st *stream) consume(data []byte) error {
	if len(data) > 0 {
		_, err := st.source.Write(data)
		return err
	}
	if half, ok := st.source.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// done forgets a packet that was consumed or given up.
func (st *stream) done(packet *frame.Packet) {
	size := cost(packet)
	discard(packet)
	st.session.inbox.shed(size)
}

// discard gives up what no sink will take, so that it no longer counts for the session.
func (st *stream) discard() {
	st.mu.Lock()
	defer st.mu.Unlock()
	for st.queue.len() > 0 {
		st.done(st.queue.pop())
	}
}

func (st *stream) isEnded() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.ended
}

// pump sends what the source yields. The source is read again only when the packet
// before is out.
func (st *stream) pump() {
	defer close(st.pumped)
	packet := &outgoing{kept: true, after: st.signal}
	packet.data = frame.AppendHeader(make([]byte, 0, frame.HeaderSize+firstRead), st.header)
	for st.pumpOnce(packet) {
	}
}

func (st *stream) signal(written bool) { st.written <- written }

// pumpOnce carries one read; false when the source has no more, or nobody listens.
func (st *stream) pumpOnce(packet *outgoing) bool {
	room := packet.data[frame.HeaderSize:cap(packet.data)]
	n, err := st.source.Read(room)
	switch {
	case st.isEnded(): // what was read came too late, and err is our own doing
		return false
	case n > 0 && !st.sendData(packet, n):
		return false
	}
	switch {
	case errors.Is(err, io.EOF):
		st.sendData(packet, 0)
		return false
	case err != nil:
		st.end(st.failure(streamError("stream had I/O failure")))
		return false
	}
	if n == len(room) && n < largestRead {
		larger := make([]byte, frame.HeaderSize, frame.HeaderSize+min(2*n, largestRead))
		copy(larger, packet.data)
		packet.data = larger
	}
	return true
}

// sendData sends n bytes that lie after the header (0: the end) and waits until they
// are out.
func (st *stream) sendData(packet *outgoing, n int) bool {
	packet.data = packet.data[:frame.HeaderSize+n]
	binary.BigEndian.PutUint32(packet.data, uint32(len(packet.data)))
	st.session.outbox.post(packet, drainOnce)
	return <-st.written
}

// confirmation is the answer to finish and abort.
func (st *stream) confirmation() *outgoing {
	header := st.header
	header.Status = frame.OK
	packet, _ := encode(header, nil, nil)
	return packet
}

// failure is a stream packet that carries an error.
func (st *stream) failure(failure *protocol.Error) *outgoing {
	return encodeError(st.header, frame.Stream, failure)
}

// sinkFailure is what the client is told when its data could not be written.
func sinkFailure(err error) *protocol.Error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return streamWriteError(errno)
	}
	if errors.Is(err, os.ErrClosed) || errors.Is(err, io.ErrClosedPipe) {
		return streamError("stream had unexpected termination")
	}
	return streamError("stream had I/O failure")
}
