package driver

import (
	"context"
	"errors"
	"time"

	"virtlxcd/app/jobs"
	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/host"
	"virtlxcd/domain/launch"
	"virtlxcd/domain/lifecycle"
	"virtlxcd/ports"
)

// Recover implements ports.Daemon. Nobody is connected yet, so gates are not
// needed until controllers are listened to, which comes last. The order counts.
// Containers come first; sweeping needs to know all that are in use; the escrow
// is closed when everybody has asked it. A container that cannot be picked up
// is logged and left out. With an error nothing was picked up.
func (d *Driver) Recover(ctx context.Context) error {
	facts, err := d.freshFacts(ctx)
	if err != nil {
		return err
	}
	stored, err := d.ports.Store.Load(ctx, d.skipDamaged)
	if err != nil {
		return err
	}
	for i := range stored {
		d.recoverOne(ctx, facts, &stored[i])
	}
	d.sweep(ctx)
	d.sweepControllers(ctx)
	d.keepFound()
	over, inUnits := d.endedRuns(), d.foundInUnits()
	// Reports of controllers that kept them come at once, as jobs: from here on gates
	// count, and what has to be seen without one was looked at above.
	for _, one := range d.holders.everyone() {
		d.watch(one)
	}
	for _, t := range over {
		d.awaitEnd(ctx, t.entry, t.run)
	}
	d.reconnect(ctx)
	d.registerFound(inUnits)
	return nil
}

// recoverOne makes one container known again. What runs counts more than what
// is stored: a definition with another UUID under the same name is left on disk
// and ignored.
func (d *Driver) recoverOne(ctx context.Context, facts *host.Facts, stored *ports.Stored) {
	config, status := stored.Config, stored.Status
	definition := config
	if status != nil && status.Definition != nil {
		definition = status.Definition
	}
	if definition == nil {
		return
	}
	if config != nil && config.UUID != definition.UUID {
		d.log.Error("the stored definition is of another uuid than what runs and is ignored", "container", config.Name)
		config = nil
	}
	e, err := d.registry.Claim(definition.Name, definition.UUID)
	if err != nil {
		d.log.Error("cannot load a container", "container", definition.Name, "error", err)
		return
	}
	defer d.forgetUnseen(e)
	if config != nil {
		d.publish(e, func(s *container.Snapshot) {
			s.Config, s.Persistent, s.Autostart = config, true, stored.Autostart
		})
		d.keepDrawn(ctx, stored)
	}
	if status != nil {
		d.recoverStatus(ctx, facts, e, status)
	}
}

// recoverStatus decides by the boot and the state what a status means:
// processes do not survive a boot, whatever its file says. Starting is only
// ever in a file whose start was cut short.
func (d *Driver) recoverStatus(ctx context.Context, facts *host.Facts, e *entry, status *container.Status) {
	switch {
	case status.Definition == nil || status.BootID != facts.BootID:
		d.insist(ctx, e, "remove the status of another boot", func(ctx context.Context) error {
			return d.ports.Store.RemoveStatus(ctx, e.Name)
		})
	case status.State == lifecycle.Starting:
		d.undoStart(ctx, e, status)
	default:
		d.recoverRun(ctx, e, status)
	}
}

// undoStart takes back a start during which the daemon was killed. Links go
// with the network namespace of the killed init. All of it may be done twice,
// as the daemon may be killed here as well: the status, by which everything is
// found, goes last.
func (d *Driver) undoStart(ctx context.Context, e *entry, status *container.Status) {
	d.log.Warn("taking back an unfinished start", "container", e.Name)
	d.abandonRemembered(ctx, e, status)
	group, err := d.openGroup(ctx, status.CgroupPath)
	if err == nil {
		d.insist(ctx, e, "kill what was started", group.Kill)
		d.insist(ctx, e, "remove the control group", group.Remove)
	} else {
		d.log.Error("cannot open a control group", "container", e.Name, "error", err)
	}
	if inScope(status.CgroupPath) {
		d.insist(ctx, e, "end the unit", func(ctx context.Context) error {
			return d.ports.Machines.Release(ctx, launch.MachineName(status.ID, e.Name))
		})
	}
	d.insist(ctx, e, "remove the status", func(ctx context.Context) error {
		return d.ports.Store.RemoveStatus(ctx, e.Name)
	})
	if e.Snapshot() != nil {
		d.publishOff(e, lifecycle.Step{State: lifecycle.Off, Reason: lifecycle.FailedReason})
	}
}

// abandonRemembered makes the controller of an unfinished start forget it. Most
// controllers did so when the connection broke; this makes sure of it before
// the group is removed. One that is gone is fine. The visitor's run only stands
// for the connection's use.
func (d *Driver) abandonRemembered(ctx context.Context, e *entry, status *container.Status) {
	controller, err := d.adopt(ctx, status.Controller)
	if err != nil {
		if !errors.Is(err, fault.NotFound) {
			d.log.Warn("cannot reach a controller", "container", e.Name, "error", err)
		}
		return
	}
	visitor := newRun()
	one := d.holders.attach(controller, e, visitor)
	if one == nil {
		hangUp(controller, d.log)
		return
	}
	d.insist(ctx, e, "abandon an unfinished start", func(ctx context.Context) error {
		return controller.Abandon(ctx, e.UUID)
	})
	d.holders.detach(one, visitor, e.UUID, d.log)
}

// endedRuns are the containers that ended while no daemon was there. It needs
// no gate, as nobody listens yet; see foundInUnits.
func (d *Driver) endedRuns() (over []tenant) {
	for _, e := range d.registry.Entries() {
		if r := e.Data.run.Load(); r != nil && ended(r.process) {
			over = append(over, tenant{entry: e, run: r})
		}
	}
	return over
}

// awaitEnd finishes such a container, with the reason its controller kept. The
// report brings init's wait status, and so the reason. Without one in
// ReportLimit the reason is that of a loss.
func (d *Driver) awaitEnd(ctx context.Context, e *entry, r *run) {
	late := time.NewTimer(d.options.ReportLimit)
	defer late.Stop()
	select {
	case <-r.inbox.ended:
	case <-r.inbox.stir:
	case <-r.cleared:
		return
	case <-late.C:
	case <-ctx.Done():
		return
	}
	err := d.desk.Do(ctx, &e.Gate, jobs.Wish{Name: callExit, Patient: true}, func(ctx context.Context) error {
		d.drain(ctx, e, r)
		if e.Data.run.Load() == r && ended(r.process) {
			d.lose(ctx, e, r)
		}
		return nil
	})
	if err != nil {
		d.log.Error("cannot finish a container that ended", "container", e.Name, "error", err)
	}
}

// sweep removes control groups that no container of this daemon owns. They are
// left by starts that were cut short or by an end that could not remove one.
// Groups in which something lives stay.
func (d *Driver) sweep(ctx context.Context) {
	mine := map[string]bool{}
	for _, e := range d.registry.Entries() {
		if r := e.Data.run.Load(); r != nil {
			mine[r.cgroup.Path()] = true
		}
	}
	removed, err := d.ports.Cgroups.Sweep(ctx, func(path string) bool { return mine[path] })
	if err != nil {
		d.log.Warn("cannot sweep control groups", "error", err)
	}
	if len(removed) > 0 {
		d.log.Info("removed control groups that nobody uses", "paths", removed)
	}
}

// sweepControllers ends controllers that no status leads to any more. It comes
// when all that are known have been adopted. See ports.ControllerSweeper for
// how they come about.
func (d *Driver) sweepControllers(ctx context.Context) {
	sweeper, ok := d.ports.Controllers.(ports.ControllerSweeper)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, d.options.UndoLimit)
	defer cancel()
	mine := map[string]bool{}
	for _, one := range d.holders.everyone() {
		mine[one.controller.Ref().Socket] = true
	}
	ended, err := sweeper.Sweep(ctx, func(socket string) bool { return mine[socket] })
	if err != nil {
		d.log.Warn("cannot sweep controllers", "error", err)
	}
	if len(ended) > 0 {
		d.log.Info("ended controllers that nobody knew", "sockets", ended)
	}
}
