package admin

import (
	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/protocol"
)

// preserve asks a daemon that leaves to keep its containers.
// It is bit 0 of virAdmConnectDaemonShutdownFlags.
const preserve = 1

// connectOpen has nothing to open; it may come any number of times, or not at all. This
// program keeps nothing about a connection.
func connectOpen(r *request, args *protocol.AdminConnectOpenArgs) (rpc.Body, error) {
	return nil, r.known(args.Flags, 0)
}

// connectClose answers and hangs up; what was sent behind it is not looked at.
func connectClose(r *request) (rpc.Body, error) {
	r.call.Hangup()
	return nil, nil
}

// version is virAdmConnectGetLibVersion. Like connectClose it has no arguments, and so no
// flags to refuse. See Daemon.Version for the form.
func version(r *request) (rpc.Body, error) {
	return &protocol.AdminConnectGetLibVersionRet{LibVer: r.daemon.Version()}, nil
}

// logOutputs is virAdmConnectGetLoggingOutputs. It may wait while settings are written,
// so it is not inline; neither are the three below.
func logOutputs(r *request, args *protocol.AdminConnectGetLoggingOutputsArgs) (rpc.Body, error) {
	if err := r.known(args.Flags, 0); err != nil {
		return nil, err
	}
	outputs, count := r.daemon.LogOutputs()
	return &protocol.AdminConnectGetLoggingOutputsRet{Outputs: outputs, Noutputs: uint32(count)}, nil
}

// logFilters is virAdmConnectGetLoggingFilters. No filters are an absent text, where no
// outputs would be an empty one: the two answers are declared differently.
func logFilters(r *request, args *protocol.AdminConnectGetLoggingFiltersArgs) (rpc.Body, error) {
	if err := r.known(args.Flags, 0); err != nil {
		return nil, err
	}
	filters, count := r.daemon.LogFilters()
	answer := &protocol.AdminConnectGetLoggingFiltersRet{Nfilters: uint32(count)}
	if filters != "" {
		answer.Filters = &filters
	}
	return answer, nil
}

// setLogOutputs is virAdmConnectSetLoggingOutputs: "LEVEL:TYPE[:DETAIL] ...", all at once.
func setLogOutputs(r *request, args *protocol.AdminConnectSetLoggingOutputsArgs) (rpc.Body, error) {
	return nil, r.setLog("log outputs changed", args.Outputs, args.Flags, r.daemon.SetLogOutputs)
}

// setLogFilters is virAdmConnectSetLoggingFilters: "LEVEL:MATCH ...", all at once.
func setLogFilters(r *request, args *protocol.AdminConnectSetLoggingFiltersArgs) (rpc.Body, error) {
	return nil, r.setLog("log filters changed", args.Filters, args.Flags, r.daemon.SetLogFilters)
}

// setLog makes one of the two logging calls; no settings are empty settings. The change
// is logged after it was made, so it goes where the new settings say.
func (r *request) setLog(what string, settings *string, flags uint32, set func(string) error) error {
	if err := r.known(flags, 0); err != nil {
		return err
	}
	// Absent and empty mean the same to those who set.
	var text string
	if settings != nil {
		text = *settings
	}
	if err := set(text); err != nil {
		return err
	}
	r.changed(what, "to", text)
	return nil
}

// setTimeout is virAdmConnectSetDaemonTimeout. Idle time that has passed does not count.
func setTimeout(r *request, args *protocol.AdminConnectSetDaemonTimeoutArgs) (rpc.Body, error) {
	if err := r.known(args.Flags, 0); err != nil {
		return nil, err
	}
	r.daemon.SetTimeout(args.Timeout)
	r.changed("idle timeout changed", "seconds", args.Timeout)
	return nil, nil
}

// shutdown answers first: afterwards there may be nobody to do so.
// It is virAdmConnectDaemonShutdown, which clients of before 11.2 do not know.
func shutdown(r *request, args *protocol.AdminConnectDaemonShutdownArgs) (rpc.Body, error) {
	if err := r.known(args.Flags, preserve); err != nil {
		return nil, err
	}
	r.changed("shutdown asked for", "preserve", args.Flags&preserve != 0)
	// Then runs when the answer has been written or given up, so the client learns that
	// it was heard.
	r.call.Then(func() { r.daemon.Shutdown(args.Flags&preserve != 0) })
	return nil, nil
}
