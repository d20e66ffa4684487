package client

import (
	"context"

	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/adapters/rpc/protocol"
)

// eventsHeld is how many events may wait for NextEvent.
// It is far above any burst of a test: 65536.
const eventsHeld = 1 << 16

// Event is one event packet.
// Payload is the event's own copy. Serial is 1 from every server known; see
// "Serials" in the protocol's description.
type Event struct {
	Program   uint32
	Procedure int32
	Serial    uint32
	// Message is the decoded event, nil if the tables do not know it or the payload
	// could not be decoded.
	Message protocol.Message
	Payload []byte
}

// NextEvent waits for an event. After the end of the connection it gives the
// events that came before, then why it ended. Of several who wait each gets another
// event. With OnEvent there are none.
func (c *Client) NextEvent(ctx context.Context) (Event, error) {
	e, ok, err := c.events.get(ctx, c.closed)
	if err == nil && !ok {
		err = c.Err()
	}
	return e, err
}

// receive takes packets apart until the connection ends.
// receive is the only goroutine that reads. Nothing in it waits for a caller: answers are
// claimed by whoever has asked, everything else is queued up to a bound.
func (c *Client) receive() {
	reader := frame.NewReader(c.conn)
	var p frame.Packet
	for {
		if err := reader.Read(&p); err != nil {
			c.fail(err)
			return
		}
		// Before it is taken apart: that takes time.
		c.heard.Add(1)
		c.dispatch(&p)
	}
}

// dispatch may keep the payload, but then it leaves another one, or none. A reply whose
// call nobody waits for, and a packet of an unknown type, are dropped.
func (c *Client) dispatch(p *frame.Packet) {
	switch {
	case p.Header.Program == protocol.KeepaliveProgram:
		c.keepAliveHeard(p.Header)
	case p.Header.Type == frame.Reply, p.Header.Type == frame.ReplyWithFDs:
		c.answer(p)
	case p.Header.Type == frame.Message:
		c.event(p)
	case p.Header.Type == frame.Stream:
		c.streamPacket(p)
	default:
		p.CloseFiles() // a server makes no calls
	}
}

// keepAliveHeard answers pings; pongs have done their work by being heard.
func (c *Client) keepAliveHeard(h frame.Header) {
	if h.Procedure != protocol.KeepalivePing {
		return
	}
	c.pings.Add(1)
	if !c.options.mute {
		c.putKeepAlive(protocol.KeepalivePong)
	}
}

// event keeps the payload for whoever asks and leaves the packet without one. An event
// that the tables do not know is passed on undecoded.
func (c *Client) event(p *frame.Packet) {
	e := Event{Program: p.Header.Program, Procedure: p.Header.Procedure, Serial: p.Header.Serial, Payload: p.Payload}
	// The reader must not use it again.
	p.Payload = nil
	if row := protocol.Find(e.Program, e.Procedure); row != nil && row.Event != nil {
		m := row.Event()
		if decode(m, e.Payload) == nil {
			e.Message = m
		}
	}
	if c.options.onEvent != nil {
		c.options.onEvent(e)
		return
	}
	if c.events.put(e) > eventsHeld {
		c.fail(ErrOverflow)
	}
}
