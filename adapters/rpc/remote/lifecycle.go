package remote

import (
	"context"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/ports"
)

func lifecycleHandlers() served {
	return served{
		protocol.ProcDomainCreateXML:          {handle: with(createXML)},
		protocol.ProcDomainCreateXMLWithFiles: {handle: with(createXMLWithFiles)},
		protocol.ProcDomainCreate:             {handle: with(start)},
		protocol.ProcDomainCreateWithFlags:    {handle: with(startFlags)},
		protocol.ProcDomainCreateWithFiles:    {handle: with(startWithFiles)},
		protocol.ProcDomainSuspend:            {handle: with(suspend)},
		protocol.ProcDomainResume:             {handle: with(resume)},
		protocol.ProcDomainDestroy:            {handle: with(destroy)},
		protocol.ProcDomainDestroyFlags:       {handle: with(destroyFlags)},
		protocol.ProcDomainShutdown:           {handle: with(shutdown)},
		protocol.ProcDomainShutdownFlags:      {handle: with(shutdownFlags)},
		protocol.ProcDomainReboot:             {handle: with(reboot)},
		protocol.ProcDomainSendProcessSignal:  {handle: with(sendSignal)},
	}
}

func createXML(ctx context.Context, r request, args *protocol.DomainCreateXMLArgs) (rpc.Body, error) {
	return r.create(ctx, args.XMLDesc, args.Flags)
}

func createXMLWithFiles(ctx context.Context, r request, args *protocol.DomainCreateXMLWithFilesArgs) (rpc.Body, error) {
	return r.create(ctx, args.XMLDesc, args.Flags)
}

// create passes on the files that came with the call. Without a call for files
// there are none: the server closes what comes unasked.
func (r request) create(ctx context.Context, document string, flags uint32) (rpc.Body, error) {
	if err := createRule.check(flags); err != nil {
		return nil, err
	}
	identity, err := r.connection.Create(ctx, document, r.startOptions(flags))
	if err != nil {
		return nil, err
	}
	return &protocol.DomainCreateXMLRet{Dom: objectOf(identity)}, nil
}

func (r request) startOptions(flags uint32) ports.StartOptions {
	options := ports.StartOptions{
		AutoDestroy: flags&startAutoDestroy != 0,
		Validate:    flags&startValidate != 0,
	}
	switch r.row.Number {
	case protocol.ProcDomainCreateXMLWithFiles, protocol.ProcDomainCreateWithFiles:
		options.Files = r.call.Files()
	}
	return options
}

func start(ctx context.Context, r request, args *protocol.DomainCreateArgs) (rpc.Body, error) {
	_, err := r.connection.Start(ctx, reference(&args.Dom), ports.StartOptions{})
	return nil, err
}

func startFlags(ctx context.Context, r request, args *protocol.DomainCreateWithFlagsArgs) (rpc.Body, error) {
	return r.start(ctx, &args.Dom, args.Flags)
}

func startWithFiles(ctx context.Context, r request, args *protocol.DomainCreateWithFilesArgs) (rpc.Body, error) {
	return r.start(ctx, &args.Dom, args.Flags)
}

func (r request) start(ctx context.Context, dom *protocol.Domain, flags uint32) (rpc.Body, error) {
	if err := startRule.check(flags); err != nil {
		return nil, err
	}
	identity, err := r.connection.Start(ctx, reference(dom), r.startOptions(flags))
	if err != nil {
		return nil, err
	}
	return &protocol.DomainCreateWithFlagsRet{Dom: objectOf(identity)}, nil
}

func suspend(ctx context.Context, r request, args *protocol.DomainSuspendArgs) (rpc.Body, error) {
	return nil, r.connection.Suspend(ctx, reference(&args.Dom))
}

func resume(ctx context.Context, r request, args *protocol.DomainResumeArgs) (rpc.Body, error) {
	return nil, r.connection.Resume(ctx, reference(&args.Dom))
}

func destroy(ctx context.Context, r request, args *protocol.DomainDestroyArgs) (rpc.Body, error) {
	return nil, r.connection.Destroy(ctx, reference(&args.Dom))
}

func destroyFlags(ctx context.Context, r request, args *protocol.DomainDestroyFlagsArgs) (rpc.Body, error) {
	if err := destroyRule.check(args.Flags); err != nil {
		return nil, err
	}
	return nil, r.connection.Destroy(ctx, reference(&args.Dom))
}

func shutdown(ctx context.Context, r request, args *protocol.DomainShutdownArgs) (rpc.Body, error) {
	return nil, r.connection.Shutdown(ctx, reference(&args.Dom), ports.Asking{})
}

func shutdownFlags(ctx context.Context, r request, args *protocol.DomainShutdownFlagsArgs) (rpc.Body, error) {
	if err := shutdownRule.check(args.Flags); err != nil {
		return nil, err
	}
	return nil, r.connection.Shutdown(ctx, reference(&args.Dom), askingOf(args.Flags))
}

func reboot(ctx context.Context, r request, args *protocol.DomainRebootArgs) (rpc.Body, error) {
	if err := rebootRule.check(args.Flags); err != nil {
		return nil, err
	}
	return nil, r.connection.Reboot(ctx, reference(&args.Dom), askingOf(args.Flags))
}

func askingOf(flags uint32) ports.Asking {
	return ports.Asking{InitControl: flags&askInitControl != 0, BySignal: flags&askSignal != 0}
}

func sendSignal(ctx context.Context, r request, args *protocol.DomainSendProcessSignalArgs) (rpc.Body, error) {
	if args.PidValue == 0 {
		return nil, badArgument(r.row.Function, "pid_value", "must not be zero")
	}
	if err := signalRule.check(args.Flags); err != nil {
		return nil, err
	}
	return nil, r.connection.Signal(ctx, reference(&args.Dom), args.PidValue, uint(args.Signum))
}
