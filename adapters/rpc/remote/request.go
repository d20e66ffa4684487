package remote

import (
	"context"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/adapters/rpc/xdr"
	"virtlxcd/domain/container"
)

// request is one call on its way through its handler. It is passed by value: the most
// frequent calls should cost no allocation for it. opened is the connection as it was
// when the call was admitted: an identity that is set meanwhile counts for later calls.
// It is nil in calls that need no open connection.
type request struct {
	client *client
	call   *rpc.Call
	row    *protocol.Procedure
	*opened
}

// handler serves one call: a body (nil for an empty answer) or an error. One that
// has used the call itself to answer returns answered.
// ctx ends when the client hangs up; what the driver has begun goes on in its own.
type handler func(context.Context, request) (rpc.Body, error)

var answered rpc.Body = new(alreadyAnswered)

// alreadyAnswered is a body that is compared by address and never encoded.
type alreadyAnswered struct{ rpc.Raw }

// with makes a handler that decodes its arguments first. Bytes behind them are
// ignored.
// Decoder and arguments share one allocation.
func with[A any, P interface {
	*A
	protocol.Message
}](serve func(context.Context, request, P) (rpc.Body, error)) handler {
	return func(ctx context.Context, r request) (rpc.Body, error) {
		var input struct {
			decoder xdr.Decoder
			args    A
		}
		input.decoder.Reset(r.call.Payload())
		// Before admitted: nonsense is told even where the call would be refused.
		if err := P(&input.args).DecodeXDR(&input.decoder); err != nil {
			return nil, undecodable()
		}
		r, err := r.admitted()
		if err != nil {
			return nil, err
		}
		return serve(ctx, r, &input.args)
	}
}

// plain makes a handler of a call without arguments. A payload that comes all the same is
// not looked at.
func plain(serve handler) handler {
	return func(ctx context.Context, r request) (rpc.Body, error) {
		r, err := r.admitted()
		if err != nil {
			return nil, err
		}
		return serve(ctx, r)
	}
}

// always makes a handler of a call without arguments whose answer never changes. The body
// is shared by all sessions and must not be changed.
func always(body rpc.Body) handler {
	return plain(func(context.Context, request) (rpc.Body, error) { return body, nil })
}

// admitted refuses calls that come before the connection is open or that a
// connection may not make because it may only read.
// The order is the one clients see: not open comes before read only, and both before
// what the arguments say. Conditional rows are looked at by their handlers.
func (r request) admitted() (request, error) {
	if r.row.Needs != protocol.Opened {
		return r, nil
	}
	r.opened = r.client.current.Load()
	switch {
	case r.opened == nil:
		return r, wireFault("hypervisor connection not open")
	case r.readOnly && r.row.ReadOnly == protocol.Refused:
		return r, readOnly(origin(r.row.ErrorDomain), r.row.Function)
	}
	return r, nil
}

// answer gives exactly one answer, which the server insists on. An error that is no
// complaint is put into the interface's terms here.
func (r request) answer(body rpc.Body, err error) {
	switch {
	case err != nil:
		r.call.Fail(complaintOf(err).body())
	case body != answered:
		r.call.Reply(body)
	}
}

// unsupported answers known procedures that nothing behind this package serves.
// It decodes the arguments first, like every other call: a broken packet is told from a
// call that is not served. Read-only refusals come before "not supported" too.
func unsupported(_ context.Context, r request) (rpc.Body, error) {
	function := r.row.Function
	// Some rows have no arguments to decode.
	if r.row.Args != nil {
		args := r.row.Args()
		if err := args.DecodeXDR(xdr.NewDecoder(r.call.Payload())); err != nil {
			return nil, undecodable()
		}
		// One procedure stands for two functions.
		if stats, ok := args.(*protocol.ConnectGetAllDomainStatsArgs); ok && len(stats.Doms) > 0 {
			function = "virDomainListGetStats"
		}
	}
	if _, err := r.admitted(); err != nil {
		return nil, err
	}
	return nil, noSupport(origin(r.row.ErrorDomain), function)
}

// reference is how clients name a container in arguments: the uuid counts, the
// name decorates errors, and the id may be stale.
// Clients keep such references for long: the container may have been renamed, restarted
// or replaced since.
func reference(dom *protocol.Domain) container.Ref {
	return container.Ref{UUID: container.UUID(dom.UUID), Name: dom.Name}
}

// objectOf is how a container is named in answers. ID is -1 for what does not run.
func objectOf(identity container.Identity) protocol.Domain {
	return protocol.Domain{Name: identity.Name, UUID: protocol.UUID(identity.UUID), ID: int32(identity.ID)}
}

// textOf takes an absent text for an empty one; where that differs the pointer is looked
// at.
func textOf(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}
