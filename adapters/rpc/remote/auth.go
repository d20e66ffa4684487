package remote

import (
	"context"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/domain/access"
)

// authHandlers: AUTH_LIST is inline, so that a client which it lets in may send its
// next call without waiting.
func authHandlers() served {
	return served{
		protocol.ProcAuthList:      {plain(authList), true},
		protocol.ProcAuthSASLInit:  {plain(refuseSASL), true},
		protocol.ProcAuthSASLStart: {with(saslStart), true},
		protocol.ProcAuthSASLStep:  {with(saslStep), true},
		protocol.ProcAuthPolkit:    {plain(authPolkit), false},
	}
}

// authList names the one method that this client may use. Root needs none, wherever
// it connects, and is let in by asking: clients then go on without authenticating. On
// a socket that wants authentication where nobody can be asked there is no method. Asking
// again is fine: who is authenticated is told that no method is needed.
func authList(_ context.Context, r request) (rpc.Body, error) {
	session := r.call.Session()
	method := protocol.AuthTypeNone
	switch {
	// A socket that asks nobody begins so.
	case session.Authenticated():
	case r.client.service.gatekeeper == nil:
		return nil, authRefused()
	case session.Caller().UID == 0:
		session.SetAuthenticated()
	default:
		method = protocol.AuthTypePolkit
	}
	return &protocol.AuthListRet{Types: []protocol.AuthType{method}}, nil
}

// refuseSASL and the two below: there is no SASL on local sockets, and clients are told
// so in the words for a method that is not on offer.
func refuseSASL(context.Context, request) (rpc.Body, error) { return nil, authRefused() }

// saslStart decodes its arguments first: nonsense is told from a method nobody offers.
func saslStart(context.Context, request, *protocol.AuthSASLStartArgs) (rpc.Body, error) {
	return nil, authRefused()
}

// saslStep is saslStart for the later messages of an exchange that never began.
func saslStep(context.Context, request, *protocol.AuthSASLStepArgs) (rpc.Body, error) {
	return nil, authRefused()
}

// authPolkit asks the gatekeeper, one question of a client at a time. A client that
// was refused may try again. Where nothing is to be asked it fails without a reason,
// as it always has. The answer may take as long as a person takes, so it is not inline;
// ctx ends with the session.
func authPolkit(ctx context.Context, r request) (rpc.Body, error) {
	session, gatekeeper := r.call.Session(), r.client.service.gatekeeper
	if gatekeeper == nil || session.Authenticated() {
		return nil, noCause()
	}
	// A second question at the same time would only be one more window for the person
	// asked.
	if !r.client.authenticating.CompareAndSwap(false, true) {
		return nil, authRefused()
	}
	defer r.client.authenticating.Store(false)
	caller := session.Caller()
	if err := gatekeeper.Admit(ctx, caller); err != nil {
		r.logRefusal(ctx, caller, err)
		refusal := complaintOf(err)
		// Clients know polkit's refusals by it, whatever area the fault is of.
		refusal.origin = fromPolkit
		return nil, refusal
	}
	session.SetAuthenticated()
	return &protocol.AuthPolkitRet{Complete: 1}, nil
}

// logRefusal is silent about clients that did not wait. The client gets the same error;
// the log is for who wonders why somebody could not get in.
func (r request) logRefusal(ctx context.Context, caller access.Caller, err error) {
	if ctx.Err() == nil {
		r.client.service.log.Warn("client was not let in", "client", r.call.Session().ID(),
			"uid", caller.UID, "pid", caller.PID, "error", err)
	}
}
