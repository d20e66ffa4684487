package rpc

import (
	"sync"
	"sync/atomic"
	"time"

	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/adapters/rpc/protocol"
)

// keepalive finds out that a client is gone although its connection stands. It has
// one timer, which is not touched when packets arrive: when it fires early it is set
// to the rest.
// With five seconds and a count of five a client that falls silent is asked after 5, 10,
// 15, 20 and 25 seconds and disconnected after 30.
type keepalive struct {
	session  *Session
	interval time.Duration
	count    int          // of pings that may be unanswered
	last     atomic.Int64 // when the client was heard last, nanoseconds after origin

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
	counted int64 // value of last that pings counts from
	pings   int   // unanswered
}

// origin makes times monotonic and small.
func (k *keepalive) now() int64 { return int64(time.Since(k.session.since)) }

// heard notes that a packet arrived.
func (k *keepalive) heard() { k.last.Store(k.now()) }

// enable counts the silence from now.
func (k *keepalive) enable() {
	if k.interval <= 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.timer != nil || k.stopped {
		return
	}
	k.heard()
	k.counted = k.last.Load()
	k.timer = time.AfterFunc(k.interval, k.fire)
}

// stop is for good: enable does nothing afterwards.
func (k *keepalive) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stopped = true
	if k.timer != nil {
		k.timer.Stop()
	}
}

// fire looks at the silence so far and sets the timer to when it matters next.
func (k *keepalive) fire() {
	dead, ping := k.check()
	switch {
	case dead:
		k.session.log.Info("client does not answer keepalive packets: closing")
		k.session.Close()
	case ping:
		k.session.outbox.post(keepalivePacket(protocol.KeepalivePing), drainNone)
	}
}

// check says what is due. mu is held for looking and setting the timer, not for sending.
func (k *keepalive) check() (dead, ping bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped {
		return false, false
	}
	if k.session.inbox.full() {
		// The silence is ours, nothing is read at present. A ping that can not be
		// written still tells that the client is gone.
		k.heard()
		k.timer.Reset(k.interval)
		return false, true
	}
	if last := k.last.Load(); last != k.counted {
		k.counted, k.pings = last, 0
	}
	due := k.counted + int64(k.interval)*int64(k.pings+1)
	if wait := due - k.now(); wait > 0 {
		k.timer.Reset(time.Duration(wait))
		return false, false
	}
	if k.pings >= k.count {
		return true, false
	}
	k.pings++
	k.timer.Reset(k.interval)
	return false, true
}

// answerPing answers at once: no slot, no authentication, whatever the serial.
func (s *Session) answerPing(header *frame.Header) {
	if header.Version != protocol.KeepaliveVersion || header.Procedure != protocol.KeepalivePing {
		return
	}
	packet := keepalivePacket(protocol.KeepalivePong)
	packet.kind = pong
	s.outbox.post(packet, drainOnce)
}

// keepalivePacket is a header alone, with zeros for serial and status.
func keepalivePacket(procedure int32) *outgoing {
	packet, _ := encode(frame.Header{
		Program: protocol.KeepaliveProgram, Version: protocol.KeepaliveVersion, Procedure: procedure, Type: frame.Message,
	}, nil, nil)
	return packet
}
