package driver

import (
	"context"

	"virtlxcd/domain/access"
	"virtlxcd/domain/host"
)

// NodeFacts implements ports.Node.
func (c *connection) NodeFacts(ctx context.Context) (*host.Facts, error) {
	if err := c.allowed(ctx, access.ConnectRead); err != nil {
		return nil, err
	}
	return c.driver.freshFacts(ctx)
}
