package driver

import (
	"context"

	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// regain gives a container whose controller died a new one, from the daemon's
// escrow. Called with the gate held. A loss that is told twice, or of a
// controller that was replaced since, is ignored. If there can be no new
// controller the container runs on: its init is watched instead.
func (d *Driver) regain(ctx context.Context, e *entry, r *run, dead *holder) {
	if r.holder != dead {
		return
	}
	if ended(r.process) && !d.reopen(ctx, r) {
		d.lose(ctx, e, r)
		return
	}
	d.log.Warn("the controller of a container died; handing it to a new one", "container", e.Name)
	if err := d.rehouse(ctx, e, r); err != nil {
		d.log.Error("a container has no controller: its consoles are dead", "container", e.Name, "error", err)
		d.guard(e, r)
	}
}

// reopen looks whether init lives after all: after a reboot from inside the
// daemon may have failed to take hold of the new one. run.held then names
// another process than run.process, which is how it is seen.
func (d *Driver) reopen(ctx context.Context, r *run) bool {
	if r.process.PID() == r.held.PID {
		return false
	}
	process, err := d.ports.Processes.Open(ctx, r.held.PID, r.held.Start)
	if err != nil {
		return false
	}
	_ = r.process.Close()
	r.process = process
	return true
}

// ended asks without waiting. Done is closed by the kernel's word through a
// pidfd, so it does not depend on a controller that may be gone. Always true
// for goneProcess.
func ended(process ports.Process) bool {
	select {
	case <-process.Done():
		return true
	default:
		return false
	}
}

// rehouse hands a running container to a new controller. The run is attached
// before Restore, so the first report finds it. What is in escrow is lent, not
// given: duplicates travel, and run.held stays for the next time. A status that
// cannot be recorded still names the dead controller; the next daemon finds
// that out and does the same again. Called with the gate held, or by Recover.
func (d *Driver) rehouse(ctx context.Context, e *entry, r *run) error {
	ctx, cancel := context.WithTimeout(ctx, d.options.StartLimit)
	defer cancel()
	who := container.Identity{Name: e.Name, UUID: e.UUID, ID: r.id}
	controller, err := d.ports.Controllers.Launch(ctx, who)
	if err != nil {
		return err
	}
	fresh := d.holders.attach(controller, e, r)
	if fresh == nil {
		hangUp(controller, d.log)
		return fault.New(fault.Aborted, fault.Driver, "the daemon is shutting down")
	}
	if err := controller.Restore(ctx, d.restoreOrder(ctx, who, r), r.held); err != nil {
		d.holders.detach(fresh, r, e.UUID, d.log)
		return err
	}
	r.holder = fresh
	r.inbox.orphan(false)
	status := r.status
	status.Controller = controller.Ref()
	if err := d.saveStatus(ctx, r, status); err != nil {
		d.log.Error("cannot record the new controller", "container", e.Name, "error", err)
	}
	d.keep(e, r)
	d.watch(fresh)
	return nil
}

// restoreOrder is what a new controller is told of a container that runs. The
// plan is made anew; without one a later reboot from inside only stops it. The
// order then lacks its lists and namespaces, which running on does not need.
func (d *Driver) restoreOrder(ctx context.Context, who container.Identity, r *run) ports.Order {
	order := ports.Order{
		Identity: who, IDMap: r.status.Definition.IDMap, HostTerminals: r.held.Hosts, Cgroup: r.cgroup,
	}
	facts, err := d.knownFacts(ctx)
	if err != nil {
		return order
	}
	plan, err := d.planFor(r.status.Definition, facts, r.cgroup)
	if err != nil {
		d.log.Warn("cannot plan a restart from inside", "container", who.Name, "error", err)
		return order
	}
	full := orderOf(who, &plan, r.status.Definition, r.cgroup)
	full.HostTerminals = r.held.Hosts
	return full
}

// guard watches an init that has no controller. Its end is posted as one more
// loss of the dead controller, upon which regain finds init ended. The
// goroutine ends with init, the run or the daemon, whichever is first.
func (d *Driver) guard(e *entry, r *run) {
	process, dead := r.process, r.holder
	d.spawn(func() {
		select {
		case <-process.Done():
			d.post(tenant{entry: e, run: r}, note{holder: dead, lost: true})
		case <-r.cleared:
		case <-d.desk.Closing():
		}
	})
}

// keepFound gives what was found running into escrow, and lets go of the rest.
// Called once, by Recover, when every container has asked for what was kept of
// it.
func (d *Driver) keepFound() {
	for _, e := range d.registry.Entries() {
		if r := e.Data.run.Load(); r != nil && !ended(r.process) {
			d.keep(e, r)
		}
	}
	if err := d.ports.Escrow.Close(); err != nil {
		d.log.Warn("cannot drop descriptors that nobody needs", "error", err)
	}
}

// regainKept takes what an earlier daemon gave into escrow of a container whose
// controller has died since. It knows the init that lives, if one does. That
// may be a later one than the status names, if the daemon died between the two.
// What names no init is of no use and closed.
func (d *Driver) regainKept(e *entry, r *run) {
	held, ok := d.ports.Escrow.Kept(e.UUID)
	switch {
	case !ok:
	case held.PID == 0:
		closeHeld(held)
	default:
		r.held = held
	}
}
