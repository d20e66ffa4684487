package remote

import (
	"context"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/protocol"
)

func authHandlers() served {
	return served{
		protocol.ProcAuthList:      {plain(authList), true},
		protocol.ProcAuthSASLInit:  {plain(refuseSASL), true},
		protocol.ProcAuthSASLStart: {with(saslStart), true},
		protocol.ProcAuthSASLStep:  {with(saslStep), true},
		protocol.ProcAuthPolkit:    {plain(authPolkit), true},
	}
}

// authList names the one method of the socket. Only sockets that trust whoever may
// connect are served; a client that was not let in by that finds no method.
func authList(_ context.Context, r request) (rpc.Body, error) {
	if !r.call.Session().Authenticated() {
		return nil, authRefused()
	}
	return &protocol.AuthListRet{Types: []protocol.AuthType{protocol.AuthTypeNone}}, nil
}

func refuseSASL(context.Context, request) (rpc.Body, error) { return nil, authRefused() }

func saslStart(context.Context, request, *protocol.AuthSASLStartArgs) (rpc.Body, error) {
	return nil, authRefused()
}

func saslStep(context.Context, request, *protocol.AuthSASLStepArgs) (rpc.Body, error) {
	return nil, authRefused()
}

// authPolkit fails without a reason, as it always has on a socket without polkit.
func authPolkit(context.Context, request) (rpc.Body, error) { return nil, noCause() }
