package driver

import (
	"context"
	"slices"

	"virtlxcd/domain/access"
	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/usage"
	"virtlxcd/ports"
)

// Lookup implements ports.Definitions. It needs the least of rights, since the
// identity is all that clients get of it.
func (c *connection) Lookup(ctx context.Context, ref container.Ref) (*container.Snapshot, error) {
	return c.look(ctx, ref, access.Getattr)
}

// State implements ports.Lifecycle.
func (c *connection) State(ctx context.Context, ref container.Ref) (*container.Snapshot, error) {
	return c.look(ctx, ref, access.Read)
}

// look reads a snapshot and never waits for a change. Rights are asked for
// first. The snapshot is shared and read only. It is as of now: by the time of
// the answer the container may have changed.
func (c *connection) look(ctx context.Context, ref container.Ref, permission access.Permission) (*container.Snapshot, error) {
	e, err := c.find(ctx, ref, permission)
	if err != nil {
		return nil, err
	}
	return e.Snapshot(), nil
}

// List implements ports.Definitions. If everything matches and may be seen the
// answer is the registry's own list. Containers that the caller may not see are
// left out without an error.
func (c *connection) List(ctx context.Context, filter container.Filter) ([]*container.Snapshot, error) {
	if err := c.allowed(ctx, access.ConnectSearch); err != nil {
		return nil, err
	}
	all := c.driver.registry.List()
	if (filter != container.Filter{}) {
		all = matching(all, &filter)
	}
	return c.visible(ctx, all)
}

// matching returns those of all that the filter lets through: all itself if it
// lets every one. So a list of everything costs no copy.
func matching(all []*container.Snapshot, filter *container.Filter) []*container.Snapshot {
	first := slices.IndexFunc(all, func(s *container.Snapshot) bool { return !filter.Match(s) })
	if first < 0 {
		return all
	}
	picked := slices.Clone(all[:first])
	for _, s := range all[first+1:] {
		if filter.Match(s) {
			picked = append(picked, s)
		}
	}
	return picked
}

// Definition implements ports.Definitions. The secure view is refused on a
// read-only connection before the container is looked for. A running transient
// container has no other definition than the live one, so both views show that.
func (c *connection) Definition(ctx context.Context, ref container.Ref, view ports.View) (string, error) {
	permissions := []access.Permission{access.Read}
	if view.Secure {
		if c.caller.ReadOnly {
			return "", fault.New(fault.ReadOnly, fault.API, "virDomainGetXMLDesc with secure flag")
		}
		permissions = append(permissions, access.ReadSecure)
	}
	e, err := c.find(ctx, ref, permissions...)
	if err != nil {
		return "", err
	}
	snapshot := e.Snapshot()
	definition, id := snapshot.Current(), snapshot.ID
	if view.Inactive {
		id = container.NoID
		if snapshot.Config != nil {
			definition = snapshot.Config
		}
	}
	how := ports.Format{ID: id, Inactive: view.Inactive, Secure: view.Secure}
	return c.driver.ports.Codec.Format(definition, how), nil
}

// Info implements ports.Stats. Counters that cannot be read are zero: a
// container may end at any moment. It is the call that monitoring makes most
// often, and takes no gate: the group may be removed under its hands, which is
// no error to a client.
func (c *connection) Info(ctx context.Context, ref container.Ref) (*container.Snapshot, usage.Usage, error) {
	e, err := c.find(ctx, ref, access.Read)
	if err != nil {
		return nil, usage.Usage{}, err
	}
	snapshot := e.Snapshot()
	r := e.Data.run.Load()
	if r == nil || !snapshot.Shown().Active() {
		return snapshot, usage.Usage{}, nil
	}
	used, err := r.cgroup.Usage(ctx)
	if err != nil {
		c.driver.log.Debug("cannot read counters", "container", e.Name, "error", err)
		return snapshot, usage.Usage{}, nil
	}
	return snapshot, used, nil
}
