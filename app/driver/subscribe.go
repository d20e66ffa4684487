package driver

import (
	"context"

	"virtlxcd/domain/access"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// Subscribe implements ports.Events.
func (c *connection) Subscribe(ctx context.Context, wish ports.Subscription) (int, error) {
	if err := c.allowed(ctx, access.ConnectSearch); err != nil {
		return 0, err
	}
	number := c.driver.feed.Subscribe(c.caller, wish)
	c.mu.Lock()
	closed := c.closed
	if !closed {
		c.subscriptions[number] = struct{}{}
	}
	c.mu.Unlock()
	if closed {
		c.driver.feed.Unsubscribe(number)
		return 0, connectionClosed()
	}
	return number, nil
}

// Unsubscribe implements ports.Events.
func (c *connection) Unsubscribe(ctx context.Context, number int) error {
	if err := c.allowed(ctx, access.ConnectRead); err != nil {
		return err
	}
	c.mu.Lock()
	_, mine := c.subscriptions[number]
	delete(c.subscriptions, number)
	c.mu.Unlock()
	if !mine {
		return fault.New(fault.InvalidArgument, fault.API, "domain event callback %d not registered", number)
	}
	c.driver.feed.Unsubscribe(number)
	return nil
}

func connectionClosed() error {
	return fault.New(fault.Aborted, fault.Driver, "the connection was closed")
}
