package rpc

import (
	"io"
	"log/slog"
	"os"
	"runtime/debug"

	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/adapters/rpc/protocol"
)

// Call is one question of a client and its answer. It belongs to the handler until
// that returns; only one goroutine may use it.
// It ends with finish: the packet goes back to its pool, so nothing of the call may be
// kept but what TakeFiles gave.
type Call struct {
	session   *Session
	procedure *Procedure
	packet    *frame.Packet
	answer    *outgoing
	stream    io.ReadWriteCloser
	hangup    bool
	then      func()
}

// Session is the connection the call came over.
func (c *Call) Session() *Session { return c.session }

// Payload is the encoded arguments. The bytes are reused once the handler returns.
// It is never longer than frame.MaxPayload; nobody has looked at it yet.
func (c *Call) Payload() []byte { return c.packet.Payload }

// Number is the procedure number.
func (c *Call) Number() int32 { return c.packet.Header.Procedure }

// Files are the descriptors that came with the call, in order. The server closes
// them when the handler returns.
// There are frame.MaxFDs at most. A call that does not expect any may have some.
func (c *Call) Files() []*os.File { return c.packet.Files }

// TakeFiles is Files, but the caller closes them.
func (c *Call) TakeFiles() []*os.File {
	files := c.packet.Files
	c.packet.Files = nil
	return files
}

// Reply answers with success; a nil body is an empty answer. A body that does not
// fit becomes an error to the client.
// A second answer is logged and dropped.
func (c *Call) Reply(body Body) { c.ReplyFiles(body) }

// ReplyFiles is Reply with descriptors passed to the client. The server owns and
// closes the files from here on, whatever happens.
// More than frame.MaxFDs become an error to the client.
func (c *Call) ReplyFiles(body Body, files ...*os.File) {
	if !c.unanswered() {
		closeFiles(files)
		return
	}
	answer, err := encodeReply(c.packet.Header, body, files)
	if err != nil {
		c.session.log.Warn("cannot encode answer", "procedure", c.procedure.Name, "error", err)
		closeFiles(files)
		c.Fail(rpcError("Unable to encode message payload"))
		return
	}
	c.answer = answer
}

// Fail answers with an error. Texts longer than a client accepts are cut.
// failure may be used by several calls: it is not changed.
func (c *Call) Fail(failure *protocol.Error) {
	if !c.unanswered() {
		return
	}
	c.answer = encodeError(c.packet.Header, frame.Reply, failure)
	if log := c.session.log; log.Enabled(c.session.ctx, slog.LevelDebug) {
		log.Debug("call failed", "procedure", c.procedure.Name, "code", failure.Code, "error", textOf(failure))
	}
}

func textOf(failure *protocol.Error) string {
	if failure.Message == nil {
		return ""
	}
	return *failure.Message
}

// FailDecoding answers that the arguments could not be decoded.
func (c *Call) FailDecoding() { c.Fail(rpcError("Unable to decode message payload")) }

// ReplyStream answers with success and turns the call's program, procedure and
// serial into a stream: what stream yields goes to the client, what the client sends
// goes to stream. io.EOF from Read is the end of the data; other errors abort the
// stream at the client. The server owns stream; its Close must end a Read and a Write
// that wait. A stream with a CloseWrite method is told by it when the client has no
// more data.
func (c *Call) ReplyStream(stream io.ReadWriteCloser) {
	if !c.unanswered() {
		stream.Close()
		return
	}
	c.Reply(nil)
	c.stream = stream
}

// Hangup makes the server close the connection once the answer has been written.
// What the client sent after this call is not looked at.
// That holds for Inline procedures; after others the reader may have gone on.
func (c *Call) Hangup() { c.hangup = true }

// Then runs f once, when the answer has been written or given up. f must not wait.
// It does not run for calls that are never answered.
func (c *Call) Then(f func()) { c.then = f }

// unanswered insists on one answer: a second would be taken for that of another call.
func (c *Call) unanswered() bool {
	if c.answer == nil {
		return true
	}
	c.session.log.Error("handler answered twice", "procedure", c.procedure.Name)
	return false
}

// run serves a call that holds a worker.
func (c *Call) run() {
	c.handle()
	c.session.server.pool.done()
	c.finish()
}

// runFree serves a call that needs no worker.
func (c *Call) runFree() {
	c.handle()
	c.finish()
}

// finish sends the answer, perhaps on behalf of others. The worker has been given
// back by now: a client that does not read holds up nobody but itself.
func (c *Call) finish() {
	s := c.session
	c.send(drainAll)
	s.work.Done()
}

// handle runs the handler and sees to it that there is an answer.
func (c *Call) handle() {
	defer c.rescue()
	c.procedure.Handle(c.session.ctx, c)
	if c.answer == nil {
		c.Fail(silentFailure())
	}
	if log := c.session.log; log.Enabled(c.session.ctx, slog.LevelDebug) {
		log.Debug("call served", "procedure", c.procedure.Name, "serial", c.packet.Header.Serial)
	}
}

// rescue turns a panicking handler into an error for its client alone.
func (c *Call) rescue() {
	cause := recover()
	if cause == nil {
		return
	}
	c.session.log.Error("handler panicked", "procedure", c.procedure.Name,
		"panic", cause, "stack", string(debug.Stack()))
	c.discardAnswer()
	c.Fail(internalError("procedure " + c.procedure.Name + " failed unexpectedly"))
}

// discardAnswer takes back what a handler has given before it failed.
func (c *Call) discardAnswer() {
	if c.answer != nil {
		closeFiles(c.answer.files)
		c.answer = nil
	}
	if c.stream != nil {
		c.stream.Close()
		c.stream = nil
	}
}

// send passes the answer to the outbox and starts the stream, if any. The stream is
// known before the answer leaves, because the client may use it at once.
func (c *Call) send(how share) {
	opened := c.openStream()
	s, answer := c.session, c.answer
	answer.after = s.slotReturned
	if c.hangup {
		answer.after = s.lastWordSaid
	}
	if then, after := c.then, answer.after; then != nil {
		answer.after = func(written bool) {
			then()
			after(written)
		}
	}
	discard(c.packet)
	s.outbox.post(answer, how)
	if opened != nil {
		opened.start()
	}
}

// openStream makes the call a stream if the handler said so. A client that uses the
// serial of an open stream again gets an error instead.
func (c *Call) openStream() *stream {
	if c.stream == nil {
		return nil
	}
	st := newStream(c.session, c.packet.Header, c.stream)
	if !c.session.streams.add(st) {
		c.discardAnswer()
		c.Fail(rpcError("stream with this serial is open already"))
		return nil
	}
	return st
}

// drop gives up a call that was never started.
func (c *Call) drop() {
	discard(c.packet)
	c.session.work.Done()
}

func closeFiles(files []*os.File) {
	for _, file := range files {
		file.Close()
	}
}
