// Package front is the side of the daemon that people see: its sockets, servers,
// configuration and life, the same over the kernel and over fakes.
package front

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/settings"
	"virtlxcd/adapters/systemd"
	"virtlxcd/app/idle"
	"virtlxcd/ports"
)

// Parts are what a daemon is put together from.
type Parts struct {
	Cases          ports.Daemon
	Sockets        Opener // called once, when the rest is there
	Servers        *Servers
	Administration *Administration
	Configuration  *Configuration
	Notifier       ports.Notifier
	Watchdog       Watchdog
	Host           Host
	Site           Site
	Obey           Obey
	Idle           *idle.Watch
	Log            *slog.Logger
}

// Opener makes or takes over the sockets.
type Opener func() (*Sockets, error)

// Site are the daemon's own hook programs.
type Site interface {
	// Daemon runs them and waits.
	Daemon(ctx context.Context, operation, phase, extra string) error
	// Refresh looks again which programs there are.
	Refresh() error
}

// Host says how long it waits for the daemon when it goes down.
type Host interface {
	// MaxDelay is 0 if it waits as long as it takes.
	MaxDelay(ctx context.Context) (time.Duration, error)
}

// Obey puts settings into force that concern parts this package does not know.
type Obey func(settings.Daemon)

// Watchdog tells the service manager, until ctx ends, that alive answers.
type Watchdog interface {
	Watchdog(ctx context.Context, alive func(context.Context) error)
}

// Daemon is what main runs.
type Daemon struct {
	Parts
	hangup    chan struct{} // a reload is wanted
	hostStops chan struct{} // the host goes down
	pulse     chan chan<- struct{}
	work      sync.WaitGroup // goroutines of Run
}

// New puts a daemon together.
func New(parts Parts) *Daemon {
	return &Daemon{
		Parts: parts, hangup: make(chan struct{}, 1), hostStops: make(chan struct{}, 1),
		pulse: make(chan chan<- struct{}),
	}
}

// Hangup asks for a reload. One that is asked for while another runs comes after
// it; more are the same one.
func (d *Daemon) Hangup() { poke(d.hangup) }

// HostStops says that the host goes down and waits for the containers' end.
func (d *Daemon) HostStops() { poke(d.hostStops) }

func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// stopLimit is how long changes under way may take when the daemon ends.
const stopLimit = 30 * time.Second

// Run serves until ctx ends, an administrator says so or nobody has needed the
// daemon for long. Clients may connect before Recover is done; they are served
// after it. Begun is called when they are.
func (d *Daemon) Run(ctx context.Context, begun func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d.Idle.Occupied(1) // the start itself
	if err := d.Site.Daemon(ctx, "start", "-", "start"); err != nil {
		d.Log.Warn("a hook of the daemon's start failed", "error", err)
	}
	sockets, err := d.Sockets()
	if err != nil {
		return err
	}
	if err := d.Cases.Recover(ctx); err != nil {
		return errors.Join(err, sockets.Close(), d.stop(ctx))
	}
	d.serve(ctx, sockets)
	d.ready()
	d.Log.Info("clients are served")
	begun()
	d.work.Go(func() { d.autostart(ctx) })
	d.work.Go(func() { d.Watchdog.Watchdog(ctx, d.alive) })
	d.attend(ctx)
	cancel()
	err = d.stop(ctx)
	d.work.Wait()
	return err
}

// serve accepts clients on all sockets.
func (d *Daemon) serve(ctx context.Context, sockets *Sockets) {
	polkit := d.Configuration.Authenticates
	one := func(server *rpc.Server, socket rpc.Socket, listeners []*systemd.Listener) {
		for _, listener := range listeners {
			d.work.Go(func() {
				if err := server.Serve(listener, socket); err != nil && ctx.Err() == nil {
					d.Log.Error("a socket is no longer served", "path", listener.Addr().String(), "error", err)
				}
			})
		}
	}
	one(d.Servers.Clients, rpc.Socket{Authenticate: polkit(false)}, sockets.Full)
	one(d.Servers.Clients, rpc.Socket{ReadOnly: true, Authenticate: polkit(true)}, sockets.ReadOnly)
	one(d.Servers.Admin, rpc.Socket{}, sockets.Admin)
}

func (d *Daemon) ready() {
	if err := d.Notifier.Ready(); err != nil {
		d.Log.Warn("the service manager was not told that the daemon is ready", "error", err)
	}
}

// autostart also ends what Run began: until then the daemon is not idle.
func (d *Daemon) autostart(ctx context.Context) {
	defer d.Idle.Occupied(-1)
	if err := d.Cases.StartAutostarted(ctx); err != nil && ctx.Err() == nil {
		d.Log.Error("autostart failed", "error", err)
	}
}

// attend does what is asked of the daemon until it is to end.
func (d *Daemon) attend(ctx context.Context) {
	reloads := make(chan struct{}, 1)
	defer close(reloads)
	d.work.Go(func() {
		for range reloads {
			d.reload(ctx)
		}
	})
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.Administration.leave:
			return
		case <-d.Idle.Expired():
			d.Log.Info("nobody needs the daemon: it ends", "after", d.Idle.Limit())
			return
		case <-d.hangup:
			poke(reloads)
		case <-d.hostStops:
			d.work.Go(func() { d.stopAll(ctx) })
		case answer := <-d.pulse:
			answer <- struct{}{}
		}
	}
}

// alive says whether the daemon attends to what is asked of it.
func (d *Daemon) alive(ctx context.Context) error {
	answer := make(chan struct{}, 1)
	select {
	case d.pulse <- answer:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stopAll lets containers end in order before the host does.
func (d *Daemon) stopAll(ctx context.Context) {
	limit := d.limitOfHost(ctx, d.Configuration.ShutdownTimeout())
	d.Log.Info("the host goes down: containers are asked to shut down", "limit", limit)
	if err := d.Cases.StopAll(ctx, limit); err != nil {
		d.Log.Error("cannot stop all containers", "error", err)
	}
}

// limitOfHost leaves time to stop what does not end by itself before the host has
// waited long enough.
func (d *Daemon) limitOfHost(ctx context.Context, wanted time.Duration) time.Duration {
	delay, err := d.Host.MaxDelay(ctx)
	if err != nil {
		d.Log.Warn("it is not known how long the host waits for containers", "error", err)
	}
	most := delay - delay/5
	if err != nil || delay == 0 || wanted <= most {
		return wanted
	}
	d.Log.Warn("the host does not wait for containers as long as shutdown_timeout says (logind.conf, InhibitDelayMaxSec)",
		"wanted", wanted, "host", delay)
	return most
}

// stop ends service; containers run on.
func (d *Daemon) stop(ctx context.Context) error {
	d.Idle.Stop()
	if err := d.Notifier.Stopping(); err != nil {
		d.Log.Warn("the service manager was not told that the daemon stops", "error", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	err := errors.Join(d.Servers.Clients.Close(ctx), d.Servers.Admin.Close(ctx))
	if hook := d.Site.Daemon(ctx, "shutdown", "-", "shutdown"); hook != nil {
		d.Log.Warn("a hook of the daemon's end failed", "error", hook)
	}
	return errors.Join(err, d.Cases.Shutdown(ctx))
}

// reload reads everything again that can change while the daemon runs.
func (d *Daemon) reload(ctx context.Context) {
	d.Log.Info("reading the configuration and all definitions again")
	if err := d.Notifier.Reloading(); err != nil {
		d.Log.Warn("the service manager was not told of a reload", "error", err)
	}
	if err := d.Site.Refresh(); err != nil {
		d.Log.Warn("cannot look for hook programs", "error", err)
	}
	if err := d.Site.Daemon(ctx, "reload", "begin", "SIGHUP"); err != nil {
		d.Log.Warn("a hook of the reload failed", "error", err)
	}
	if err := d.Configuration.Reload(d.Servers, d.Administration.out, d.Obey); err != nil {
		d.Log.Error("the new configuration is bad; the old one stays in force", "error", err)
	}
	if err := d.Cases.Reload(ctx); err != nil {
		d.Log.Error("cannot read the definitions again", "error", err)
	}
	d.ready()
}

// TellRunning shows administrators how many containers run.
func TellRunning(notifier ports.Notifier, containers int) {
	text := fmt.Sprintf("%d containers run", containers)
	if containers == 1 {
		text = "1 container runs"
	}
	_ = notifier.Status(text) // for the eye only
}
