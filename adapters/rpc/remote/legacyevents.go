package remote

import (
	"context"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/protocol"
)

// Clients of the old generation have one registration for each event, named by
// the event. The call without an event means life cycles; both kinds of call share
// their registrations, because such clients mix them.

// registerLegacy is CONNECT_DOMAIN_EVENT_REGISTER_ANY. Its events have no number: the
// kind of packet says which they are.
func registerLegacy(ctx context.Context, r request, args *protocol.ConnectDomainEventRegisterAnyArgs) (rpc.Body, error) {
	return nil, r.register(ctx, args.EventID)
}

// deregisterLegacy is CONNECT_DOMAIN_EVENT_DEREGISTER_ANY.
func deregisterLegacy(ctx context.Context, r request, args *protocol.ConnectDomainEventDeregisterAnyArgs) (rpc.Body, error) {
	return nil, r.deregister(ctx, args.EventID)
}

// registerLifecycle is CONNECT_DOMAIN_EVENT_REGISTER. Its answer is how many there are.
func registerLifecycle(ctx context.Context, r request) (rpc.Body, error) {
	if err := r.register(ctx, eventLifecycle); err != nil {
		return nil, err
	}
	return &protocol.ConnectDomainEventRegisterRet{CbRegistered: 1}, nil
}

// deregisterLifecycle is CONNECT_DOMAIN_EVENT_DEREGISTER: none is left afterwards.
func deregisterLifecycle(ctx context.Context, r request) (rpc.Body, error) {
	if err := r.deregister(ctx, eventLifecycle); err != nil {
		return nil, err
	}
	return &protocol.ConnectDomainEventDeregisterRet{}, nil
}

// register makes the one registration of an event. The place is reserved first, as
// subscribing waits; a second register meanwhile is refused like one after it. Numbers
// above 15 came with the new generation and are refused here.
func (r request) register(ctx context.Context, event int32) error {
	if event < 0 || event > lastLegacyEvent {
		return wireFault("unsupported event ID %d", event)
	}
	if !r.client.reserve(event) {
		return wireArgument("event callback already tracked")
	}
	_, err := r.subscribe(ctx, event, nil, true, func(made callback) { r.client.settle(event, made) })
	if err != nil {
		r.client.unreserve(event)
	}
	return err
}

// deregister ends it. One that is still being made is not there to be ended. An error of
// the driver puts it back, so the client may try again.
func (r request) deregister(ctx context.Context, event int32) error {
	if event < 0 || event > lastLegacyEvent {
		return wireFault("unsupported event ID %d", event)
	}
	known, ok := r.client.release(event)
	if !ok {
		return wireArgument("domain event %d not registered", event)
	}
	err := known.connection.Unsubscribe(ctx, known.number)
	if err != nil {
		r.client.settle(event, known) // the client may try again
	}
	return err
}

// reserve makes sure that of several calls at once only one subscribes.
// A place that is taken is refused, whether the registration is made or being made.
func (c *client) reserve(event int32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, taken := c.legacy[event]; taken {
		return false
	}
	if c.legacy == nil {
		c.legacy = map[int32]callback{}
	}
	// Not ready: it holds the place.
	c.legacy[event] = callback{}
	return true
}

// unreserve is for a registration that was not made after all.
func (c *client) unreserve(event int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.legacy, event)
}

// settle puts the registration into its place: it can be ended from now on. Until then
// the place holds a registration that is not ready.
func (c *client) settle(event int32, made callback) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.legacy[event] = made
}

// release forgets a registration; ok is false if it was not made yet.
func (c *client) release(event int32) (known callback, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known = c.legacy[event]
	// One that is being made is settled by its maker.
	if known.ready {
		delete(c.legacy, event)
	}
	return known, known.ready
}
