package driver

import (
	"context"

	"virtlxcd/domain/access"
	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/lifecycle"
)

// Suspend implements ports.Lifecycle. It returns when every process is frozen.
// A container that is paused already: nil, and no second event.
func (c *connection) Suspend(ctx context.Context, ref container.Ref) error {
	wish := request{call: callSuspend, ref: ref, permissions: []access.Permission{access.Suspend}}
	return c.change(ctx, wish, c.driver.suspend)
}

// suspend freezes all processes with the cgroup freezer (admin-guide/cgroup-v2,
// cgroup.freeze). When it fails nothing may stay frozen, or the container would
// be shown as running and do nothing. Called with the gate held.
func (d *Driver) suspend(ctx context.Context, e *entry) error {
	before := e.Snapshot()
	step, ok := lifecycle.Next(before.State, lifecycle.Suspend)
	if !ok {
		return fault.NotRunning()
	}
	if step.State == before.State {
		return nil
	}
	r := e.Data.run.Load()
	if err := r.cgroup.Freeze(ctx); err != nil {
		d.takeBack(ctx, e, r.cgroup.Thaw)
		return fault.Wrap(err, fault.Failed, "Suspend operation failed")
	}
	return d.moveOrBack(ctx, e, r, step, r.cgroup.Thaw)
}

// Resume implements ports.Lifecycle. WrongState for one that is not paused.
func (c *connection) Resume(ctx context.Context, ref container.Ref) error {
	wish := request{call: callResume, ref: ref, permissions: []access.Permission{access.Suspend}}
	return c.change(ctx, wish, c.driver.resume)
}

// resume thaws. When it fails the processes are frozen again, so that what is shown
// as paused is.
func (d *Driver) resume(ctx context.Context, e *entry) error {
	before := e.Snapshot()
	step, ok := lifecycle.Next(before.State, lifecycle.Resume)
	switch {
	case ok:
	case before.State == lifecycle.Running:
		return fault.NotPaused()
	default:
		return fault.NotRunning()
	}
	r := e.Data.run.Load()
	if err := r.cgroup.Thaw(ctx); err != nil {
		d.takeBack(ctx, e, r.cgroup.Freeze)
		return fault.Wrap(err, fault.Failed, "Resume operation failed")
	}
	return d.moveOrBack(ctx, e, r, step, r.cgroup.Freeze)
}

// moveOrBack records the new state of a running container, shows and announces
// it. If it cannot be recorded, back undoes what was done to the processes. The
// status comes first, so that a new daemon finds what clients were told. Called
// with the gate held.
func (d *Driver) moveOrBack(ctx context.Context, e *entry, r *run, step lifecycle.Step,
	back func(context.Context) error) error {
	status := r.status
	status.State, status.Reason = step.State, step.Reason
	if err := d.saveStatus(ctx, r, status); err != nil {
		d.takeBack(ctx, e, back)
		return err
	}
	shown := d.publish(e, func(s *container.Snapshot) { s.State, s.Reason = step.State, step.Reason })
	d.announce(shown.Identity, step.Event, step.Reason)
	return nil
}

// takeBack has a time of its own: the change may have failed because its time
// is over. What fails here is logged: the caller returns the error that came
// first.
func (d *Driver) takeBack(ctx context.Context, e *entry, back func(context.Context) error) {
	ctx, cancel := d.lasting(ctx)
	defer cancel()
	if err := back(ctx); err != nil {
		d.log.Error("cannot take back a change of state", "container", e.Name, "error", err)
	}
}
