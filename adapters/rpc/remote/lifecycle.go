package remote

import (
	"context"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/ports"
)

// lifecycleHandlers start, stop and pause containers. All of them change something and
// may wait for a container's job, so none is inline; which are High (destroy is) the
// procedure table says.
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

// createXML is virDomainCreateXML: define and start what is gone again when it stops.
func createXML(ctx context.Context, r request, args *protocol.DomainCreateXMLArgs) (rpc.Body, error) {
	return r.create(ctx, args.XMLDesc, args.Flags)
}

// createXMLWithFiles is createXML with descriptors for init. A call without any is legal.
func createXMLWithFiles(ctx context.Context, r request, args *protocol.DomainCreateXMLWithFilesArgs) (rpc.Body, error) {
	return r.create(ctx, args.XMLDesc, args.Flags)
}

// create passes on the files that came with the call. Without a call for files
// there are none: the server closes what comes unasked. An answer with the container
// means that its init runs.
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

// startOptions are the flags of the start calls. Only the two WithFiles procedures look
// at descriptors; with every other call they are strays. The port does not close them:
// the server does, when the handler returns.
func (r request) startOptions(flags uint32) ports.StartOptions {
	options := ports.StartOptions{
		AutoDestroy: flags&startAutoDestroy != 0,
		Validate:    flags&startValidate != 0,
	}
	// The others take no files, even where some came along.
	switch r.row.Number {
	case protocol.ProcDomainCreateXMLWithFiles, protocol.ProcDomainCreateWithFiles:
		options.Files = r.call.Files()
	}
	return options
}

// start is virDomainCreate, the only start without flags and without an answer.
func start(ctx context.Context, r request, args *protocol.DomainCreateArgs) (rpc.Body, error) {
	_, err := r.connection.Start(ctx, reference(&args.Dom), ports.StartOptions{})
	return nil, err
}

// startFlags is virDomainCreateWithFlags.
func startFlags(ctx context.Context, r request, args *protocol.DomainCreateWithFlagsArgs) (rpc.Body, error) {
	return r.start(ctx, &args.Dom, args.Flags)
}

// startWithFiles is virDomainCreateWithFiles.
func startWithFiles(ctx context.Context, r request, args *protocol.DomainCreateWithFilesArgs) (rpc.Body, error) {
	return r.start(ctx, &args.Dom, args.Flags)
}

// start answers with the container because its id is new: clients keep it. It comes when
// init runs, or with the error of the step that failed.
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

// suspend is virDomainSuspend. A container that is paused already is the driver's matter.
// It is answered when all processes are frozen.
func suspend(ctx context.Context, r request, args *protocol.DomainSuspendArgs) (rpc.Body, error) {
	return nil, r.connection.Suspend(ctx, reference(&args.Dom))
}

// resume is virDomainResume.
func resume(ctx context.Context, r request, args *protocol.DomainResumeArgs) (rpc.Body, error) {
	return nil, r.connection.Resume(ctx, reference(&args.Dom))
}

// destroy is virDomainDestroy. The container is over when the answer comes.
func destroy(ctx context.Context, r request, args *protocol.DomainDestroyArgs) (rpc.Body, error) {
	return nil, r.connection.Destroy(ctx, reference(&args.Dom))
}

// destroyFlags is virDomainDestroyFlags. VIR_DOMAIN_DESTROY_GRACEFUL is refused: asking
// first is what shutdown is for. VIR_DOMAIN_DESTROY_REMOVE_LOGS is refused likewise.
func destroyFlags(ctx context.Context, r request, args *protocol.DomainDestroyFlagsArgs) (rpc.Body, error) {
	if err := destroyRule.check(args.Flags); err != nil {
		return nil, err
	}
	return nil, r.connection.Destroy(ctx, reference(&args.Dom))
}

// shutdown is virDomainShutdown: it asks and does not wait for the container to stop. The
// default way of asking is the driver's choice.
func shutdown(ctx context.Context, r request, args *protocol.DomainShutdownArgs) (rpc.Body, error) {
	return nil, r.connection.Shutdown(ctx, reference(&args.Dom), ports.Asking{})
}

// shutdownFlags is virDomainShutdownFlags, where the client chooses how init is asked.
func shutdownFlags(ctx context.Context, r request, args *protocol.DomainShutdownFlagsArgs) (rpc.Body, error) {
	if err := shutdownRule.check(args.Flags); err != nil {
		return nil, err
	}
	return nil, r.connection.Shutdown(ctx, reference(&args.Dom), askingOf(args.Flags))
}

// reboot is virDomainReboot. Unlike shutdown it has one procedure, with flags. It asks,
// as shutdown does.
func reboot(ctx context.Context, r request, args *protocol.DomainRebootArgs) (rpc.Body, error) {
	if err := rebootRule.check(args.Flags); err != nil {
		return nil, err
	}
	return nil, r.connection.Reboot(ctx, reference(&args.Dom), askingOf(args.Flags))
}

// askingOf is how init is to be asked. Neither flag, and both, leave it to the driver,
// which tries the init control pipe before the signal.
func askingOf(flags uint32) ports.Asking {
	return ports.Asking{InitControl: flags&askInitControl != 0, BySignal: flags&askSignal != 0}
}

// sendSignal is virDomainSendProcessSignal. pid_value counts as the container counts
// (1 is init); signum is of the interface's own list, which the port translates. The
// arguments are checked before the flags, as in the public function.
func sendSignal(ctx context.Context, r request, args *protocol.DomainSendProcessSignalArgs) (rpc.Body, error) {
	// kill(2) would take it for a whole group of processes.
	if args.PidValue == 0 {
		return nil, badArgument(r.row.Function, "pid_value", "must not be zero")
	}
	if err := signalRule.check(args.Flags); err != nil {
		return nil, err
	}
	return nil, r.connection.Signal(ctx, reference(&args.Dom), args.PidValue, uint(args.Signum))
}
