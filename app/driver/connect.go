package driver

import (
	"context"
	"sync/atomic"

	"virtlxcd/app/feed"
	"virtlxcd/app/jobs"
	"virtlxcd/domain/access"
	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// connection is one client's view of the driver. Its methods are safe from any
// goroutine. A closed one refuses to start and to subscribe, as nobody would
// end that; other calls leave nothing behind and still work.
type connection struct {
	driver *Driver
	caller access.Caller
	feed   *feed.Client
	closed atomic.Bool
}

// Connect implements ports.Connector. It costs no goroutine until the caller
// subscribes, and Close is due even so.
func (d *Driver) Connect(ctx context.Context, caller access.Caller) (ports.Connection, error) {
	c := &connection{driver: d, caller: caller, feed: d.feed.Join(caller)}
	if err := c.allowed(ctx, access.ConnectGetattr); err != nil {
		return nil, err
	}
	return c, nil
}

// Close ends the subscriptions and destroys what this connection started with
// AutoDestroy, waiting for both. closed is set before anything else: a start
// under way sees it at its end (destroyForsaken). A second call returns at
// once, while the first may still be waiting.
func (c *connection) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	c.feed.Leave()
	return c.driver.autoDestroy(c)
}

// writable refuses the named call on a read-only connection. It comes first in
// every change: neither rights nor containers are looked at before.
func (c *connection) writable(call string) error {
	if c.caller.ReadOnly {
		return fault.ReadOnlyCall(call)
	}
	return nil
}

// allowed asks for a right on the connection. AccessObject is empty then, which
// is how the access port tells the two apart.
func (c *connection) allowed(ctx context.Context, permission access.Permission) error {
	return c.driver.ports.Access.Check(ctx, c.caller, permission, ports.AccessObject{})
}

// allowedOn asks for rights on one container. They are asked for one by one,
// and the first refusal is the answer. It may take seconds, so no gate and no
// lock is held here (doc.go).
func (c *connection) allowedOn(ctx context.Context, name string, uuid container.UUID, permissions ...access.Permission) error {
	for _, permission := range permissions {
		object := ports.AccessObject{Name: name, UUID: uuid}
		if err := c.driver.ports.Access.Check(ctx, c.caller, permission, object); err != nil {
			return err
		}
	}
	return nil
}

// find returns a container on which the caller has the rights. NotFound comes
// before any question of rights, which need name and UUID. The entry may be
// dropped meanwhile: whoever changes it looks again with the gate held.
func (c *connection) find(ctx context.Context, ref container.Ref, permissions ...access.Permission) (*entry, error) {
	e, err := c.driver.registry.Find(ref)
	if err != nil {
		return nil, err
	}
	return e, c.allowedOn(ctx, e.Name, e.UUID, permissions...)
}

// request is a change that a client asks for.
type request struct {
	call        string // its name for others
	ref         container.Ref
	permissions []access.Permission
	// Let into a full queue: for those that end a container, or it could not be
	// ended.
	urgent bool
}

// change runs work with the container's gate held, on the daemon's context. ctx
// counts while rights are asked for and for the wait. An entry that was dropped
// meanwhile is gone for this call, even if its name was claimed again. Errors
// get the call and the container's name where they have none.
func (c *connection) change(ctx context.Context, r request, work func(context.Context, *entry) error) error {
	if err := c.writable(r.call); err != nil {
		return err
	}
	e, err := c.find(ctx, r.ref, r.permissions...)
	if err != nil {
		return err
	}
	wish := jobs.Wish{Name: r.call, Urgent: r.urgent}
	err = c.driver.desk.Do(ctx, &e.Gate, wish, func(ctx context.Context) error {
		if e.Gone() {
			return fault.Gone(e.UUID.String(), e.Name)
		}
		return work(ctx, e)
	})
	return fault.During(err, r.call, e.Name)
}

// admit checks the caller's rights to what the document names, and parses it.
// Rights come first, by what Peek reads cheaply: who may not define shall not
// make the daemon parse. A UUID that was drawn belongs to nobody else and needs
// no second question.
func (c *connection) admit(ctx context.Context, document string, permissions ...access.Permission) (*container.Definition, error) {
	name, uuid, hasUUID, err := c.driver.ports.Codec.Peek(document)
	if err != nil {
		return nil, err
	}
	if err := c.allowedOn(ctx, name, uuid, permissions...); err != nil {
		return nil, err
	}
	definition, err := c.driver.ports.Codec.Parse(document)
	if err != nil {
		return nil, err
	}
	if definition.Name == name && (!hasUUID || definition.UUID == uuid) {
		return definition, nil
	}
	// A document that reads differently the second time gets no further.
	return definition, c.allowedOn(ctx, definition.Name, definition.UUID, permissions...)
}

// claim runs work with the gate of the definition's container held; a container
// that is new and was not published by work is forgotten again. For calls that
// bring a definition, whose container may not exist yet. An entry that was
// dropped while this waited at its gate is claimed anew. Kind Failed if name or
// UUID are another container's.
func (d *Driver) claim(ctx context.Context, call string, definition *container.Definition,
	work func(context.Context, *entry) error) error {
	for again := true; again; {
		e, err := d.registry.Claim(definition.Name, definition.UUID)
		if err != nil {
			return err
		}
		again = false
		err = d.desk.Do(ctx, &e.Gate, jobs.Wish{Name: call}, func(ctx context.Context) error {
			if again = e.Gone(); again {
				return nil
			}
			defer d.forgetUnseen(e)
			return work(ctx, e)
		})
		if err != nil {
			return fault.During(err, call, definition.Name)
		}
	}
	return nil
}

// forgetUnseen drops a claim that came to nothing. Others who wait at the same
// gate find the entry gone and claim the name again. Called with the gate held,
// or by Recover, when nobody else is there.
func (d *Driver) forgetUnseen(e *entry) {
	if e.Snapshot() == nil {
		d.registry.Drop(e)
	}
}
