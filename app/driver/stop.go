package driver

import (
	"context"
	"sync"
	"time"

	"virtlxcd/domain/access"
	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/lifecycle"
)

// Destroy implements ports.Lifecycle. The wish is urgent: a queue that others
// have filled must not keep a container alive. WrongState if it is off.
func (c *connection) Destroy(ctx context.Context, ref container.Ref) error {
	wish := request{call: callDestroy, ref: ref, permissions: []access.Permission{access.Stop}, urgent: true}
	return c.change(ctx, wish, c.driver.destroy)
}

// destroy stops a container; when it fails the container still runs. Called
// with the gate held. A paused container is killed without being asked, since
// frozen processes do not hear. One that ended just before, and whose report
// still waits for the gate, is destroyed as well.
func (d *Driver) destroy(ctx context.Context, e *entry) error {
	before := e.Snapshot()
	step, ok := lifecycle.Next(before.State, lifecycle.Destroy)
	r := e.Data.run.Load()
	if !ok || r == nil {
		return fault.NotRunning()
	}
	if err := d.kill(ctx, e, r, before.State == lifecycle.Running); err != nil {
		return err
	}
	d.finish(ctx, e, r, step)
	return nil
}

// kill ends all processes and returns when its controller has said so, or is
// gone itself. Gently: init may first tidy up. The group and not init's number
// is killed, so processes that were put into it from outside go too, and no
// process that is not the container's can be hit.
func (d *Driver) kill(ctx context.Context, e *entry, r *run, gently bool) error {
	r.ending = time.Now()
	if gently && d.terminate(ctx, r) {
		return nil
	}
	for { // again if init asked for a reboot just before it was killed
		if err := r.cgroup.Kill(ctx); err != nil {
			return fault.Wrap(err, fault.Internal, "Some processes refused to die")
		}
		if d.killed(ctx, e, r) {
			return nil
		}
	}
}

// terminate asks all processes to end and waits for init, if init listens. All
// get SIGTERM, as the interface has always done, but only init is waited for:
// when it dies the kernel kills the rest of its namespace (pid_namespaces(7)).
// An init without a handler would not see it, and waiting DestroyGrace for it
// would be in vain.
func (d *Driver) terminate(ctx context.Context, r *run) (ended bool) {
	if d.options.DestroyGrace <= 0 {
		return false
	}
	listens, err := r.process.Catches(sigTERM)
	if err != nil || !listens || r.cgroup.Signal(ctx, sigTERM) != nil {
		return false
	}
	grace := time.NewTimer(d.options.DestroyGrace)
	defer grace.Stop()
	select {
	case <-r.inbox.ended:
		return true
	case <-r.inbox.stir: // it started anew, or nobody will tell
	case <-grace.C:
	case <-ctx.Done():
	}
	return false
}

// killed waits for the report of the end. False: the container was started anew
// from inside in the meantime and must be killed again. Without a report in
// ReportLimit the container counts as gone, as nothing lives in its group. A
// restart that waits for links was born after the kill: it is abandoned, and
// the group killed once more.
func (d *Driver) killed(ctx context.Context, e *entry, r *run) bool {
	if lost, _ := r.inbox.condition(); lost {
		return true // nothing lives, and nobody is left to say so
	}
	late := time.NewTimer(d.options.ReportLimit)
	defer late.Stop()
	select {
	case <-r.inbox.ended:
		return true
	case <-r.inbox.stir:
	case <-late.C:
		d.log.Warn("the controller did not report the end of a container", "container", e.Name)
		return true
	case <-ctx.Done():
		return true
	}
	lost, linking := r.inbox.condition()
	if linking && !lost {
		if err := r.holder.controller.Abandon(ctx, e.UUID); err != nil {
			d.log.Warn("cannot abandon a restart", "container", e.Name, "error", err)
		}
	}
	return lost || linking && r.cgroup.Kill(ctx) == nil
}

// finish clears up after a container without processes, and shows it as off.
// Called with the gate held. dealt are the reports that led here.
func (d *Driver) finish(ctx context.Context, e *entry, r *run, step lifecycle.Step, dealt ...note) {
	d.clear(ctx, e, r, step.Reason, dealt...)
	d.showOff(e, step)
}

// clear removes what is left on the host, and tells the site's programs, the
// log and the audit trail. What cannot be removed is logged: the container is
// gone all the same, and the next daemon sweeps. Links go with their network
// namespace; to delete them here would take long. The reports that led here are
// acknowledged once nothing is left: a daemon that dies before must hear of
// them again, and then runs the programs again. The order counts. Handles go
// first, as they keep namespaces and so links alive. The slot is emptied when
// nothing is left, and cleared wakes those who wait for that (StopAll). Once
// per run, with the gate held, or by Recover.
func (d *Driver) clear(ctx context.Context, e *entry, r *run, reason lifecycle.Reason, dealt ...note) {
	ctx = context.WithoutCancel(ctx)
	live := e.Snapshot().Live
	r.closeHandles()
	d.insist(ctx, e, "kill what is left", r.cgroup.Kill)
	var away sync.WaitGroup
	away.Go(func() { d.withdraw(ctx, e, r) })
	d.endHook(ctx, "stopped", live, r.id)
	d.insist(ctx, e, "remove the control group", r.cgroup.Remove)
	away.Wait()
	d.endHook(ctx, "release", live, container.NoID)
	d.insist(ctx, e, "remove the status", func(ctx context.Context) error {
		return d.ports.Store.RemoveStatus(ctx, e.Name)
	})
	for _, n := range append(dealt, r.inbox.close()...) {
		d.discard(n)
	}
	if r.holder != nil {
		d.holders.detach(r.holder, r, e.UUID, d.log)
	}
	d.registry.ReleaseID(e, r.id)
	e.Data.run.Store(nil)
	d.reportEnd(e, r, reason)
	d.options.Occupied(-1)
	close(r.cleared)
}

// insist tries twice, each time within the limit: what is interrupted the first
// time must not leave traces. The limit keeps a hanging kernel or service from
// holding the gate for ever.
func (d *Driver) insist(ctx context.Context, e *entry, what string, do func(context.Context) error) {
	try := func() error {
		ctx, cancel := context.WithTimeout(ctx, d.options.UndoLimit)
		defer cancel()
		return do(ctx)
	}
	err := try()
	if err == nil {
		return
	}
	d.log.Warn("trying again to "+what, "container", e.Name, "error", err)
	if err := try(); err != nil {
		d.log.Error("cannot "+what, "container", e.Name, "error", err)
	}
}

// showOff publishes that a container is off, or forgets a transient one. It
// comes after clear: whoever sees it off may start it at once. The event is
// last, and for a transient container lookups find nothing by then.
func (d *Driver) showOff(e *entry, step lifecycle.Step) {
	who := container.Identity{Name: e.Name, UUID: e.UUID, ID: container.NoID}
	e.Data.hadConfig = false
	if e.Snapshot().Persistent {
		d.publishOff(e, step)
	} else {
		d.registry.Drop(e)
	}
	d.announce(who, step.Event, step.Reason)
}

// publishOff shows what is left of a stopped container: its definition. Updated
// is over, as the next start uses what was defined. The id is free by then and
// may be another container's.
func (d *Driver) publishOff(e *entry, step lifecycle.Step) {
	d.publish(e, func(s *container.Snapshot) {
		s.ID, s.State, s.Reason = container.NoID, step.State, step.Reason
		s.Live, s.InitPID, s.Updated = nil, 0, false
	})
}
