package driver

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"virtlxcd/app/feed"
	"virtlxcd/app/jobs"
	"virtlxcd/app/registry"
	"virtlxcd/domain/container"
	"virtlxcd/domain/host"
	"virtlxcd/domain/launch"
	"virtlxcd/domain/lifecycle"
	"virtlxcd/ports"
)

// Ports is the world as the driver sees it. The driver closes none of them.
// Some implement more (CgroupScopes, CgroupNamer, ControllerSweeper,
// PIDNamespaced): that is asked for where it is used, and what is absent is
// done without.
type Ports struct {
	Store       ports.Store
	Codec       ports.Codec
	Controllers ports.Controllers
	Cgroups     ports.Cgroups
	Links       ports.Links
	Terminals   ports.Terminals
	Processes   ports.Processes
	HostInfo    ports.HostInfo
	Access      ports.Access
	Hooks       ports.Hooks
	Machines    ports.Machines
	Escrow      ports.Escrow
	Auditor     ports.Auditor
	// Entropy is for use cases that make something new out of nothing; so far
	// the codec draws what definitions need.
	Entropy ports.Entropy
}

// complete does not ask for Entropy, which nothing here uses yet.
func (p *Ports) complete() bool {
	return p.Store != nil && p.Codec != nil && p.Controllers != nil && p.Cgroups != nil &&
		p.Links != nil && p.Terminals != nil && p.Processes != nil && p.HostInfo != nil && p.Access != nil &&
		p.Hooks != nil && p.Machines != nil && p.Escrow != nil && p.Auditor != nil
}

// Options are the driver's settings. Zero values stand for the defaults.
type Options struct {
	// DefaultPartition is the cgroup below which containers without a partition
	// live; "/machine".
	DefaultPartition string
	// DestroyGrace is how long an init that handles SIGTERM has to end; 1.6 s.
	// Negative: none.
	DestroyGrace time.Duration
	// ReportLimit is how long a controller has to report the end of processes
	// that were seen to be gone; 10 s.
	ReportLimit time.Duration
	// StartLimit bounds one start with its hooks, and each hook elsewhere; 60 s.
	StartLimit time.Duration
	// UndoLimit bounds each step of taking back a start or clearing up; 60 s.
	UndoLimit time.Duration
	// Occupied is called with 1 for each container that begins to run or is found
	// running, and with -1 when it has ended: with no lock held, but from within
	// changes, so it must not wait. Nil: nobody wants to know.
	Occupied func(delta int)
	// Planner replaces launch.New.
	Planner func(launch.Request) (launch.Plan, error)
}

// withDefaults fills in zero values. Only DestroyGrace may be negative.
func (o Options) withDefaults() Options {
	if o.DefaultPartition == "" {
		o.DefaultPartition = "/machine"
	}
	if o.DestroyGrace == 0 {
		o.DestroyGrace = 1600 * time.Millisecond
	}
	if o.ReportLimit == 0 {
		o.ReportLimit = 10 * time.Second
	}
	if o.StartLimit == 0 {
		o.StartLimit = time.Minute
	}
	if o.UndoLimit == 0 {
		o.UndoLimit = time.Minute
	}
	if o.Planner == nil {
		o.Planner = launch.New
	}
	if o.Occupied == nil {
		o.Occupied = func(int) {}
	}
	return o
}

// slot is what the driver keeps with each container of the registry.
type slot struct {
	// run is what runs; nil while off. Set by jobs, read by anyone.
	run atomic.Pointer[run]
	// hadConfig: it was persistent once and lost its definition while running,
	// so that defining it again is no news. Guarded by the gate.
	hadConfig bool
}

// entry is a container as the registry keeps it: its gate, its snapshot and a slot.
type entry = registry.Entry[slot]

// Driver implements ports.Connector and ports.Daemon. Connect and what it
// returns are safe from any goroutine, once Recover has returned.
type Driver struct {
	ports    Ports
	options  Options
	log      *slog.Logger
	registry *registry.Registry[slot]   // all containers, running or not
	feed     *feed.Feed                 // events to clients
	desk     *jobs.Desk                 // every change goes through it, with its context
	holders  holders                    // controllers we are connected to
	facts    atomic.Pointer[host.Facts] // as of the last look
	reloads  reloads                    // of definitions on disk
	halt     halt                       // keeps starts out during StopAll

	background sync.WaitGroup // every goroutine of the driver itself
}

var (
	_ ports.Connector  = (*Driver)(nil)
	_ ports.Daemon     = (*Driver)(nil)
	_ ports.Connection = (*connection)(nil)
)

// New returns a driver that knows no containers: call Recover before letting
// anybody in, and Shutdown in the end. It starts no goroutine and asks nothing
// of the ports. An error means that a port or log is nil.
func New(world Ports, options Options, log *slog.Logger) (*Driver, error) {
	if !world.complete() || log == nil {
		return nil, errors.New("the driver lacks a port")
	}
	d := &Driver{
		ports:    world,
		options:  options.withDefaults(),
		log:      log,
		registry: registry.New[slot](),
		feed:     feed.New(world.Access, log),
		desk:     jobs.NewDesk(context.Background()),
	}
	d.holders.all = map[ports.Controller]*holder{}
	return d, nil
}

// Shutdown refuses new changes, waits for those under way and hangs up on
// controllers and subscribers. Containers run on. If ctx ends first the changes
// are told to stop, the answer is of kind Timeout and goroutines may be left.
// The order counts. Changes come first, as they use all the rest; hanging up
// then ends the goroutines that listen; handles are closed when nobody is left
// to use them.
func (d *Driver) Shutdown(ctx context.Context) error {
	err := d.desk.Close(ctx)
	d.feed.Close()
	d.holders.closeAll(d.log)
	if err != nil {
		return err // a job may still use what follows
	}
	d.background.Wait()
	for _, e := range d.registry.Entries() {
		if r := e.Data.run.Load(); r != nil {
			r.closeHandles()
		}
	}
	return nil
}

// spawn runs work in a goroutine that Shutdown waits for. Only Recover, jobs
// and such goroutines call it, so none begins unseen while Shutdown already
// waits.
func (d *Driver) spawn(work func()) {
	d.background.Go(work)
}

// knownFacts returns facts that may be old; they are gathered the first time.
// Those change seldom, and starts must not wait for /proc and /sys to be read
// each time; Recover and clients who ask for facts refresh them.
func (d *Driver) knownFacts(ctx context.Context) (*host.Facts, error) {
	if facts := d.facts.Load(); facts != nil {
		return facts, nil
	}
	return d.freshFacts(ctx)
}

// freshFacts looks at the machine and remembers what it saw for knownFacts. Facts are
// never changed once they are shared.
func (d *Driver) freshFacts(ctx context.Context) (*host.Facts, error) {
	facts, err := d.ports.HostInfo.Facts(ctx)
	if err != nil {
		return nil, err
	}
	d.facts.Store(facts)
	return facts, nil
}

// publish shows a changed copy of what was shown of e before. Called with the
// gate held, or by Recover when nobody else is there. The copy is shallow:
// change may replace Config and Live and must not write through them, since
// readers have the old snapshot.
func (d *Driver) publish(e *entry, change func(*container.Snapshot)) *container.Snapshot {
	fresh := container.Snapshot{Identity: container.Identity{Name: e.Name, UUID: e.UUID, ID: container.NoID}}
	if old := e.Snapshot(); old != nil {
		fresh = *old
	}
	change(&fresh)
	d.registry.Publish(e, &fresh)
	return &fresh
}

// announce tells subscribers of a change; nil is none. Callers publish or drop
// first, so that whoever hears of it and asks sees it done.
func (d *Driver) announce(who container.Identity, change *lifecycle.Change, reason lifecycle.Reason) {
	if change == nil {
		return
	}
	d.feed.Publish(ports.Event{Kind: ports.LifecycleEvent, Container: who, Change: *change, Reason: reason})
}
