package remote

import (
	"context"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/protocol"
)

// connectionHandlers are about the connection itself. What is inline here must be over
// before the session's next packet is looked at (closing), or never changes. Opening
// asks the driver and may wait, so clients wait for its answer.
func connectionHandlers() served {
	return served{
		protocol.ProcConnectOpen:            {with(openConnection), false},
		protocol.ProcConnectClose:           {plain(closeConnection), true},
		protocol.ProcConnectSupportsFeature: {with(supportsFeature), true},
		protocol.ProcConnectGetType:         {always(&protocol.ConnectGetTypeRet{Type: "LXC"}), true},
		protocol.ProcConnectGetLibVersion:   {always(&protocol.ConnectGetLibVersionRet{LibVer: APIVersion.Number()}), true},
		protocol.ProcConnectGetURI:          {plain(getURI), true},
		protocol.ProcConnectIsSecure:        {always(&protocol.ConnectIsSecureRet{Secure: 1}), true},
		protocol.ProcConnectSetIdentity:     {with(setIdentity), false},

		// The server never closes a connection in a way that this would announce.
		protocol.ProcConnectRegisterCloseCallback:   {always(nil), true},
		protocol.ProcConnectUnregisterCloseCallback: {always(nil), true},
	}
}

// openConnection opens the one driver there is. A connection that came over the
// read-only socket or asks for it may only read, for good. A second open is
// refused and leaves the first as it is.
// A failed open may be tried again.
func openConnection(ctx context.Context, r request, args *protocol.ConnectOpenArgs) (rpc.Body, error) {
	if !r.client.claim() {
		return nil, wireFault("connection already open")
	}
	err := r.openAs(ctx, args)
	if err != nil {
		r.client.disclaim()
	}
	return nil, err
}

// openAs connects. An absent name is what clients sent that had nothing to open; the
// empty one asks for the default. Read-only is a wish that can only take away. Other
// flags are ignored.
func (r request) openAs(ctx context.Context, args *protocol.ConnectOpenArgs) error {
	if args.Name == nil {
		return wireFault("connection not open")
	}
	uri, err := resolve(*args.Name)
	if err != nil {
		return err
	}
	caller := r.call.Session().Caller()
	// Added to what the socket says, never taken from it.
	caller.ReadOnly = caller.ReadOnly || args.Flags&openReadOnly != 0
	return r.client.open(ctx, caller, uri)
}

// closeConnection says goodbye; what the connection held is released once the
// session has ended. Registrations, streams and containers that die with it go then.
func closeConnection(_ context.Context, r request) (rpc.Body, error) {
	r.call.Hangup()
	return nil, nil
}

// getURI is virConnectGetURI: the name as the client gave it, the default for none.
func getURI(_ context.Context, r request) (rpc.Body, error) {
	return &protocol.ConnectGetURIRet{URI: r.uri}, nil
}

// Features that clients ask for and that are there.
// Their numbers are those of VIR_DRV_FEATURE; all about migration are answered no. What
// says yes to 9 gets typed parameters with strings, to 14 events with callback numbers.
const (
	featureFiles         = 8
	featureStrings       = 9
	featureKeepalive     = 10
	featureCallbackIDs   = 14
	featureCloseCallback = 15
	featureNetworkOrder  = 16
)

// supportsFeature is also how a client asks to be watched: who knows of keepalive
// messages will answer them. That question alone may come early. Unknown features are
// answered no, never refused: that is what the question is for. Asking about keepalive
// again changes nothing.
func supportsFeature(_ context.Context, r request, args *protocol.ConnectSupportsFeatureArgs) (rpc.Body, error) {
	if args.Feature == featureKeepalive {
		r.call.Session().EnableKeepalive()
		return &protocol.ConnectSupportsFeatureRet{Supported: 1}, nil
	}
	// The row needs no open connection, for the sake of the question above.
	if r.client.current.Load() == nil {
		return nil, wireFault("hypervisor connection not open")
	}
	switch args.Feature {
	case featureFiles, featureStrings, featureCallbackIDs, featureCloseCallback, featureNetworkOrder:
		return &protocol.ConnectSupportsFeatureRet{Supported: 1}, nil
	}
	return &protocol.ConnectSupportsFeatureRet{}, nil
}
