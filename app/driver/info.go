package driver

import (
	"context"

	"virtlxcd/domain/access"
	"virtlxcd/domain/host"
)

// PublicFacts implements ports.Node. It needs only the right that every
// connection was let in with; hence so few of them.
func (c *connection) PublicFacts(ctx context.Context) (*host.Facts, error) {
	if err := c.allowed(ctx, access.ConnectGetattr); err != nil {
		return nil, err
	}
	facts, err := c.driver.freshFacts(ctx)
	if err != nil {
		return nil, err
	}
	return &host.Facts{Hostname: facts.Hostname, KernelRelease: facts.KernelRelease}, nil
}

// NodeFacts implements ports.Node. Each call reads /proc and /sys anew, since
// memory and CPUs may come and go.
func (c *connection) NodeFacts(ctx context.Context) (*host.Facts, error) {
	if err := c.allowed(ctx, access.ConnectRead); err != nil {
		return nil, err
	}
	return c.driver.freshFacts(ctx)
}
