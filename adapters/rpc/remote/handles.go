package remote

import (
	"context"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/protocol"
)

// consoleHandlers and lxcHandlers give out what stays open after the call.
func consoleHandlers() served {
	return served{protocol.ProcDomainOpenConsole: {handle: with(openConsole)}}
}

// lxcHandlers is the whole lxc program: virDomainLxcOpenNamespace.
func lxcHandlers() served {
	return served{protocol.LxcProcDomainOpenNamespace: {handle: with(openNamespaces)}}
}

// openConsole turns the call into a stream, which the server closes.
func openConsole(ctx context.Context, r request, args *protocol.DomainOpenConsoleArgs) (rpc.Body, error) {
	if err := consoleRule.check(args.Flags); err != nil {
		return nil, err
	}
	console, err := r.connection.OpenConsole(ctx, reference(&args.Dom), textOf(args.DevName))
	if err != nil {
		return nil, err
	}
	r.call.ReplyStream(console)
	return answered, nil
}

// openNamespaces answers with nothing but descriptors, which the server closes.
func openNamespaces(ctx context.Context, r request, args *protocol.LxcDomainOpenNamespaceArgs) (rpc.Body, error) {
	if err := namespaceRule.check(args.Flags); err != nil {
		return nil, err
	}
	namespaces, err := r.connection.OpenNamespaces(ctx, reference(&args.Dom))
	if err != nil {
		return nil, err
	}
	r.call.ReplyFiles(nil, namespaces...)
	return answered, nil
}
