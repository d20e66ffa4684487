package driver

import (
	"context"

	"virtlxcd/app/jobs"
	"virtlxcd/domain/access"
	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/lifecycle"
)

// Autostart implements ports.Definitions. False for a transient container,
// which has no mark: that is no error.
func (c *connection) Autostart(ctx context.Context, ref container.Ref) (bool, error) {
	snapshot, err := c.look(ctx, ref, access.Read)
	return err == nil && snapshot.Autostart, err
}

// SetAutostart implements ports.Definitions. A transient container is refused,
// since the mark belongs to a stored definition. The disk comes before the
// snapshot. A mark that failed half way is put back, and a reload that has read
// it meanwhile is told by touch.
func (c *connection) SetAutostart(ctx context.Context, ref container.Ref, on bool) error {
	wish := request{call: callAutostart, ref: ref, permissions: []access.Permission{access.Write}}
	return c.change(ctx, wish, func(ctx context.Context, e *entry) error {
		before := e.Snapshot()
		switch {
		case !before.Persistent:
			return fault.AutostartTransient()
		case before.Autostart == on:
			return nil
		}
		defer c.driver.reloads.touch(e.Name)
		if err := c.driver.ports.Store.SetAutostart(ctx, e.Name, on); err != nil {
			c.driver.restoreAutostart(ctx, e)
			return err
		}
		c.driver.publish(e, func(s *container.Snapshot) { s.Autostart = on })
		return nil
	})
}

// StartAutostarted implements ports.Daemon: one after the other, in the order
// of names. A container that cannot be started is logged and does not stop the
// rest. The store remembers the boot before the first one starts: a daemon that
// is restarted does not start again what somebody has stopped since. When ctx
// ends, the start under way is finished and the rest is left out: Aborted.
func (d *Driver) StartAutostarted(ctx context.Context) error {
	first, err := d.ports.Store.FirstStartSinceBoot(ctx)
	if err != nil || !first {
		return err
	}
	for _, e := range d.registry.Entries() {
		if ctx.Err() != nil {
			return &fault.Error{Op: "autostart", Kind: fault.Aborted, Err: ctx.Err()}
		}
		if !e.Snapshot().Autostart {
			continue
		}
		if err := d.autostart(ctx, e); err != nil {
			d.log.Error("cannot autostart a container", "container", e.Name, "error", err)
		}
	}
	return nil
}

// autostart looks again with the gate held: a client may have been quicker, or
// may have taken the mark back. What another daemon left running is not Off.
// The wish is not patient: one container that is stuck must not hold up the
// rest of the host for longer than jobs.Patience.
func (d *Driver) autostart(ctx context.Context, e *entry) error {
	return d.desk.Do(ctx, &e.Gate, jobs.Wish{Name: callStart}, func(ctx context.Context) error {
		snapshot := e.Snapshot()
		if e.Gone() || !snapshot.Autostart || snapshot.State != lifecycle.Off {
			return nil
		}
		return d.start(ctx, e, starting{definition: snapshot.Config})
	})
}

// restoreAutostart makes the disk agree with what is shown of e. Called with
// the gate held. It has time of its own, since the change may have failed
// because its time was over.
func (d *Driver) restoreAutostart(ctx context.Context, e *entry) {
	ctx, cancel := d.lasting(ctx)
	defer cancel()
	if err := d.ports.Store.SetAutostart(ctx, e.Name, e.Snapshot().Autostart); err != nil {
		d.log.Error("cannot restore the autostart mark", "container", e.Name, "error", err)
	}
}
