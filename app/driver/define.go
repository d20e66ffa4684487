package driver

import (
	"context"
	"errors"

	"virtlxcd/domain/access"
	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/launch"
	"virtlxcd/domain/lifecycle"
)

// Define implements ports.Definitions. The codec validates every document, so
// asking for it changes nothing. Rights, document and host are checked before
// the gate, so a document that is refused disturbs nobody. Facts may be old:
// start checks again. From here on the definition is shared and read only.
func (c *connection) Define(ctx context.Context, document string, _ bool) (container.Identity, error) {
	if err := c.writable(callDefine); err != nil {
		return container.Identity{}, err
	}
	definition, err := c.admit(ctx, document, access.Write, access.Save)
	if err != nil {
		return container.Identity{}, err
	}
	facts, err := c.driver.knownFacts(ctx)
	if err != nil {
		return container.Identity{}, err
	}
	if err := launch.Validate(definition, facts); err != nil {
		return container.Identity{}, err
	}
	var identity container.Identity
	err = c.driver.claim(ctx, callDefine, definition, func(ctx context.Context, e *entry) (err error) {
		identity, err = c.driver.define(ctx, e, definition)
		return err
	})
	return identity, err
}

// define writes before it shows: what clients see is on disk. The file is
// touched for reloads even on failure, since what a reload has read may be what
// is undone here. On failure disk and snapshot are as before. Called with the
// gate held, by claim.
func (d *Driver) define(ctx context.Context, e *entry, definition *container.Definition) (container.Identity, error) {
	defer d.reloads.touch(e.Name)
	if err := d.ports.Store.SaveDefinition(ctx, definition); err != nil {
		d.restoreDefinition(ctx, e)
		return container.Identity{}, err
	}
	return d.showDefined(e, definition), nil
}

// showDefined publishes and announces what is stored now. Updated marks a
// running container whose next start will differ. A transient one that is
// defined for the first time is not marked: the event says Added, and nothing
// was replaced. Called with the gate held.
func (d *Driver) showDefined(e *entry, definition *container.Definition) container.Identity {
	before := e.Snapshot()
	known := before != nil && (before.Persistent || e.Data.hadConfig)
	shown := d.publish(e, func(s *container.Snapshot) {
		s.Config, s.Persistent = definition, true
		s.Updated = s.Live != nil && known
	})
	change := &lifecycle.Change{Kind: lifecycle.WasDefined, Detail: lifecycle.Added}
	if known {
		change.Detail = lifecycle.Updated
	}
	d.announce(shown.Identity, change, shown.Reason)
	return shown.Identity
}

// Undefine implements ports.Definitions.
func (c *connection) Undefine(ctx context.Context, ref container.Ref) error {
	wish := request{call: callUndefine, ref: ref, permissions: []access.Permission{access.Delete}}
	return c.change(ctx, wish, c.driver.undefine)
}

// undefine leaves a running container as a transient one. It remembers that
// there was a definition (slot.hadConfig): to define it anew then is an update,
// not news. The autostart mark goes with the definition. The event comes last,
// when lookups do not find it any more. Called with the gate held.
func (d *Driver) undefine(ctx context.Context, e *entry) error {
	before := e.Snapshot()
	if !before.Persistent {
		return fault.UndefineTransient()
	}
	defer d.reloads.touch(e.Name)
	if err := d.ports.Store.RemoveDefinition(ctx, e.Name); err != nil {
		d.restoreDefinition(ctx, e)
		return err
	}
	if before.Live == nil {
		d.registry.Drop(e)
	} else {
		e.Data.hadConfig = true
		d.publish(e, func(s *container.Snapshot) {
			s.Config, s.Persistent, s.Autostart, s.Updated = nil, false, false, false
		})
	}
	change := lifecycle.Change{Kind: lifecycle.WasUndefined, Detail: lifecycle.Removed}
	d.announce(before.Identity, &change, before.Reason)
	return nil
}

// restoreDefinition makes the disk agree with what is shown of e, after a
// change that failed and may have been done in part. The mark is part of that,
// as RemoveDefinition takes it along. Called with the gate held; what fails
// here is logged, since the error of the change itself is what counts.
func (d *Driver) restoreDefinition(ctx context.Context, e *entry) {
	ctx, cancel := d.lasting(ctx)
	defer cancel()
	err := error(nil)
	switch shown := e.Snapshot(); {
	case shown == nil || !shown.Persistent:
		err = d.ports.Store.RemoveDefinition(ctx, e.Name)
	default:
		err = errors.Join(
			d.ports.Store.SaveDefinition(ctx, shown.Config),
			d.ports.Store.SetAutostart(ctx, e.Name, shown.Autostart))
	}
	if err != nil {
		d.log.Error("cannot restore the definition on disk", "container", e.Name, "error", err)
	}
}
