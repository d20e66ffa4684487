package remote

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/adapters/rpc/xdr"
	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/lifecycle"
	"virtlxcd/ports"
)

var started = ports.Event{
	Kind:      ports.LifecycleEvent,
	Container: container.Identity{Name: "cap1", UUID: uuidOf(cap1UUID), ID: 7},
	Change:    lifecycle.Change{Kind: lifecycle.WasStopped, Detail: lifecycle.StoppedFailed},
}

// subscribe registers for an event and returns the callback's number.
func (p *peer) subscribe(event int32, dom *protocol.Domain) int32 {
	p.t.Helper()
	var answer protocol.ConnectDomainEventCallbackRegisterAnyRet
	p.must(protocol.ProcConnectDomainEventCallbackRegisterAny,
		&protocol.ConnectDomainEventCallbackRegisterAnyArgs{EventID: event, Dom: dom}, &answer)
	return answer.CallbackID
}

// event reads an event and decodes it.
func (p *peer) event(procedure int32, message protocol.Message) {
	p.t.Helper()
	packet := p.receive()
	require.Equal(p.t, frame.Message, packet.Header.Type)
	require.Equal(p.t, procedure, packet.Header.Procedure)
	d := xdr.NewDecoder(packet.Payload)
	require.NoError(p.t, message.DecodeXDR(d))
	require.Zero(p.t, d.Remaining())
}

func TestEveryEventMayBeAskedFor(t *testing.T) {
	driver := &stub{}
	p := open(t, driver, how{})
	for event := range int32(28) {
		assert.Equal(t, event, p.subscribe(event, nil))
	}
	kinds := map[int]ports.EventKind{0: ports.LifecycleEvent, 1: ports.RebootEvent, 23: ports.MetadataEvent}
	for number, wish := range driver.subscribers {
		want, ok := kinds[number]
		if !ok {
			want = ports.OtherEvent
		}
		assert.Equal(t, want, wish.Kind, "event %d", number)
		assert.Nil(t, wish.Container)
	}
	for _, event := range []int32{-1, 28, 1 << 30} {
		code, from, message := p.refused(protocol.ProcConnectDomainEventCallbackRegisterAny,
			&protocol.ConnectDomainEventCallbackRegisterAnyArgs{EventID: event})
		assert.Contains(t, message, "internal error: unsupported event ID ")
		assert.Equal(t, []int32{1, 7}, []int32{code, from})
	}
}

func TestEventMessages(t *testing.T) {
	driver := &stub{next: 40}
	p := open(t, driver, how{})
	life, reboot, metadata := p.subscribe(0, &cap1), p.subscribe(1, nil), p.subscribe(23, nil)
	require.Equal(t, uuidOf(cap1UUID), *driver.subscribers[int(life)].Container)
	dom := objectOf(started.Container)

	driver.announce(started)
	var change protocol.DomainEventCallbackLifecycleMsg
	p.event(protocol.ProcDomainEventCallbackLifecycle, &change)
	assert.Equal(t, protocol.DomainEventCallbackLifecycleMsg{
		CallbackID: life, Msg: protocol.DomainEventLifecycleMsg{Dom: dom, Event: 5, Detail: 5},
	}, change)

	driver.announce(ports.Event{Kind: ports.RebootEvent, Container: started.Container})
	var again protocol.DomainEventCallbackRebootMsg
	p.event(protocol.ProcDomainEventCallbackReboot, &again)
	assert.Equal(t, protocol.DomainEventCallbackRebootMsg{CallbackID: reboot, Msg: protocol.DomainEventRebootMsg{Dom: dom}}, again)

	driver.announce(ports.Event{Kind: ports.MetadataEvent, Container: started.Container, Metadata: ports.Element, Namespace: "urn:x"})
	var data protocol.DomainEventCallbackMetadataChangeMsg
	p.event(protocol.ProcDomainEventCallbackMetadataChange, &data)
	assert.Equal(t, "urn:x", *data.Nsuri)
	assert.Equal(t, []int32{metadata, 2}, []int32{data.CallbackID, data.Type})
	driver.announce(ports.Event{Kind: ports.MetadataEvent, Container: started.Container, Metadata: ports.Title})
	p.event(protocol.ProcDomainEventCallbackMetadataChange, &data)
	assert.Nil(t, data.Nsuri)
	assert.EqualValues(t, 1, data.Type)
}

func TestUnknownCallbacks(t *testing.T) {
	driver := &stub{}
	p, other := open(t, driver, how{}), open(t, driver, how{})
	mine := p.subscribe(0, nil)
	for _, number := range []int32{mine + 1, -1, 1 << 30} {
		code, from, message := p.refused(protocol.ProcConnectDomainEventCallbackDeregisterAny,
			&protocol.ConnectDomainEventCallbackDeregisterAnyArgs{CallbackID: number})
		assert.Contains(t, message, "internal error: domain event callback ")
		assert.Contains(t, message, " not registered")
		assert.Equal(t, []int32{1, 7}, []int32{code, from})
	}
	args := &protocol.ConnectDomainEventCallbackDeregisterAnyArgs{CallbackID: mine}
	other.refused(protocol.ProcConnectDomainEventCallbackDeregisterAny, args)
	p.must(protocol.ProcConnectDomainEventCallbackDeregisterAny, args, nil)
	p.refused(protocol.ProcConnectDomainEventCallbackDeregisterAny, args)
	assert.Empty(t, driver.subscribers)
}

func TestOldGeneration(t *testing.T) {
	driver := &stub{}
	p := open(t, driver, how{})
	var registered protocol.ConnectDomainEventRegisterRet
	p.must(protocol.ProcConnectDomainEventRegister, nil, &registered)
	assert.EqualValues(t, 1, registered.CbRegistered)
	p.must(protocol.ProcConnectDomainEventRegisterAny, &protocol.ConnectDomainEventRegisterAnyArgs{EventID: 1}, nil)

	code, from, message := p.refused(protocol.ProcConnectDomainEventRegister, nil)
	assert.Equal(t, "invalid argument: event callback already tracked", message)
	assert.Equal(t, []int32{8, 7}, []int32{code, from})

	driver.announce(started)
	var change protocol.DomainEventLifecycleMsg
	p.event(protocol.ProcDomainEventLifecycle, &change)
	assert.Equal(t, protocol.DomainEventLifecycleMsg{Dom: objectOf(started.Container), Event: 5, Detail: 5}, change)
	driver.announce(ports.Event{Kind: ports.RebootEvent, Container: started.Container})
	p.event(protocol.ProcDomainEventReboot, new(protocol.DomainEventRebootMsg))

	p.must(protocol.ProcConnectDomainEventDeregisterAny, &protocol.ConnectDomainEventDeregisterAnyArgs{EventID: 0}, nil)
	p.must(protocol.ProcConnectDomainEventDeregisterAny, &protocol.ConnectDomainEventDeregisterAnyArgs{EventID: 1}, nil)
	assert.Empty(t, driver.subscribers)
	code, from, message = p.refused(protocol.ProcConnectDomainEventDeregister, nil)
	assert.Equal(t, "invalid argument: domain event 0 not registered", message)
	assert.Equal(t, []int32{8, 7}, []int32{code, from})
	_, _, message = p.refused(protocol.ProcConnectDomainEventRegisterAny, &protocol.ConnectDomainEventRegisterAnyArgs{EventID: 16})
	assert.Equal(t, "internal error: unsupported event ID 16", message)
	_, _, message = p.refused(protocol.ProcConnectDomainEventDeregisterAny, &protocol.ConnectDomainEventDeregisterAnyArgs{EventID: -1})
	assert.Equal(t, "internal error: unsupported event ID -1", message)
}

// A registration that failed leaves no trace.
func TestRegistrationRefused(t *testing.T) {
	driver := &stub{}
	p := open(t, driver, how{})
	driver.fail = fault.Denied("LXC")
	p.refused(protocol.ProcConnectDomainEventRegister, nil)
	p.refused(protocol.ProcConnectDomainEventCallbackRegisterAny, &protocol.ConnectDomainEventCallbackRegisterAnyArgs{})
	driver.fail = nil
	p.must(protocol.ProcConnectDomainEventRegister, nil, new(protocol.ConnectDomainEventRegisterRet))
	p.must(protocol.ProcConnectDomainEventDeregister, nil, new(protocol.ConnectDomainEventDeregisterRet))
}

// A deregistration that failed may be tried again.
func TestDeregistrationRefused(t *testing.T) {
	driver := &stub{}
	p := open(t, driver, how{})
	args := &protocol.ConnectDomainEventCallbackDeregisterAnyArgs{CallbackID: p.subscribe(0, nil)}
	p.must(protocol.ProcConnectDomainEventRegister, nil, nil)
	driver.fail = fault.Denied("LXC")
	for range 2 {
		code, _, _ := p.refused(protocol.ProcConnectDomainEventCallbackDeregisterAny, args)
		assert.EqualValues(t, codeAccess, code)
		code, _, _ = p.refused(protocol.ProcConnectDomainEventDeregister, nil)
		assert.EqualValues(t, codeAccess, code)
	}
	driver.fail = nil
	p.must(protocol.ProcConnectDomainEventCallbackDeregisterAny, args, nil)
	p.must(protocol.ProcConnectDomainEventDeregister, nil, nil)
	assert.Empty(t, driver.subscribers)
}

// Events that are quicker than the registration wait for its number, in order.
func TestEarlyEvents(t *testing.T) {
	driver := &stub{}
	p := open(t, driver, how{})
	s := &sender{session: <-p.session}
	second := started
	second.Change.Detail = lifecycle.StoppedDestroyed
	s.deliver(started)
	s.deliver(second)
	s.begin(12)
	s.deliver(started)
	for _, detail := range []int32{5, 1, 5} {
		var change protocol.DomainEventCallbackLifecycleMsg
		p.event(protocol.ProcDomainEventCallbackLifecycle, &change)
		assert.EqualValues(t, 12, change.CallbackID)
		assert.Equal(t, detail, change.Msg.Detail)
	}
}
