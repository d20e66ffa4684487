// Package login asks the login manager (systemd-logind) to wait with a shutdown
// of the host while containers run, and hears of shutdowns.
package login

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"time"

	"virtlxcd/adapters/dbus/bus"
	"virtlxcd/domain/fault"
)

// The service.
// See org.freedesktop.login1(5).
const (
	logind     = "org.freedesktop.login1"
	logindPath = "/org/freedesktop/login1"
	manager    = logind + ".Manager"
)

const (
	// callLimit bounds a question.
	callLimit = 5 * time.Second
	// takeLimit bounds taking the lock. It is long: an answer that nobody waits
	// for any more would be a lock that nobody gives back.
	takeLimit = 2 * time.Minute
	// retryAfter is the pause after a refusal.
	retryAfter = 30 * time.Second
)

// Inhibitor holds the delay lock of this daemon. All methods are safe from any
// goroutine, and none waits for the bus but MaxDelay.
// The lock is a descriptor that logind has made; it counts until the last copy of it is
// closed. Two goroutines begin with the first Hold or OnShutdown: follow asks logind,
// announce calls the function, so that a slow function holds up no signal.
type Inhibitor struct {
	bus    *bus.Bus
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	kick   chan struct{}
	news   chan struct{}

	mu     sync.Mutex
	begun  bool
	closed bool
	wished bool
	lock   *os.File // the lock, as long as it is open
	notify func(begin bool)
	down   bool // what logind says
	told   bool // what notify was told
	failed bool // a warning was given
}

// New returns an inhibitor without a lock. Nothing is asked before the first
// Hold or OnShutdown.
func New(b *bus.Bus, log *slog.Logger) *Inhibitor {
	i := &Inhibitor{bus: b, log: log, kick: make(chan struct{}, 1), news: make(chan struct{}, 1)}
	i.ctx, i.cancel = context.WithCancel(context.Background())
	return i
}

// Hold takes the lock soon, and again whenever the login manager has lost it,
// until Release. Holding twice is holding.
// "Soon" is as soon as logind answers; Held tells. After Close nothing happens.
func (i *Inhibitor) Hold() { i.wish(true) }

// Release gives the lock back soon: a shutdown that waits goes on.
// Releasing what is not held is nothing.
func (i *Inhibitor) Release() { i.wish(false) }

// OnShutdown makes f hear when a shutdown begins (true) and when it was called
// off. It also hears of one that had begun before. f may take as long as it
// wishes; it is not called twice at a time. There is one such function.
// It is the signal PrepareForShutdown of logind, which comes before the host's services
// are stopped if somebody holds a delay lock. Set it before Hold: one that is set again
// replaces the first, and hears only what is new.
func (i *Inhibitor) OnShutdown(f func(begin bool)) {
	i.mu.Lock()
	i.notify = f
	i.begin()
	i.mu.Unlock()
	signalTo(i.news)
}

// MaxDelay is how long the host waits for locks at most before it goes down.
// It is InhibitDelayMaxSec of logind.conf(5), as logind says it. Errors are those of
// bus.Bus.Call, after five seconds at the latest.
func (i *Inhibitor) MaxDelay(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	value, err := i.bus.Property(ctx, logind, logindPath, manager, "InhibitDelayMaxUSec")
	if err != nil {
		return 0, err
	}
	micros, ok := value.(uint64)
	if !ok {
		return 0, fault.New(fault.System, fault.Host, "the login manager gave a malformed delay")
	}
	return time.Duration(min(micros, uint64(1<<62)/1000)) * time.Microsecond, nil
}

// Close gives the lock back and waits for a function that is told of a shutdown.
// It never fails. Closing again is fine.
func (i *Inhibitor) Close() error {
	i.mu.Lock()
	i.closed, i.wished = true, false
	i.mu.Unlock()
	i.cancel()
	i.wg.Wait()
	i.swap(nil)
	return nil
}

// Held says whether the lock is held at this moment.
func (i *Inhibitor) Held() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.lock != nil
}

// wish notes what is wanted; follow does it.
func (i *Inhibitor) wish(held bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed || i.wished == held {
		return
	}
	i.wished = held
	if held {
		i.begin()
	}
	signalTo(i.kick)
}

// begin starts the two goroutines, once. The lock is held.
func (i *Inhibitor) begin() {
	if !i.begun && !i.closed {
		i.begun = true
		i.wg.Go(i.follow)
		i.wg.Go(i.announce)
	}
}

// signalTo makes somebody look, once for any number of reasons.
func signalTo(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// follow keeps the lock as wished.
// A new owner of logind's name is a logind that was restarted: locks outlive that, but
// whether it knows them is not certain, so a new one is taken. retry runs after a refusal
// alone.
func (i *Inhibitor) follow() {
	owners, stopOwners := i.bus.Watch(bus.Owner(logind))
	defer stopOwners()
	shutdowns, stopShutdowns := i.bus.Watch(bus.Match{
		Sender: logind, Path: logindPath, Interface: manager, Member: "PrepareForShutdown",
	})
	defer stopShutdowns()
	retry := time.NewTimer(retryAfter)
	defer retry.Stop()
	connected := false
	for open := true; open && i.ctx.Err() == nil; {
		var signal bus.Signal
		retake := false
		select {
		case <-i.ctx.Done():
			return
		case <-i.kick:
		case <-retry.C:
		case signal, open = <-owners:
			connected = signal.Event != bus.Disconnected
			retake = signal.Event == bus.Connected || len(signal.Body) == 3 && signal.Body[2] != ""
		case signal, open = <-shutdowns:
			i.heard(signal)
		}
		if i.adjust(connected, retake) {
			retry.Stop()
		} else {
			retry.Reset(retryAfter)
		}
	}
}

// adjust takes the lock or gives it back, and says whether nothing is left to be
// tried again. An old lock is given back after the new one is there, so that
// none is missing in between. Without a bus the next connection brings it back
// here.
func (i *Inhibitor) adjust(connected, retake bool) bool {
	i.mu.Lock()
	wished, held := i.wished, i.lock != nil
	i.mu.Unlock()
	switch {
	case !wished:
		i.swap(nil)
		return true
	case !connected, held && !retake:
		return true
	}
	lock, err := i.take()
	if err != nil {
		i.complain(err)
		return false
	}
	i.swap(lock)
	return true
}

// take asks for a lock.
// The texts are what systemd-inhibit --list shows. "delay" makes the host wait for
// InhibitDelayMaxSec at most; "block" would let containers keep a host from going down.
func (i *Inhibitor) take() (*os.File, error) {
	ctx, cancel := context.WithTimeout(i.ctx, takeLimit)
	defer cancel()
	return i.bus.CallFile(ctx, logind, logindPath, manager+".Inhibit",
		"shutdown", "Libvirt LXC", "LXC containers are running", "delay")
}

// swap puts a lock in the place of the one there was.
func (i *Inhibitor) swap(lock *os.File) {
	i.mu.Lock()
	old := i.lock
	i.lock = lock
	good := lock != nil && i.failed
	if lock != nil {
		i.failed = false
	}
	i.mu.Unlock()
	if old != nil {
		_ = old.Close()
	}
	if good {
		i.log.Info("the host waits for containers again when it is shut down")
	}
}

// complain warns once. A host without a login manager is none to warn about.
func (i *Inhibitor) complain(err error) {
	if bus.ErrorName(err) == "org.freedesktop.DBus.Error.ServiceUnknown" {
		i.log.Debug("there is no login manager to wait for containers", "error", err)
		return
	}
	i.mu.Lock()
	told := i.failed
	i.failed = true
	i.mu.Unlock()
	if !told && i.ctx.Err() == nil {
		i.log.Warn("the host will not wait for containers when it is shut down", "error", err)
	}
}

// heard notes what is known about a shutdown. After a gap the state tells what
// the signals would have told.
// What is malformed says nothing: taken for "false" it would call a shutdown off.
func (i *Inhibitor) heard(signal bus.Signal) {
	down := false
	switch signal.Event {
	case bus.Received:
		if len(signal.Body) != 1 {
			return
		}
		begins, ok := signal.Body[0].(bool)
		if !ok {
			return
		}
		down = begins
	case bus.Connected:
		ctx, cancel := context.WithTimeout(i.ctx, callLimit)
		defer cancel()
		value, err := i.bus.Property(ctx, logind, logindPath, manager, "PreparingForShutdown")
		if err != nil {
			return
		}
		preparing, ok := value.(bool)
		if !ok {
			return
		}
		down = preparing
	default:
		return
	}
	i.mu.Lock()
	i.down = down
	i.mu.Unlock()
	signalTo(i.news)
}

// announce tells the function what it does not know yet.
// Two changes that it missed while the function ran cancel each other out.
func (i *Inhibitor) announce() {
	for {
		select {
		case <-i.ctx.Done():
			return
		case <-i.news:
		}
		i.mu.Lock()
		down, notify := i.down, i.notify
		due := notify != nil && down != i.told
		if due {
			i.told = down
		}
		i.mu.Unlock()
		if due {
			notify(down)
		}
	}
}
