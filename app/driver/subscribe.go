package driver

import (
	"context"

	"virtlxcd/domain/access"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// Subscribe implements ports.Events. Which containers it may hear of is asked
// for each event, as it comes (app/feed). Aborted on a closed connection.
func (c *connection) Subscribe(ctx context.Context, wish ports.Subscription) (int, error) {
	if err := c.allowed(ctx, access.ConnectSearch); err != nil {
		return 0, err
	}
	number, ok := c.feed.Subscribe(wish)
	if !ok {
		return 0, connectionClosed()
	}
	return number, nil
}

// Unsubscribe implements ports.Events. It waits for a delivery that is under
// way, and must not be called from one.
func (c *connection) Unsubscribe(ctx context.Context, number int) error {
	if err := c.allowed(ctx, access.ConnectRead); err != nil {
		return err
	}
	if !c.feed.Unsubscribe(number) {
		return fault.New(fault.InvalidArgument, fault.API, "domain event callback %d not registered", number)
	}
	return nil
}

// connectionClosed is the answer to calls that a closed connection cannot serve any
// more, as nobody would end what they begin.
func connectionClosed() error {
	return fault.New(fault.Aborted, fault.Driver, "the connection was closed")
}
