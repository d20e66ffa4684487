// Package front is the side of the daemon that people see: its sockets, servers,
// configuration and life, the same over the kernel and over fakes.
//
// A life goes so:
//
//	hook "start"          before anything can be asked of the daemon
//	sockets               clients may connect, and wait
//	Recover               what runs and what is stored becomes known
//	serve, READY=1        clients are answered
//	autostart             beside it; until it is over the daemon is not idle
//	attend                reloads, pulse, the host's end, until it is to end
//	STOPPING=1            no further clients; those there are are hung up on
//	hook "shutdown"
//	Shutdown              changes under way finish; containers run on
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

// Parts are what a daemon is put together from. All have to be there. Run closes the
// servers and stops the idle watch; the rest stays the caller's.
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
	Idle           *idle.Watch // its end ends the daemon
	Log            *slog.Logger
}

// Opener makes or takes over the sockets. The daemon owns them from then on.
type Opener func() (*Sockets, error)

// Site are the daemon's own hook programs (/etc/libvirt/hooks/daemon). One that fails is
// logged and stops nothing: the daemon is more important than they are.
type Site interface {
	// Daemon runs them and waits. operation and phase are "start" and "-", "reload" and
	// "begin", "shutdown" and "-"; extra says why. When ctx ends they are killed.
	Daemon(ctx context.Context, operation, phase, extra string) error
	// Refresh looks again which programs there are, of the daemon and of containers. On
	// failure those known stay.
	Refresh() error
}

// Host says how long it waits for the daemon when it goes down (logind.conf(5),
// InhibitDelayMaxSec=).
type Host interface {
	// MaxDelay is 0 if it waits as long as it takes. It is asked each time: an
	// administrator may have changed it.
	MaxDelay(ctx context.Context) (time.Duration, error)
}

// Obey puts settings into force that concern parts this package does not know. It is
// called with every good reload, whether or not anything changed, and cannot fail.
type Obey func(settings.Daemon)

// Watchdog tells the service manager, until ctx ends, that alive answers. It returns at
// once if nobody wants to be told.
type Watchdog interface {
	Watchdog(ctx context.Context, alive func(context.Context) error)
}

// Daemon is what main runs, once. Hangup and HostStops are safe from any goroutine, also
// before and after Run.
type Daemon struct {
	Parts
	// Both hold one wish: asked for twice is asked for once, and nobody who asks waits.
	hangup    chan struct{}        // a reload is wanted
	hostStops chan struct{}        // the host goes down
	pulse     chan chan<- struct{} // attend answers: it is not stuck
	work      sync.WaitGroup       // goroutines of Run
}

// New puts a daemon together. It does nothing until Run.
func New(parts Parts) *Daemon {
	return &Daemon{
		Parts: parts, hangup: make(chan struct{}, 1), hostStops: make(chan struct{}, 1),
		pulse: make(chan chan<- struct{}),
	}
}

// Hangup asks for a reload. One that is asked for while another runs comes after
// it; more are the same one.
func (d *Daemon) Hangup() { poke(d.hangup) }

// HostStops says that the host goes down and waits for the containers' end. The daemon
// goes on to serve: it is the host that ends it afterwards.
func (d *Daemon) HostStops() { poke(d.hostStops) }

// poke leaves a wish if there is none yet.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// stopLimit is how long changes under way may take when the daemon ends. After it they
// are left alone and the end is an error: the next daemon finds out what became of them.
const stopLimit = 30 * time.Second

// Run serves until ctx ends, an administrator says so or nobody has needed the
// daemon for long. Clients may connect before Recover is done; they are served
// after it. Begun is called when they are.
//
// It returns when all it began has ended. The error is that of sockets that cannot be
// had, of a Recover that failed, or of changes that did not finish in time; to end as
// asked is none.
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

// serve accepts clients on all sockets. The admin socket is not authenticated: its
// server admits the daemon's own user alone.
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

// ready is also the answer to Reloading (sd_notify(3)).
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

// attend does what is asked of the daemon until it is to end. Nothing is done here that
// takes time: a loop that is stuck is what the watchdog looks for. Reloads have a
// goroutine of their own, one at a time, with room for one that waits.
func (d *Daemon) attend(ctx context.Context) {
	reloads := make(chan struct{}, 1)
	defer close(reloads)
	d.work.Go(func() {
		for range reloads {
			if ctx.Err() == nil { // one that still waits when the daemon ends is not begun
				d.reload(ctx)
			}
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

// alive says whether the daemon attends to what is asked of it: it waits for an answer
// as long as ctx does.
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
// waited long enough: a fifth of its patience. A host that cannot be asked is taken for a
// patient one.
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

// stop ends service; containers run on. What ctx carries is kept but not its end, which
// is why it is called. The hook comes when nobody is served any more, and before the use
// cases end, as a program may look at what is there.
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

// reload reads everything again that can change while the daemon runs: hook programs,
// both configuration files, definitions. Each is tried whatever became of those before,
// and what fails leaves that part as it was. The service manager is told in any case that
// it is over, or it would wait and then restart the daemon.
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
	if ctx.Err() == nil { // a service manager that was told of the end is told nothing else
		d.ready()
	}
}

// TellRunning shows administrators how many containers run (systemctl(1), status).
func TellRunning(notifier ports.Notifier, containers int) {
	text := fmt.Sprintf("%d containers run", containers)
	if containers == 1 {
		text = "1 container runs"
	}
	_ = notifier.Status(text) // for the eye only
}
