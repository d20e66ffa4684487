package driver

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	"virtlxcd/domain/container"
	"virtlxcd/ports"
)

// holders are the controllers the daemon is connected to. A controller may hold
// several containers and then is the same value for each. The key is the value
// that Launch or Adopt gave; adopt sees to it that there is one per process.
type holders struct {
	mu     sync.Mutex
	all    map[ports.Controller]*holder
	closed bool
}

// holder is one controller. Its fields are guarded by holders.mu. watched keeps
// a second goroutine from reading the same channel.
type holder struct {
	controller ports.Controller
	quit       chan struct{} // closed when the daemon hangs up
	tenants    map[container.UUID]tenant
	watched    bool
	ledger     ledger
}

// tenant is a container with the run that reports are for: a later run of the same
// container is another tenant.
type tenant struct {
	entry *entry
	run   *run
}

// ledger knows which reports of a controller are not dealt with yet, since one
// acknowledgement covers all that came before. Reports of different containers
// are dealt with in any order, each as its gate allows: if 1 and 3 are done and
// 2 is not, only 1 may be acknowledged.
type ledger struct {
	open    []uint64 // in order of arrival
	highest uint64
}

// take enters a report that has come. The number stays open until settle,
// whether or not its container is known.
func (l *ledger) take(number uint64) {
	l.open = append(l.open, number)
	l.highest = max(l.highest, number)
}

// settle strikes number out and returns up to where everything is dealt with. A
// number that is not open, as of a report that was given up twice, changes
// nothing.
func (l *ledger) settle(number uint64) uint64 {
	l.open = slices.DeleteFunc(l.open, func(n uint64) bool { return n == number })
	upTo := l.highest
	for _, n := range l.open {
		upTo = min(upTo, n-1)
	}
	return upTo
}

// attach lets reports about e reach r. After closeAll nothing is attached: nil.
// It must come before the controller can report on e, or sort finds nobody.
// Twice for the same container replaces its run.
func (h *holders) attach(controller ports.Controller, e *entry, r *run) *holder {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil
	}
	one := h.all[controller]
	if one == nil {
		one = &holder{
			controller: controller, quit: make(chan struct{}), tenants: map[container.UUID]tenant{},
		}
		h.all[controller] = one
	}
	one.tenants[e.UUID] = tenant{entry: e, run: r}
	return one
}

// detach hangs up when nothing is left to hold. A later run of the same
// container keeps its place. A holder that was closed or mourned already is not
// hung up on twice. Log is for hangUp, which is called without the lock.
func (h *holders) detach(one *holder, r *run, uuid container.UUID, log *slog.Logger) {
	h.mu.Lock()
	if one.tenants[uuid].run == r {
		delete(one.tenants, uuid)
	}
	idle := len(one.tenants) == 0 && h.all[one.controller] == one
	if idle {
		delete(h.all, one.controller)
		close(one.quit)
	}
	h.mu.Unlock()
	if idle {
		hangUp(one.controller, log)
	}
}

// hangUp closes the connection. The process goes on as long as it holds
// something. Errors do not matter: the connection is over either way.
func hangUp(controller ports.Controller, log *slog.Logger) {
	if err := controller.Close(); err != nil {
		log.Debug("cannot hang up on a controller", "error", err)
	}
}

// closeAll hangs up on everyone; the containers stay where they are. The
// channels called quit end all listeners. Called once, by Shutdown, when
// changes are over or have been told to end.
func (h *holders) closeAll(log *slog.Logger) {
	h.mu.Lock()
	h.closed = true
	all := h.all
	h.all = map[ports.Controller]*holder{}
	for _, one := range all {
		close(one.quit)
	}
	h.mu.Unlock()
	for controller := range all {
		hangUp(controller, log)
	}
}

// adopt connects to a controller, once: a second connection would end the
// first. Containers in one controller so share the connection that the first
// one made. NotFound if the process is gone.
func (d *Driver) adopt(ctx context.Context, ref container.Controller) (ports.Controller, error) {
	for _, one := range d.holders.everyone() {
		if one.controller.Ref() == ref {
			return one.controller, nil
		}
	}
	return d.ports.Controllers.Adopt(ctx, ref)
}

// everyone returns the present holders.
func (h *holders) everyone() []*holder {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]*holder, 0, len(h.all))
	for _, one := range h.all {
		all = append(all, one)
	}
	return all
}

// watch starts reading the reports of a holder; once is enough. It is apart
// from attach so that Recover can attach everything first: reports come at
// once, and each wants its container to be known.
func (d *Driver) watch(one *holder) {
	h := &d.holders
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || one.watched {
		return
	}
	one.watched = true
	d.spawn(func() { d.listen(one) })
}

// listen ends when the daemon hangs up (quit) or the controller is gone (the channel is
// closed). It does no work itself: a slow container must not hold up the reports of
// others in the same controller.
func (d *Driver) listen(one *holder) {
	reports := one.controller.Reports()
	for {
		select {
		case <-one.quit:
			return
		case report, ok := <-reports:
			if !ok {
				d.mourn(one)
				return
			}
			d.sort(one, report)
		}
	}
}

// sort puts a report into the inbox it is for. The number is taken before the
// inbox is tried: should the job be quicker than this goroutine, it still finds
// the number in the ledger.
func (d *Driver) sort(one *holder, report ports.Report) {
	h := &d.holders
	h.mu.Lock()
	one.ledger.take(report.Number)
	addressee, known := one.tenants[report.Container]
	h.mu.Unlock()
	n := note{report: report, holder: one}
	if known && d.post(addressee, n) {
		return
	}
	// Nobody wants it. A daemon that ends must not say that it was dealt with.
	select {
	case <-d.desk.Closing():
		closeHeld(report.Held)
	default:
		d.discard(n)
	}
}

// mourn tells all containers of a holder that it is gone. The loss comes after
// the reports that were still read, as inboxes are emptied in order. The holder
// leaves the set first, so that adopt gives it to nobody any more.
func (d *Driver) mourn(one *holder) {
	h := &d.holders
	h.mu.Lock()
	if h.all[one.controller] == one {
		delete(h.all, one.controller)
		close(one.quit)
	}
	tenants := make([]tenant, 0, len(one.tenants))
	for _, t := range one.tenants {
		tenants = append(tenants, t)
	}
	h.mu.Unlock()
	hangUp(one.controller, d.log)
	for _, t := range tenants {
		d.post(t, note{holder: one, lost: true})
	}
}

// post puts a note into an inbox; false: it is not wanted there any more.
// Called with no lock held; it does not wait for the job.
func (d *Driver) post(to tenant, n note) bool {
	accepted, worker := to.run.inbox.push(n)
	if worker {
		d.spawn(func() { d.settle(to.entry, to.run) })
	}
	return accepted
}

// discard gives up what a note brought. That counts as dealt with: nobody will
// come back to it.
func (d *Driver) discard(n note) {
	if n.lost {
		return
	}
	closeHeld(n.report.Held)
	d.acknowledge(n)
}

// acknowledge tells the controller that a report was dealt with. What waits for
// an older report of another container is covered by a later call. Acknowledge
// is called without the lock, so two calls may overtake each other: a lower
// number after a higher one does nothing.
func (d *Driver) acknowledge(n note) {
	h := &d.holders
	h.mu.Lock()
	upTo := n.holder.ledger.settle(n.report.Number)
	h.mu.Unlock()
	// Once more if it fails: a report that is told to the next daemon as well costs
	// more than a second try. A controller that is gone fails twice.
	if n.holder.controller.Acknowledge(upTo) == nil {
		return
	}
	if err := n.holder.controller.Acknowledge(upTo); err != nil {
		d.log.Debug("cannot acknowledge a report", "number", upTo, "error", err)
	}
}
