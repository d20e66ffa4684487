package remote

import (
	"context"
	"sync"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/domain/container"
	"virtlxcd/ports"
)

// eventHandlers are two generations of the same thing: CallbackRegisterAny with numbers,
// of which a client may have many for one event, and the old one without (see
// legacyevents.go). A client that finds feature 14 uses the first alone.
func eventHandlers() served {
	return served{
		protocol.ProcConnectDomainEventCallbackRegisterAny:   {handle: with(registerCallback)},
		protocol.ProcConnectDomainEventCallbackDeregisterAny: {handle: with(deregisterCallback)},
		protocol.ProcConnectDomainEventRegisterAny:           {handle: with(registerLegacy)},
		protocol.ProcConnectDomainEventDeregisterAny:         {handle: with(deregisterLegacy)},
		protocol.ProcConnectDomainEventRegister:              {handle: plain(registerLifecycle)},
		protocol.ProcConnectDomainEventDeregister:            {handle: plain(deregisterLifecycle)},
	}
}

// Events as clients number them. All others may be asked for and never come.
const (
	eventLifecycle  = 0
	eventReboot     = 1
	eventMetadata   = 23
	lastEvent       = 27
	lastLegacyEvent = 15
)

// kindOf: containers have three of the events; the others may be asked for all the same,
// because management programs register for all they know and give up on a refusal. What
// is asked for and never comes takes a registration like any other.
func kindOf(event int32) ports.EventKind {
	switch event {
	case eventLifecycle:
		return ports.LifecycleEvent
	case eventReboot:
		return ports.RebootEvent
	case eventMetadata:
		return ports.MetadataEvent
	}
	return ports.OtherEvent
}

// callback is one registration of a client.
// The number is valid for the connection that gave it: an identity that is set later
// makes another connection, and the registration stays with this one.
type callback struct {
	connection ports.Connection // where it was made
	number     int
	ready      bool // false while it is being made
}

// sender passes events of one subscription on to its client.
// Its lock is held while an event is queued, never while it is written. There is one for
// each registration; the subscription keeps it alive.
type sender struct {
	session *rpc.Session
	legacy  bool

	mu     sync.Mutex
	number int32
	known  bool // number is set
	early  []ports.Event
}

// deliver sends an event. The number it carries is known only after subscribing;
// an event that is quicker waits for it.
// The port calls it in the order of events, from any goroutine.
func (s *sender) deliver(event ports.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Subscribe has not returned yet.
	if !s.known {
		s.early = append(s.early, event)
		return
	}
	s.send(event)
}

// begin sets the number and sends what has waited for it. Queuing an event does
// not block, so order is kept by the lock.
func (s *sender) begin(number int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number, s.known = int32(number), true
	for _, event := range s.early {
		s.send(event)
	}
	s.early = nil
}

// send is called with mu held. An event goes to the session's queue, which drops it when
// the session has ended.
func (s *sender) send(event ports.Event) {
	if procedure, body := s.message(event); body != nil {
		s.session.SendEvent(protocol.Program, procedure, body)
	}
}

// message is an event in the form of the client's generation; no body if that has
// none.
// Of the old generation there are no packets for metadata: they came later. Changes have
// the numbers of virDomainEventType and of the detail's own list.
func (s *sender) message(event ports.Event) (int32, rpc.Body) {
	dom := objectOf(event.Container)
	switch event.Kind {
	case ports.LifecycleEvent:
		message := protocol.DomainEventLifecycleMsg{
			Dom: dom, Event: int32(event.Change.Kind), Detail: int32(event.Change.Detail),
		}
		if s.legacy {
			return protocol.ProcDomainEventLifecycle, &message
		}
		return protocol.ProcDomainEventCallbackLifecycle,
			&protocol.DomainEventCallbackLifecycleMsg{CallbackID: s.number, Msg: message}
	case ports.RebootEvent:
		message := protocol.DomainEventRebootMsg{Dom: dom}
		if s.legacy {
			return protocol.ProcDomainEventReboot, &message
		}
		return protocol.ProcDomainEventCallbackReboot,
			&protocol.DomainEventCallbackRebootMsg{CallbackID: s.number, Msg: message}
	case ports.MetadataEvent:
		return protocol.ProcDomainEventCallbackMetadataChange, s.metadata(event, dom)
	}
	return 0, nil
}

// metadata tells what has changed; the namespace is told for elements only. Title and
// description have no namespace, and the field is absent then.
func (s *sender) metadata(event ports.Event, dom protocol.Domain) rpc.Body {
	message := &protocol.DomainEventCallbackMetadataChangeMsg{
		CallbackID: s.number, Dom: dom, Type: int32(event.Metadata),
	}
	if event.Metadata == ports.Element {
		message.Nsuri = &event.Namespace
	}
	return message
}

// subscribe starts delivery; remember is called with the registration before the
// first event is sent.
// Should the session have ended meanwhile, the connection's Close ends the subscription.
// remember runs first so that a client can end what it has just been told of.
func (r request) subscribe(ctx context.Context, event int32, filter *container.UUID, legacy bool, remember func(callback)) (int, error) {
	s := &sender{session: r.call.Session(), legacy: legacy}
	number, err := r.connection.Subscribe(ctx, ports.Subscription{
		Kind: kindOf(event), Container: filter, Deliver: s.deliver,
	})
	if err != nil {
		return 0, err
	}
	remember(callback{connection: r.connection, number: number, ready: true})
	s.begin(number)
	return number, nil
}

// registerCallback answers with a number that counts up for the daemon's life, over all
// clients, so it says nothing about this one. dom narrows it to one container, by UUID. A
// container that does not exist is not refused: it may be defined later.
func registerCallback(ctx context.Context, r request, args *protocol.ConnectDomainEventCallbackRegisterAnyArgs) (rpc.Body, error) {
	if args.EventID < 0 || args.EventID > lastEvent {
		return nil, wireFault("unsupported event ID %d", args.EventID)
	}
	var filter *container.UUID
	if args.Dom != nil {
		// A copy: the arguments do not outlive the call.
		uuid := container.UUID(args.Dom.UUID)
		filter = &uuid
	}
	number, err := r.subscribe(ctx, args.EventID, filter, false, r.client.remember)
	if err != nil {
		return nil, err
	}
	return &protocol.ConnectDomainEventCallbackRegisterAnyRet{CallbackID: int32(number)}, nil
}

// deregisterCallback ends a registration of this client. A number of another client is
// as unknown as one that never was. Events that are queued already still come.
func deregisterCallback(ctx context.Context, r request, args *protocol.ConnectDomainEventCallbackDeregisterAnyArgs) (rpc.Body, error) {
	known, ok := r.client.forget(args.CallbackID)
	if !ok {
		return nil, wireFault("domain event callback %d not registered", args.CallbackID)
	}
	err := known.connection.Unsubscribe(ctx, known.number)
	if err != nil {
		r.client.remember(known) // the client may try again
	}
	return nil, err
}

// remember keeps a registration until it is ended; the connection's Close ends the rest.
// The map is made with the first one: most clients have none.
func (c *client) remember(made callback) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.callbacks == nil {
		c.callbacks = map[int32]callback{}
	}
	c.callbacks[int32(made.number)] = made
}

// forget takes a registration out, so that of two calls that end it only one does. ok is
// false for a number that is not this client's.
func (c *client) forget(number int32) (callback, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.callbacks[number]
	delete(c.callbacks, number)
	return known, ok
}
