// Package machines makes containers known to systemd and systemd-machined.
//
// Before a container's init exists its controller is put into a transient scope
// of its own, made by systemd in the slice that the partition stands for. The
// scope is delegated: systemd keeps the weight, which counts there, and leaves
// what is inside alone, whatever is reloaded. When init runs it is registered
// with machined as the leader of a machine; machined then takes the scope for
// the machine's unit and never makes, or ends, one.
//
// Whether the host has both is found out with the first container and followed
// from then on by who owns their names on the bus. A host that has not, and one
// whose systemd fails, is reported once and costs a start nothing.
package machines

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"virtlxcd/adapters/dbus/bus"
	"virtlxcd/ports"
)

// The two services.
// See org.freedesktop.systemd1(5) and org.freedesktop.machine1(5).
const (
	systemd     = "org.freedesktop.systemd1"
	systemdPath = "/org/freedesktop/systemd1"
	manager     = systemd + ".Manager"

	machined     = "org.freedesktop.machine1"
	machinedPath = "/org/freedesktop/machine1"
	registry     = machined + ".Manager"
)

// Options say what the host is like.
// The zero value fits hosts with version 1 of the cpu controller.
type Options struct {
	// Weight turns cpu shares into what the cpu controller of this host counts in:
	// a weight if it is on version 2 (unified), else the shares. Nil: shares.
	Weight func(shares uint64) (value uint64, unified bool)
}

// patience is how long things may take. Tests have less of it. All are bounds for one
// attempt.
type patience struct {
	scope  time.Duration // a scope to be started, or given up
	call   time.Duration // a service to answer, which may have to be started for it
	settle time.Duration // systemd or the bus to come back before they count as gone
	hold   time.Duration // until what failed is tried again
}

// With these a start waits a few seconds at most for a host that does not say what it
// has.
var usual = patience{scope: 10 * time.Second, call: 3 * time.Second, settle: 3 * time.Second, hold: 30 * time.Second}

// state is what is known about the host.
// From unsettled it becomes usable or absent; from usable it goes back to unsettled
// when something is lost, and from absent at once to usable when both services are there.
type state uint8

const (
	unsettled state = iota // being found out; who asks waits
	usable
	absent
)

// Machines is the ports.Machines of hosts with systemd.
// Two goroutines begin with the first container: hear takes the ends of jobs, follow
// keeps the state and the registrations. They ask over the bus without mu. Lock order: mu
// alone; health has locks of its own, which nothing is called under.
type Machines struct {
	bus      *bus.Bus
	options  Options
	patience patience
	log      *slog.Logger
	ctx      context.Context
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	kick     chan struct{} // something changed: look again
	host     *health
	scopes   *health
	records  *health

	mu        sync.Mutex
	begun     bool
	closed    bool
	state     state
	settled   chan struct{} // closed while state is not unsettled
	since     time.Time     // when state became unsettled; zero: it was never settled
	patient   time.Time     // until when who asks waits for state to be settled
	listening bool          // the end of jobs is heard of
	jobs      map[string]chan outcome
	pings     map[string]*ping  // under way, by service
	known     map[string]*entry // by machine name
	plain     bool              // machined is too old to take links
}

var _ ports.Machines = (*Machines)(nil)

// New returns the machines of the host. Nothing is asked before the first container. The
// bus stays the caller's.
func New(b *bus.Bus, options Options, log *slog.Logger) *Machines {
	if options.Weight == nil {
		options.Weight = func(shares uint64) (uint64, bool) { return shares, false }
	}
	m := &Machines{
		bus: b, options: options, patience: usual, log: log, kick: make(chan struct{}, 1),
		settled: make(chan struct{}), jobs: map[string]chan outcome{},
		pings: map[string]*ping{}, known: map[string]*entry{},
		host:    newHealth(log, "containers are not registered with systemd-machined and get no scopes", "containers are registered with systemd-machined again"),
		scopes:  newHealth(log, "systemd makes no scopes: containers get control groups below their partitions", "systemd makes scopes again"),
		records: newHealth(log, "systemd-machined does not register containers", "systemd-machined registers containers again"),
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m
}

// Close stops following the host. Machines and scopes stay.
// Calls that wait end as Aborted. Closing again is fine. Goroutines that were begun have
// ended when it returns.
func (m *Machines) Close() error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.cancel()
	m.wg.Wait()
	return nil
}

// Place: see ports.Machines.
// It promises a place only if systemd answers at this moment, so that Enclose, which
// comes when the controller runs already, hardly ever fails.
func (m *Machines) Place(ctx context.Context, partition, name string) string {
	slice := sliceUnit(partition)
	// What has no unit gets a group below its partition.
	if slice == "" || name == "" || len(scopeUnit(name)) > maxUnit {
		return ""
	}
	const tries = 2 // a connection may have been lost unnoticed
	for range tries {
		if m.scopes.held() || !m.available(ctx) {
			return ""
		}
		if m.answers(ctx) {
			return groupOf(slice, scopeUnit(name))
		}
	}
	return ""
}

// available says whether the host has what it takes. It waits only while that
// is about to be known, and all who wait do so until the same moment: a host that
// does not say costs one start its patience, and not each. False also when ctx or the
// daemon ends first.
func (m *Machines) available(ctx context.Context) bool {
	m.begin()
	m.mu.Lock()
	settled, patient := m.settled, m.patient
	m.mu.Unlock()
	// In the past once everybody has waited: then it fires at once.
	limit := time.NewTimer(time.Until(patient))
	defer limit.Stop()
	select {
	case <-settled:
	case <-limit.C:
	case <-ctx.Done():
	case <-m.ctx.Done():
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state == usable
}

// begin starts following the host, once. After Close it does nothing, so no goroutine is
// begun that nobody waits for.
func (m *Machines) begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.begun || m.closed {
		return
	}
	m.begun, m.patient = true, time.Now().Add(m.patience.settle)
	m.wg.Go(m.hear)
	m.wg.Go(m.follow)
}

// Disabled is for daemons that leave the host's machines alone.
// Containers then get control groups below their partitions, and no machine.
type Disabled struct{}

var _ ports.Machines = Disabled{}

// None is the ports.Machines of a daemon that has none.
func None() Disabled { return Disabled{} }

// Place says that there are no units.
func (Disabled) Place(context.Context, string, string) string { return "" }

// Enclose does nothing: Place promised nothing.
func (Disabled) Enclose(context.Context, ports.Machine) error { return nil }

// Register does nothing.
func (Disabled) Register(context.Context, ports.Machine) error { return nil }

// Release does nothing.
func (Disabled) Release(context.Context, string) error { return nil }
