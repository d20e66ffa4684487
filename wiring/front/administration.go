package front

import (
	"log/slog"
	"time"

	"virtlxcd/adapters/logging"
	"virtlxcd/adapters/rpc/remote"
	"virtlxcd/app/idle"
)

// Administration is what administrators may change of the running daemon.
type Administration struct {
	out   *logging.Log
	idle  *idle.Watch
	log   *slog.Logger
	leave chan struct{} // told once that the daemon is to end
}

// NewAdministration returns it.
func NewAdministration(out *logging.Log, watch *idle.Watch, log *slog.Logger) *Administration {
	return &Administration{out: out, idle: watch, log: log, leave: make(chan struct{}, 1)}
}

// Version is the API level.
func (a *Administration) Version() uint64 { return remote.APIVersion.Number() }

// LogOutputs are where the log goes, and how many that are.
func (a *Administration) LogOutputs() (string, int) { return a.out.Outputs() }

// LogFilters are the filters of the log, and how many there are.
func (a *Administration) LogFilters() (string, int) { return a.out.Filters() }

// SetLogOutputs changes where the log goes; nothing, if it fails.
func (a *Administration) SetLogOutputs(text string) error { return a.out.SetOutputs(text) }

// SetLogFilters changes what goes into the log; nothing, if it fails.
func (a *Administration) SetLogFilters(text string) error { return a.out.SetFilters(text) }

// SetTimeout changes after how many seconds of idleness the daemon ends; 0: never.
func (a *Administration) SetTimeout(seconds uint32) {
	a.idle.SetLimit(time.Duration(seconds) * time.Second)
}

// Shutdown ends the daemon soon. Containers run on in any case: that is what
// preserve asks for, and without it nothing else has ever been done to them.
func (a *Administration) Shutdown(preserve bool) {
	a.log.Info("an administrator ends the daemon", "preserve", preserve)
	select {
	case a.leave <- struct{}{}:
	default:
	}
}
