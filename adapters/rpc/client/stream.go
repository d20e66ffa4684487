package client

import (
	"context"
	"io"
	"sync"

	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/adapters/rpc/xdr"
)

// chunksHeld is how many packets of a stream may wait for Recv.
// An empty packet counts like a full one, so up to four gigabytes may be held: enough
// for every test, and the server reads no further than its own bound meanwhile.
const chunksHeld = 1 << 14

// Stream is data tied to a call. One goroutine may receive while another sends.
// Its packets have the program, procedure and serial of the call that opened it. One
// that is neither finished nor aborted stays open at the server until the connection ends.
type Stream struct {
	client *Client
	header frame.Header
	data   *queue[[]byte]
	ended  chan struct{}
	once   sync.Once
	cause  error // why it ended, valid once ended is closed; io.EOF is the server's consent
}

// OpenStream makes a call that opens a stream. ret may be nil.
// args may be nil too. Errors are those of Call; when ctx ends first the server may have
// opened a stream that nobody here knows. Descriptors that come along are closed.
func (c *Client) OpenStream(ctx context.Context, program uint32, procedure int32, args, ret protocol.Message) (*Stream, error) {
	h := frame.Header{Program: program, Version: 1, Procedure: procedure}
	s := &Stream{client: c, header: h, data: newQueue[[]byte](), ended: make(chan struct{})}
	s.header.Type, s.header.Status = frame.Stream, frame.Continue
	waiting := &call{ret: ret, stream: s, done: make(chan struct{})}
	err := c.ask(ctx, h, waiting, args, nil)
	closeFiles(waiting.files) // a stream brings none
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Send writes data, as one packet unless it is too long for one, and returns
// when the connection has taken it. No data is a packet too: the end of the file.
// After the server has ended the stream data is still sent, and dropped there. Once the
// connection has ended the error is why.
func (s *Stream) Send(data []byte) error {
	for {
		n := min(len(data), frame.MaxStreamData)
		if err := s.put(frame.Continue, data[:n]); err != nil {
			return err
		}
		if data = data[n:]; len(data) == 0 {
			return nil
		}
	}
}

// Recv waits for a packet of data. io.EOF is the empty packet that ends the
// server's data, an *Error the server's failure.
// After the end of the stream it gives what came before and then the cause: io.EOF if
// the server agreed to Finish or Abort, io.ErrUnexpectedEOF if the connection ended first.
func (s *Stream) Recv(ctx context.Context) ([]byte, error) {
	data, ok, err := s.data.get(ctx, s.ended)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, s.cause
	// The end of its data, not of the stream.
	case len(data) == 0:
		return nil, io.EOF
	}
	return data, nil
}

// Finish ends the stream and waits for the server's consent. Data may come until
// then; Recv still gives it. An *Error if the server failed before it agreed. A stream is
// left once.
func (s *Stream) Finish(ctx context.Context) error { return s.leave(ctx, frame.OK) }

// Abort ends the stream without regard to what is under way, and waits for the
// server's consent.
func (s *Stream) Abort(ctx context.Context) error { return s.leave(ctx, frame.Error) }

// leave says the last word and waits for the answer. Data that is under way from the
// server comes before its answer and stays for Recv. When ctx ends first the word is said
// all the same, and the stream ends later.
func (s *Stream) leave(ctx context.Context, status frame.Status) error {
	if err := s.put(status, nil); err != nil {
		return err
	}
	select {
	case <-s.ended:
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.cause == io.EOF {
		return nil
	}
	return s.cause
}

// put sends one packet of the stream. It returns when the bytes are written, which is how
// a slow server holds up a sender.
func (s *Stream) put(status frame.Status, data []byte) error {
	if err := s.client.Err(); err != nil {
		return err // nobody empties the outbox any more
	}
	h := s.header
	h.Status = status
	body := raw(data)
	written, err := s.client.out.put(h, &body, nil, true)
	if err != nil {
		return err
	}
	select {
	case <-written:
		return nil
	case <-s.client.closed:
		return s.client.Err()
	}
}

// end wakes whoever waits. The first cause counts. Data that came before stays in the
// queue.
func (s *Stream) end(cause error) {
	s.once.Do(func() {
		s.cause = cause
		close(s.ended)
	})
}

// raw is a payload that is no message.
type raw []byte

// AppendXDR makes raw a message: bytes as they are.
func (r *raw) AppendXDR(b []byte) ([]byte, error) { return append(b, *r...), nil }

// DecodeXDR takes all bytes.
func (r *raw) DecodeXDR(d *xdr.Decoder) error {
	*r = append(raw(nil), d.Rest()...)
	return d.Err()
}

// addStream makes a stream known; false if the connection has ended. The receiver adds it
// before it reads on, so no packet of the stream is missed.
func (c *Client) addStream(s *Stream) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		return false
	}
	c.streams[s.header.Serial] = s
	return true
}

// streamPacket passes data on and ends streams; packets of unknown ones are late.
func (c *Client) streamPacket(p *frame.Packet) {
	c.mu.Lock()
	s := c.streams[p.Header.Serial]
	// Its last packet: later ones find no stream.
	if s != nil && p.Header.Status != frame.Continue {
		delete(c.streams, p.Header.Serial)
	}
	c.mu.Unlock()
	if s == nil {
		return
	}
	switch p.Header.Status {
	case frame.Continue:
		if s.data.put(p.Payload) > chunksHeld {
			c.fail(ErrOverflow)
		}
		p.Payload = nil
	case frame.OK:
		s.end(io.EOF)
	default:
		s.end(decodeError(p.Payload))
	}
}
