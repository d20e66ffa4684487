package harness

import (
	"context"
	"log/slog"
	"time"

	"virtlxcd/adapters/logging"
	"virtlxcd/adapters/rpc/remote"
	"virtlxcd/adapters/settings"
	"virtlxcd/app/driver"
	"virtlxcd/app/idle"
	"virtlxcd/ports"
	"virtlxcd/wiring/front"
)

// newSettings are the defaults, but that nobody has to authenticate: whoever may
// open the sockets of a daemon for tests may use it.
func newSettings() settings.Daemon {
	config := settings.DefaultDaemon()
	config.AuthUnixRW, config.AuthUnixRO, config.UnixSockRWPerms = settings.AuthNone, settings.AuthNone, 0o700
	return config
}

// newOutput is a log as the daemon's, changed by administrators alike, into the Machine's
// writer.
func newOutput(config Config) (*logging.Log, error) {
	return logging.Open(logging.Options{Level: config.Level, Outputs: "1:stderr", Stderr: config.Log})
}

// What it lets through may change while it runs.
func newLog(out *logging.Log) *slog.Logger { return slog.New(out) }

// newConfiguration reloads files that tests and people may write below the prefix.
func newConfiguration(paths settings.Paths, config settings.Daemon, log *slog.Logger) *front.Configuration {
	files := front.Files{Daemon: paths.DaemonConfig, Driver: paths.DriverConfig}
	return front.NewConfiguration(files, config, settings.DefaultDriver(), log)
}

// newService may read without waiting: the fakes' access checks ask nobody.
func newService(connector ports.Connector, codec ports.Codec, log *slog.Logger) *remote.Service {
	return remote.New(connector, codec, remote.Options{Log: log, QuickReads: true})
}

// newIdle has no limit until an administrator sets one.
func newIdle() *idle.Watch { return idle.New(0) }

// newOptions has running containers keep the daemon from being idle.
func newOptions(watch *idle.Watch) driver.Options { return driver.Options{Occupied: watch.Occupied} }

// newSockets makes sockets below the prefix, nobody passes any.
func newSockets(config settings.Daemon, paths settings.Paths, log *slog.Logger) front.Opener {
	return func() (*front.Sockets, error) { return front.Open(nil, config, paths, log) }
}

// absent stands for hook programs, a host that goes down and a service manager's
// watchdog. A machine in memory has none of them, which is a case that every real daemon
// has to live with.
type absent struct{}

func newSite() front.Site         { return absent{} }
func newWatchdog() front.Watchdog { return absent{} }
func newHost() front.Host         { return absent{} }
func newObey() front.Obey         { return func(settings.Daemon) {} }

func (absent) Daemon(context.Context, string, string, string) error  { return nil }
func (absent) Refresh() error                                        { return nil }
func (absent) Watchdog(context.Context, func(context.Context) error) {}

// 0: this host waits as long as it takes.
func (absent) MaxDelay(context.Context) (time.Duration, error) { return 0, nil }
