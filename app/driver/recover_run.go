package driver

import (
	"context"
	"errors"
	"strings"
	"time"

	"virtlxcd/domain/container"
	"virtlxcd/domain/device"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/launch"
	"virtlxcd/domain/lifecycle"
	"virtlxcd/ports"
)

// recoverRun picks up a container that ran when the last daemon ended. One
// whose control group cannot be looked at is left alone and stays unknown, so
// that nobody starts it a second time. Three things are looked for, each of
// which may be missing: its controller, its init and its group. An id that is
// taken is replaced by the next one that is free.
func (d *Driver) recoverRun(ctx context.Context, e *entry, status *container.Status) {
	group, err := d.openGroup(ctx, status.CgroupPath)
	if err != nil {
		d.log.Error("cannot pick up a container and leave it out", "container", e.Name, "error", err)
		d.registry.Drop(e)
		return
	}
	r := newRun()
	r.cgroup, r.status, r.started = group, *status, time.Now()
	r.origin = unresolved(status.Definition)
	r.linked = firstPID{status.InitPID, status.InitStart}
	r.id, r.machine = d.registry.ReserveID(e, status.ID), launch.MachineName(status.ID, e.Name)
	if err := d.takeHold(ctx, e, r); err != nil {
		d.log.Error("cannot watch init and leave a container out", "container", e.Name, "error", err)
		d.letGo(e, r)
		return
	}
	d.findLinks(ctx, r)
	d.showFound(ctx, e, r)
	switch {
	case r.holder != nil: // it tells what happens, and what happened
	case ended(r.process):
		d.lose(ctx, e, r)
	default:
		d.recoverController(ctx, e, r)
	}
}

// findLinks looks the host ends up for the registry of machines. Those that are
// gone do not count. Only the registry asks for indexes, so containers that are
// not in it need none.
func (d *Driver) findLinks(ctx context.Context, r *run) {
	if !r.inScope() {
		return
	}
	for i := range r.status.Definition.Links {
		name := r.status.Definition.Links[i].HostName
		index, err := d.ports.Links.Index(ctx, name)
		switch {
		case err == nil:
			r.links = append(r.links, index)
		case !errors.Is(err, fault.NotFound):
			d.log.Warn("cannot look at a link", "container", r.status.Definition.Name, "link", name, "error", err)
		}
	}
}

// letGo forgets a container without touching it. Its processes, its group and
// its status stay for the next daemon or an administrator.
func (d *Driver) letGo(e *entry, r *run) {
	r.closeHandles()
	if r.holder != nil {
		d.holders.detach(r.holder, r, e.UUID, d.log)
	}
	d.registry.ReleaseID(e, r.id)
	d.registry.Drop(e)
}

// takeHold connects to the controller and to init, as far as they are there.
// The controller knows init better than the status does: it may have restarted.
// An init that is gone is no error, since its end is still to be dealt with.
func (d *Driver) takeHold(ctx context.Context, e *entry, r *run) error {
	r.held = ports.Held{PID: r.status.InitPID, Start: r.status.InitStart}
	controller, err := d.adopt(ctx, r.status.Controller)
	if err == nil {
		d.reclaim(ctx, e, r, controller)
	} else {
		d.log.Warn("a container has lost its controller", "container", e.Name, "error", err)
		d.regainKept(e, r)
	}
	r.process = goneProcess{r.held.PID}
	if r.held.PID <= 0 {
		return nil
	}
	process, err := d.ports.Processes.Open(ctx, r.held.PID, r.held.Start)
	if errors.Is(err, fault.NotFound) {
		return nil
	}
	if err == nil {
		r.process = process
	}
	return err
}

// reclaim fills the escrow. A controller that let go of the container still has
// its last report. Reports are not read yet (watch), so none comes before the
// run is in its slot.
func (d *Driver) reclaim(ctx context.Context, e *entry, r *run, controller ports.Controller) {
	r.holder = d.holders.attach(controller, e, r)
	if r.holder == nil {
		hangUp(controller, d.log)
		return
	}
	held, err := controller.Reclaim(ctx, e.UUID)
	switch {
	case err == nil:
		r.held = held
	case errors.Is(err, fault.NotFound):
		// Let go of, because init ended, or the controller died just now and init
		// runs on: init itself shows which.
	default:
		d.log.Error("cannot reclaim a container", "container", e.Name, "error", err)
	}
}

// showFound publishes the container in the state its processes are in. No event
// is sent: the last daemon has announced it. The freezer is the truth about a
// pause, and the status only where the group cannot be read. The status is
// written again only if it differs.
func (d *Driver) showFound(ctx context.Context, e *entry, r *run) {
	trigger := lifecycle.Find
	used, err := r.cgroup.Usage(ctx)
	if err != nil && r.status.State == lifecycle.Paused || used.Frozen {
		trigger = lifecycle.FindPaused
	}
	step, _ := lifecycle.Next(lifecycle.Off, trigger)
	e.Data.run.Store(r)
	d.options.Occupied(1)
	d.publish(e, func(s *container.Snapshot) {
		s.ID, s.State, s.Reason = r.id, step.State, step.Reason
		s.Live, s.InitPID = r.status.Definition, r.held.PID
	})
	status := r.status
	status.ID, status.State = r.id, step.State
	if r.held.PID > 0 {
		status.InitPID, status.InitStart = r.held.PID, r.held.Start
	}
	if status == r.status {
		return
	}
	if err := d.saveStatus(ctx, r, status); err != nil {
		d.log.Error("cannot record what was found", "container", e.Name, "error", err)
	}
}

// recoverController gives a running container without a controller a new one.
// What was only in the old one's hands is lost unless it was in escrow:
// consoles stay dead without. If there can be no new controller, init is
// watched, so that its end is noticed.
func (d *Driver) recoverController(ctx context.Context, e *entry, r *run) {
	r.inbox.orphan(true)
	if err := d.rehouse(ctx, e, r); err != nil {
		d.log.Error("a container has no controller", "container", e.Name, "error", err)
		d.guard(e, r)
	}
}

// unresolved is a live definition without what the start chose: names that a
// later start must choose anew. It serves as origin of a run whose own is
// forgotten, for restart.
func unresolved(live *container.Definition) *container.Definition {
	definition := live.Clone()
	for i := range definition.Consoles {
		console := &definition.Consoles[i]
		console.TTY, console.Alias = "", ""
	}
	for i := range definition.Links {
		link := &definition.Links[i]
		if generatedName(link) {
			link.HostName = ""
		}
	}
	return definition
}

// generatedName says whether a host name was chosen by Links.Name. A name like it that
// was written by hand is chosen anew as well, as the interface has always done.
func generatedName(link *device.Link) bool { return strings.HasPrefix(link.HostName, "vnet") }
