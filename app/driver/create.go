package driver

import (
	"context"
	"errors"

	"virtlxcd/domain/access"
	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/host"
	"virtlxcd/domain/launch"
	"virtlxcd/domain/lifecycle"
	"virtlxcd/ports"
)

// Create implements ports.Lifecycle. Everything that can be refused without the
// container is refused before its gate. Where a persistent container of that
// name and UUID is off, the document runs and the stored definition stays for
// the next start. On failure a container that was not known before is
// forgotten.
func (c *connection) Create(ctx context.Context, document string, options ports.StartOptions) (container.Identity, error) {
	if err := c.mayStart(callCreate); err != nil {
		return container.Identity{}, err
	}
	definition, err := c.admit(ctx, document, access.Write, access.Start)
	if err != nil {
		return container.Identity{}, err
	}
	if err := c.driver.refuseActive(definition); err != nil {
		return container.Identity{}, err
	}
	facts, err := c.driver.knownFacts(ctx)
	if err != nil {
		return container.Identity{}, err
	}
	if err := validateNow(definition, facts); err != nil {
		return container.Identity{}, err
	}
	var identity container.Identity
	err = c.driver.claim(ctx, callCreate, definition, func(ctx context.Context, e *entry) error {
		if s := e.Snapshot(); s != nil && s.State != lifecycle.Off {
			return fault.AlreadyActive(e.Name)
		}
		identity, err = c.startHere(ctx, e, definition, options)
		return err
	})
	return identity, err
}

// Start implements ports.Lifecycle. A transient container is never off and
// known, so Config is the stored definition.
func (c *connection) Start(ctx context.Context, ref container.Ref, options ports.StartOptions) (container.Identity, error) {
	if err := c.mayStart(callStart); err != nil {
		return container.Identity{}, err
	}
	var identity container.Identity
	wish := request{call: callStart, ref: ref, permissions: []access.Permission{access.Start}}
	err := c.change(ctx, wish, func(ctx context.Context, e *entry) (err error) {
		if e.Snapshot().State != lifecycle.Off {
			return fault.AlreadyRunning()
		}
		identity, err = c.startHere(ctx, e, e.Snapshot().Config, options)
		return err
	})
	return identity, err
}

// mayStart refuses starts on a connection that is closed: nobody would be left
// to destroy what was started with AutoDestroy. One that closes later is found
// by destroyForsaken.
func (c *connection) mayStart(call string) error {
	if err := c.writable(call); err != nil {
		return err
	}
	if c.closed.Load() {
		return connectionClosed()
	}
	return nil
}

// refuseActive answers without waiting for the gate where that is hopeless.
// Another start may be busy with hooks for a minute, and this document could
// not run whatever comes of it. The snapshot may be old by a moment: with the
// gate held Create looks again.
func (d *Driver) refuseActive(definition *container.Definition) error {
	e, err := d.registry.Find(container.Ref{By: container.ByUUID, UUID: definition.UUID})
	if err != nil || e.Name != definition.Name {
		return nil // unknown, or claim will find the conflict
	}
	switch e.Snapshot().State {
	case lifecycle.Off:
		return nil
	case lifecycle.Starting:
		return fault.New(fault.WrongState, fault.API, "domain '%s' is already being started", e.Name)
	}
	return fault.AlreadyActive(e.Name)
}

// validateNow is launch.Validate for what is to run at once: that the host
// cannot run it is then the document's fault, not a matter of state. A copy is
// changed, since the fault is not ours.
func validateNow(definition *container.Definition, facts *host.Facts) error {
	err := launch.Validate(definition, facts)
	var f *fault.Error
	if errors.As(err, &f) && f.Kind == fault.WrongState {
		unsupported := *f
		unsupported.Kind = fault.UnsupportedConfig
		return &unsupported
	}
	return err
}

// startHere starts e on behalf of this connection. Called with the gate held.
// If the connection has closed during the start the container is destroyed
// again: Aborted, with the identity that it had.
func (c *connection) startHere(ctx context.Context, e *entry, definition *container.Definition,
	options ports.StartOptions) (container.Identity, error) {
	s := starting{definition: definition, files: options.Files}
	if options.AutoDestroy {
		s.owner = c
	}
	if err := c.driver.start(ctx, e, s); err != nil {
		return container.Identity{}, err
	}
	identity := e.Snapshot().Identity
	if gone, err := c.driver.destroyForsaken(ctx, e, s.owner); gone {
		return identity, errors.Join(connectionClosed(), err)
	}
	return identity, nil
}
