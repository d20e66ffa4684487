package daemon

import (
	"sync"

	"virtlxcd/adapters/dbus/login"
	"virtlxcd/adapters/systemd"
	"virtlxcd/app/driver"
	"virtlxcd/app/idle"
	"virtlxcd/wiring/front"
)

// presence counts running containers for those who care: while one runs, the
// daemon is not idle and the host is asked to let it end before going down.
type presence struct {
	idle     *idle.Watch
	lock     *login.Inhibitor // nil: the host does not wait
	notifier *systemd.Notifier

	mu      sync.Mutex // guards what follows, and the order of what is told; nothing told waits
	running int
}

// newOptions has the use cases tell of every container that begins or ceases to run.
func newOptions(watch *idle.Watch, lock *login.Inhibitor, notifier *systemd.Notifier) driver.Options {
	p := &presence{idle: watch, lock: lock, notifier: notifier}
	return driver.Options{Occupied: p.change}
}

// change is called with 1 for a container that begins to run or is found running, with -1
// when one has ended. The lock against the host's going down is taken with the first
// container and given back with the last: without any the host need not wait.
func (p *presence) change(delta int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.running
	p.running += delta
	p.idle.Occupied(delta)
	front.TellRunning(p.notifier, p.running)
	switch {
	case p.lock == nil:
	case p.running == 0:
		p.lock.Release()
	case before == 0:
		p.lock.Hold()
	}
}
