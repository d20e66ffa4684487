package driver

import (
	"context"

	"virtlxcd/app/jobs"
	"virtlxcd/domain/access"
	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/lifecycle"
)

// Autostart implements ports.Definitions.
func (c *connection) Autostart(ctx context.Context, ref container.Ref) (bool, error) {
	snapshot, err := c.look(ctx, ref, access.Read)
	return err == nil && snapshot.Autostart, err
}

// SetAutostart implements ports.Definitions.
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

// StartAutostarted implements ports.Daemon: one after the other, in the order of
// names. A container that cannot be started is logged and does not stop the rest.
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

// autostart looks again with the gate held: a client may have been quicker, or may
// have taken the mark back. What another daemon left running is not Off.
func (d *Driver) autostart(ctx context.Context, e *entry) error {
	return d.desk.Do(ctx, &e.Gate, jobs.Wish{Name: callStart}, func(ctx context.Context) error {
		snapshot := e.Snapshot()
		if e.Gone() || !snapshot.Autostart || snapshot.State != lifecycle.Off {
			return nil
		}
		return d.start(ctx, e, starting{definition: snapshot.Config})
	})
}

// restoreAutostart makes the disk agree with what is shown of e.
func (d *Driver) restoreAutostart(ctx context.Context, e *entry) {
	ctx, cancel := d.lasting(ctx)
	defer cancel()
	if err := d.ports.Store.SetAutostart(ctx, e.Name, e.Snapshot().Autostart); err != nil {
		d.log.Error("cannot restore the autostart mark", "container", e.Name, "error", err)
	}
}
