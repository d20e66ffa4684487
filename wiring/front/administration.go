package front

import (
	"log/slog"
	"time"

	"virtlxcd/adapters/logging"
	"virtlxcd/adapters/rpc/remote"
	"virtlxcd/app/idle"
)

// Administration is what administrators may change of the running daemon: the answers
// to the admin program that concern the daemon as a whole. What concerns one server
// (clients, workers) the program asks the server itself. Safe from any goroutine.
//
// Nothing of it is written into a file: with the next start, the files count again.
type Administration struct {
	out   *logging.Log
	idle  *idle.Watch
	log   *slog.Logger
	leave chan struct{} // told once that the daemon is to end
}

// NewAdministration returns what works on the given log and watch, which stay the
// caller's. log gets a line when an administrator ends the daemon.
func NewAdministration(out *logging.Log, watch *idle.Watch, log *slog.Logger) *Administration {
	return &Administration{out: out, idle: watch, log: log, leave: make(chan struct{}, 1)}
}

// Version is the API level, as clients count it: major*1000000 + minor*1000 + release.
func (a *Administration) Version() uint64 { return remote.APIVersion.Number() }

// LogOutputs are where the log goes, in the form of log_outputs, and how many that are.
// An output that nobody asked for is among them.
func (a *Administration) LogOutputs() (string, int) { return a.out.Outputs() }

// LogFilters are the filters of the log and how many there are. Clients know them as
// "N:*MATCH*", each followed by a blank, which is how they come.
func (a *Administration) LogFilters() (string, int) { return a.out.Filters() }

// SetLogOutputs changes where the log goes; nothing, if it fails. An empty text brings
// the default back. InvalidArgument for what cannot be read, System for a file that
// cannot be opened.
func (a *Administration) SetLogOutputs(text string) error { return a.out.SetOutputs(text) }

// SetLogFilters changes what goes into the log; nothing, if it fails: InvalidArgument.
// An empty text leaves no filter.
func (a *Administration) SetLogFilters(text string) error { return a.out.SetFilters(text) }

// SetTimeout changes after how many seconds of idleness the daemon ends; 0: never. The
// time that has passed does not count.
func (a *Administration) SetTimeout(seconds uint32) {
	a.idle.SetLimit(time.Duration(seconds) * time.Second)
}

// Shutdown ends the daemon soon; it does not wait for that, or the call that asks could
// never be answered. A second one changes nothing. Containers run on in any case: that is
// what preserve asks for, and without it nothing else has ever been done to them.
func (a *Administration) Shutdown(preserve bool) {
	a.log.Info("an administrator ends the daemon", "preserve", preserve)
	select {
	case a.leave <- struct{}{}:
	default:
	}
}
