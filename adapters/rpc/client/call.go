package client

import (
	"context"
	"os"

	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/adapters/rpc/xdr"
)

// call is a question without an answer yet. Whoever removes it from pending
// finishes it. Its fields are written before done is closed and read after.
type call struct {
	ret    protocol.Message
	stream *Stream // set if the call opens one
	files  []*os.File
	err    error
	done   chan struct{}
}

// finish ends the waiting. It is called once: whoever took the call out of pending does
// it.
func (c *call) finish(err error) {
	c.err = err
	close(c.done)
}

// Call asks and waits for the answer. args and ret may be nil; a ret receives
// the answer, also if more came than it has room for. An answer that is an error
// is an *Error. When ctx ends the answer is dropped, should it still come.
// Files that come with the answer are closed. When the connection ends first the error
// is that of Err: io.EOF, ErrClosed, ErrKeepAlive, ErrOverflow or what frame.Reader
// found. It may be called from any goroutine; calls at the same time share the connection
// and get their answers in any order.
func (c *Client) Call(ctx context.Context, program uint32, procedure int32, args, ret protocol.Message) error {
	files, err := c.CallFiles(ctx, program, procedure, args, ret, nil)
	closeFiles(files)
	return err
}

// Remote is Call for the main program.
// Procedures are numbered in adapters/rpc/protocol.
func (c *Client) Remote(ctx context.Context, procedure int32, args, ret protocol.Message) error {
	return c.Call(ctx, protocol.Program, procedure, args, ret)
}

// CallFiles is Call with descriptors passed to the server, which remain the
// caller's, and those passed back, which become the caller's; with an error there
// are none. It returns when the files are written, even if ctx ends before.
func (c *Client) CallFiles(ctx context.Context, program uint32, procedure int32,
	args, ret protocol.Message, files []*os.File,
) ([]*os.File, error) {
	waiting := &call{ret: ret, done: make(chan struct{})}
	h := frame.Header{Program: program, Version: 1, Procedure: procedure}
	if len(files) > 0 {
		h.Type = frame.CallWithFDs
	}
	if err := c.ask(ctx, h, waiting, args, files); err != nil {
		closeFiles(waiting.files) // of an answer that could not be decoded
		return nil, err
	}
	return waiting.files, nil
}

// ask sends a call and waits for its end.
// When the call has files, it first waits until they are written: the caller may close
// them as soon as it returns. A call that is given up is still served: the protocol has
// no way to take it back.
func (c *Client) ask(ctx context.Context, h frame.Header, waiting *call, args protocol.Message, files []*os.File) error {
	serial, err := c.register(waiting)
	if err != nil {
		return err
	}
	h.Serial = serial
	written, err := c.out.put(h, args, files, false)
	if err != nil {
		c.forget(serial)
		return err
	}
	if written != nil {
		select {
		case <-written:
		// The connection has ended: nobody closes written any more.
		case <-c.closed:
			c.workers.Wait() // the writer may still look at the files
		}
	}
	select {
	case <-waiting.done:
		return waiting.err
	case <-ctx.Done():
	}
	if c.forget(serial) {
		return ctx.Err()
	}
	<-waiting.done // the answer is being taken apart
	return waiting.err
}

// register gives a call its serial. They count up from 1. The error is why the connection
// ended.
func (c *Client) register(waiting *call) (uint32, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		return 0, c.cause
	}
	c.serial++
	c.pending[c.serial] = waiting
	// Data packets carry the serial of the call.
	if waiting.stream != nil {
		waiting.stream.header.Serial = c.serial
	}
	return c.serial, nil
}

// forget reports whether the call was still waiting.
func (c *Client) forget(serial uint32) bool { return c.claim(serial) != nil }

// claim takes a call out of pending. Of the answer, the end of ctx and the end of the
// connection, the first to come gets it.
func (c *Client) claim(serial uint32) *call {
	c.mu.Lock()
	defer c.mu.Unlock()
	waiting := c.pending[serial]
	delete(c.pending, serial)
	return waiting
}

// answer finishes the call a reply belongs to; others are dropped. It runs in
// the goroutine that receives, so a stream exists before its first data. A reply without
// a call is that of one that was given up.
func (c *Client) answer(p *frame.Packet) {
	waiting := c.claim(p.Header.Serial)
	if waiting == nil {
		p.CloseFiles()
		return
	}
	if p.Header.Status != frame.OK {
		p.CloseFiles()
		waiting.finish(decodeError(p.Payload))
		return
	}
	waiting.files = p.Files
	// The connection ended while the answer was on its way.
	if waiting.stream != nil && !c.addStream(waiting.stream) {
		waiting.finish(ErrClosed)
		return
	}
	waiting.finish(decode(waiting.ret, p.Payload))
}

// decode ignores bytes behind the message, as servers may be newer.
func decode(ret protocol.Message, payload []byte) error {
	if ret == nil {
		return nil
	}
	return ret.DecodeXDR(xdr.NewDecoder(payload))
}
