package rpc

import (
	"errors"
	"fmt"
	"io"

	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/adapters/rpc/protocol"
)

var errSparse = errors.New("client sent a hole into a stream that has none")

// read takes packets until the connection is over. It is the session's only reader;
// streams are matched here, in order.
func (s *Session) read() error {
	for s.inbox.wait() {
		// A silent client holds neither a packet nor a buffer.
		if err := s.reader.Await(); err != nil {
			return ended(err)
		}
		packet := newPacket()
		if err := s.reader.Read(packet); err != nil {
			discard(packet)
			return ended(err)
		}
		s.keepalive.heard()
		if err := s.route(packet); err != nil {
			return err
		}
	}
	return nil
}

// ended makes a client's orderly end no error.
func ended(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// route hands one packet to whom it concerns. An error closes the connection.
// Packets of types a client does not send, and of types nobody knows, are dropped without
// an answer, as the original does: see captures of malformed packets.
func (s *Session) route(packet *frame.Packet) error {
	header := &packet.Header
	switch {
	case header.Type == frame.Call || header.Type == frame.CallWithFDs:
		s.receiveCall(packet)
		return nil
	case header.Program == protocol.KeepaliveProgram && header.Type == frame.Message:
		s.answerPing(header)
	case header.Type == frame.Stream:
		if s.streams.deliver(packet) {
			return nil // the stream discards the packet
		}
	case header.Type == frame.StreamHole && s.streams.find(*header) != nil:
		return errSparse
	}
	// Everything else is dropped: late packets of a closed stream are normal.
	discard(packet)
	return nil
}

// receiveCall serves a call or lets it wait. The warning is the original's, word for word:
// people look for it. Each session gives it once.
func (s *Session) receiveCall(packet *frame.Packet) {
	switch s.inbox.admit(packet) {
	case admitted:
		s.begin(packet, true)
	case waitingFirst:
		s.log.Warn(fmt.Sprintf("Client hit max requests limit %d. This may result in keep-alive "+
			"timeouts. Consider tuning the max_client_requests server parameter", s.inbox.limit))
	}
}

// begin starts a call that has a slot, in the reader or on behalf of whoever freed
// the slot.
func (s *Session) begin(packet *frame.Packet, inReader bool) {
	procedure, refusal := s.find(&packet.Header)
	if refusal != "" {
		s.refuse(packet, refusal, inReader)
		return
	}
	call := &Call{session: s, procedure: procedure, packet: packet}
	s.work.Add(1)
	switch {
	case procedure.Inline && inReader:
		s.serveInline(call)
	case procedure.Inline || procedure.High:
		go call.runFree()
	default:
		s.server.pool.submit(call)
	}
}

// serveInline serves a call in the reader. After a call that hangs up the reader
// waits for the end: what follows is not looked at.
func (s *Session) serveInline(call *Call) {
	call.handle()
	hangup := call.hangup
	call.send(drainOnce)
	s.work.Done()
	if hangup {
		<-s.ctx.Done()
	}
}

// find looks the procedure up; refusal says why the call can not be served.
func (s *Session) find(header *frame.Header) (procedure *Procedure, refusal string) {
	program := s.server.program(header.Program, header.Version)
	if program == nil {
		return nil, unknownProgram(header)
	}
	if header.Status != frame.OK {
		return nil, unexpectedStatus(header)
	}
	procedure = program.Procedure(header.Procedure)
	if procedure == nil {
		return nil, unknownProcedure(header)
	}
	if !procedure.Open && !s.Authenticated() {
		return nil, "authentication required"
	}
	return procedure, ""
}

// refuse answers a call that is not served.
func (s *Session) refuse(packet *frame.Packet, refusal string, inReader bool) {
	answer := encodeError(packet.Header, frame.Reply, rpcError(refusal))
	answer.after = s.slotReturned
	discard(packet)
	how := drainNone
	if inReader {
		how = drainOnce
	}
	s.outbox.post(answer, how)
}

// returnSlot runs when an answer has been written or given up; the slot goes to the
// next waiting call.
func (s *Session) returnSlot(bool) {
	if next, ok := s.inbox.passOn(); ok {
		s.begin(next, false)
	}
}
