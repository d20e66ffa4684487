package machines

import (
	"context"
	"time"

	"virtlxcd/domain/fault"
)

// pingMethod is answered by whoever reads messages at all.
// The libraries of services answer it themselves: org.freedesktop.DBus.Peer is of every
// object.
const pingMethod = "org.freedesktop.DBus.Peer.Ping"

// ping is a question whose answer may come after everybody has gone: that a
// service which hung goes on is told by no signal.
// It has no limit of its own, only the daemon's end.
type ping struct {
	done chan struct{}
	err  error // once done is closed
}

// ping asks a service whether it reads its messages; who asks while a question is
// under way shares it. The answer, whenever it comes, lets be tried again what
// failed. Nil if the daemon ends. There is one question under way for a service, however
// many ask.
func (m *Machines) ping(service string, failing *health) *ping {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	if p := m.pings[service]; p != nil {
		return p
	}
	p := &ping{done: make(chan struct{})}
	m.pings[service] = p
	m.wg.Go(func() {
		_, p.err = m.bus.Call(m.ctx, service, "/", pingMethod)
		m.mu.Lock()
		delete(m.pings, service)
		m.mu.Unlock()
		close(p.done)
		// Something failed before: follow tries again now.
		if p.err == nil && failing.release() {
			m.look()
		}
	})
	return p
}

// awaken makes what failed be tried again as soon as the service answers, if it
// failed because the service does not.
func (m *Machines) awaken(err error, service string, failing *health) {
	if fault.KindOf(err) == fault.Timeout {
		m.ping(service, failing)
	}
}

// answers says whether systemd reads its messages, before it is asked for a scope:
// what is asked of one that hangs would be done when nobody wants it any more. If
// systemd cannot be asked the host's state is to be found out again. Of two who ask at
// once both wait for the same answer, each within its own time.
func (m *Machines) answers(ctx context.Context) bool {
	p := m.ping(systemd, m.scopes)
	if p == nil {
		return false
	}
	limit := time.NewTimer(m.patience.call)
	defer limit.Stop()
	select {
	case <-p.done:
	case <-ctx.Done():
		return false
	case <-limit.C:
		// The question stays under way, and its answer lifts this.
		m.scopes.fails(fault.New(fault.Timeout, fault.Host, "systemd does not answer"), m.patience.hold)
		return false
	}
	if p.err != nil {
		m.suspect()
	}
	return p.err == nil
}

// suspect makes follow find out what the host has, and who asks wait for it. A host that
// is unsettled or absent already stays so: it is looked at anyway.
func (m *Machines) suspect() {
	m.mu.Lock()
	if m.state == usable {
		m.unsettle()
	}
	m.mu.Unlock()
	m.look()
}
