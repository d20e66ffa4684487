package frame

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	// bufferSize holds many calls; a connection has a buffer while there is something
	// in it.
	bufferSize = 4096
	// growth bounds what is allocated for a payload ahead of its bytes.
	growth = 64 << 10
)

// Packet is one packet taken apart.
type Packet struct {
	Header  Header
	Payload []byte // after the header and the number of descriptors
	// Files are the descriptors passed with the packet, close-on-exec, in order.
	// Whoever has the packet closes them.
	Files []*os.File
}

// CloseFiles closes what was passed with the packet.
func (p *Packet) CloseFiles() {
	for _, f := range p.Files {
		f.Close()
	}
	p.Files = nil
}

// buffers are those that no Reader needs at the moment.
var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// Reader takes packets from a connection. It reads ahead, with room for
// descriptors in every read: the kernel ends a read behind the byte that a
// descriptor came with, so that byte is always the last one of its read and
// nothing read ahead can be mistaken for it. A Reader has one user at a time;
// closing the connection ends a Read that waits. Between packets it holds no
// buffer, so that thousands of silent connections cost little.
type Reader struct {
	src    source
	buf    *[bufferSize]byte // nil: nothing is read ahead
	r, w   int               // buf[r:w] is read and not consumed
	passed int64             // bytes consumed since the beginning
	limit  time.Duration     // for one packet; 0: none
	timed  bool              // the connection has a deadline
}

// NewReader reads from conn, which takes descriptors if it is a *net.UnixConn.
// Nothing else may read from conn from now on.
func NewReader(conn net.Conn) *Reader {
	r := &Reader{}
	r.src.init(conn)
	return r
}

// Limit bounds the time from the first byte of a packet to its last descriptor;
// Read then fails with ErrSlow. The Reader sets the connection's read deadlines for
// this and nobody else may. 0 is no limit. It must not be called during Read.
func (r *Reader) Limit(limit time.Duration) { r.limit = limit }

// Await waits for the first bytes of the next packet, for whoever wants to prepare
// for Read no earlier than necessary. Its errors are those of Read.
func (r *Reader) Await() error {
	if r.r < r.w {
		return nil
	}
	err := r.fill()
	if err != nil {
		r.src.closeStrays(r.src.received)
	}
	return err
}

// fill reads the first bytes into an empty buffer. The buffer is taken when there are
// bytes for it.
func (r *Reader) fill() error {
	for {
		n, err := r.src.await(&r.buf)
		r.r, r.w = 0, n
		if n > 0 {
			return nil // an error comes again
		}
		r.rest()
		if err != nil {
			return err
		}
	}
}

// rest gives an empty buffer back.
func (r *Reader) rest() {
	if r.buf != nil && r.r == r.w {
		buffers.Put(r.buf)
		r.buf, r.r, r.w = nil, 0, 0
	}
}

// Read waits for the next packet. The payload goes into p.Payload if it fits
// there, so a caller that gives the same Packet again saves an allocation; what
// p.Files held is forgotten, not closed. io.EOF is the end between two packets,
// io.ErrUnexpectedEOF the end within one, ErrLength and ErrFDs are violations by
// the peer, and so is ErrSlow. After an error the Reader has closed all descriptors
// it had and is of no more use.
func (r *Reader) Read(p *Packet) error {
	p.Files = nil
	if err := r.Await(); err != nil {
		return err
	}
	err := r.read(p)
	if err == nil && r.timed {
		r.timed = false
		err = r.src.conn.SetReadDeadline(time.Time{})
	}
	if err != nil {
		p.CloseFiles()
		r.src.closeStrays(r.src.received)
	}
	r.rest()
	return err
}

// more reads within a packet, whose time runs from the first time it has to.
func (r *Reader) more(p []byte) (int, error) {
	if r.limit > 0 && !r.timed {
		r.timed = true
		if err := r.src.conn.SetReadDeadline(time.Now().Add(r.limit)); err != nil {
			return 0, err
		}
	}
	n, err := r.src.read(p)
	if err != nil && r.timed && errors.Is(err, os.ErrDeadlineExceeded) {
		err = ErrSlow
	}
	return n, err
}

func (r *Reader) read(p *Packet) error {
	length, err := r.length()
	if err != nil {
		return err
	}
	if err := r.ensure(HeaderSize); err != nil {
		return unexpected(err)
	}
	p.Header = ParseHeader(r.buf[r.r:r.w])
	r.consume(HeaderSize)
	left := length - HeaderSize
	fds := 0
	if p.Header.Type.HasFDs() {
		if fds, err = r.count(left); err != nil {
			return err
		}
		left -= LengthSize
	}
	if err := r.payload(p, left); err != nil {
		return unexpected(err)
	}
	return unexpected(r.files(p, fds))
}

// length waits for four bytes and judges them before any more is read.
func (r *Reader) length() (int, error) {
	if err := r.ensure(LengthSize); err != nil {
		return 0, unexpected(err)
	}
	n := binary.BigEndian.Uint32(r.buf[r.r:])
	if n < HeaderSize || n > MaxPacket {
		return 0, ErrLength
	}
	return int(n), nil
}

// count reads how many descriptors follow a packet of which left bytes remain.
func (r *Reader) count(left int) (int, error) {
	if left < LengthSize {
		return 0, ErrLength
	}
	if err := r.ensure(LengthSize); err != nil {
		return 0, unexpected(err)
	}
	n := binary.BigEndian.Uint32(r.buf[r.r:])
	r.consume(LengthSize)
	if n > MaxFDs {
		return 0, ErrFDs
	}
	return int(n), nil
}

// payload takes n bytes: what is in the buffer, then straight from the
// connection, never reading past the packet and never allocating far ahead of
// what has arrived.
func (r *Reader) payload(p *Packet, n int) error {
	have := min(n, r.w-r.r)
	p.Payload = append(p.Payload[:0], r.buf[r.r:r.r+have]...)
	r.consume(have)
	for len(p.Payload) < n {
		if len(p.Payload) == cap(p.Payload) {
			p.Payload = slices.Grow(p.Payload, min(n-len(p.Payload), max(growth, len(p.Payload))))
		}
		end := min(n, cap(p.Payload))
		got, err := r.more(p.Payload[len(p.Payload):end])
		p.Payload = p.Payload[:len(p.Payload)+got]
		r.passed += int64(got)
		r.src.closeStrays(r.passed)
		if err != nil {
			return err
		}
	}
	return nil
}

// files takes n bytes outside the packet, each with its descriptor.
func (r *Reader) files(p *Packet, n int) error {
	for range n {
		if err := r.ensure(1); err != nil {
			return err
		}
		f := r.src.take(r.passed + 1)
		r.consume(1)
		if f == nil {
			return ErrFDs
		}
		p.Files = append(p.Files, f)
	}
	return nil
}

// ensure fills the buffer until n bytes are there. n is at most HeaderSize.
func (r *Reader) ensure(n int) error {
	for r.w-r.r < n {
		if r.r > 0 {
			r.w = copy(r.buf[:], r.buf[r.r:r.w])
			r.r = 0
		}
		got, err := r.more(r.buf[r.w:])
		r.w += got
		if err != nil && r.w-r.r < n {
			return err
		}
	}
	return nil
}

// consume gives up n bytes, and the descriptors that came with them: whoever
// wanted those has taken them.
func (r *Reader) consume(n int) {
	r.r += n
	r.passed += int64(n)
	r.src.closeStrays(r.passed)
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
