package rpc

import (
	"sync"
	"time"
)

// patience is the time a client has to authenticate. Its timer is gone once the
// client has, so those that stay cost nothing.
type patience struct {
	mu    sync.Mutex
	timer *time.Timer
	over  bool
}

// begin disconnects the session after limit, unless end comes first. While the
// session has a call in service it is given another limit.
func (p *patience) begin(session *Session, limit time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return
	}
	p.timer = time.AfterFunc(limit, func() {
		if p.extended(session, limit) {
			return
		}
		session.log.Warn("client did not authenticate in time: closing")
		session.Close()
	})
}

// extended tells whether the client need not be disconnected now.
func (p *patience) extended(session *Session, limit time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over && session.inbox.busy() {
		p.timer.Reset(limit)
		return true
	}
	return p.over
}

// end forgets the limit.
func (p *patience) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}
