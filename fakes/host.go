package fakes

import (
	"context"
	"errors"
	"os"
	"sync"
	"syscall"

	"virtlxcd/domain/access"
	"virtlxcd/domain/audit"
	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/host"
	"virtlxcd/ports"
)

// Host is one machine. All its methods are safe from any goroutine. Every fake is a
// view of it, so what one changes the others see, as on a real machine. It has no
// goroutine of its own: things happen in the call that causes them.
type Host struct {
	mu      sync.Mutex    // guards everything below and all that is reached from it
	changed chan struct{} // closed and replaced when something waited for may have happened

	// Faults that wait, and the ops called so far: see faults.go.
	faults []injected
	ops    []string

	// What the machine is; this survives boots.
	facts *host.Facts
	boots int
	paths map[string]bool
	inits map[string]Init

	// What the machine has. Maps of things that run are emptied by clear.
	disk     disk
	entropy  uint32
	denied   map[access.Permission]bool
	asked    []string
	notices  []string
	handed   map[*os.File]*handed
	uses     map[*use]bool
	lastPID  int
	ticks    uint64
	procs    map[int]*process
	groups   map[string]*group
	partial  map[string]bool // cgroup controllers that are missing
	bridges  map[string]bool
	links    map[int]*link
	reserved map[string]bool
	lastLink int
	lastNet  int
	terms    map[string]*terminal
	keepers  map[string]*keeper // by socket
	guests   map[container.UUID]*guest

	// What a site may have or not; a host begins without.
	hooks    hookState
	manager  bool             // there is a service manager
	units    map[string]*unit // by machine
	machines map[string]ports.Machine
	keeps    bool // the service manager keeps descriptors
	kept     map[container.UUID]escrowed
	audited  []audit.Record
}

// NewHost returns a machine on which nothing runs: two processors, 8 GiB, the bridge
// virbr0, and a root with /sbin/init, /bin/sh, /bin/true and /bin/false. There is no
// service manager, no keeper of descriptors and no hook: Install methods give it those.
// Under testing/synctest make it inside the bubble, as its channel belongs to where it
// was made.
func NewHost() *Host {
	h := &Host{
		changed: make(chan struct{}), facts: defaultFacts(), boots: 1,
		paths: map[string]bool{}, inits: defaultInits(),
		disk: newDisk(), denied: map[access.Permission]bool{},
		handed: map[*os.File]*handed{}, uses: map[*use]bool{},
		bridges: map[string]bool{"virbr0": true}, partial: map[string]bool{},
	}
	h.AddRoot("/")
	h.clear()
	return h
}

// clear empties what does not survive a boot. Process numbers and start times begin
// anew, so that only the boot id tells one boot's process from another's.
func (h *Host) clear() {
	h.lastPID, h.ticks, h.lastLink = 1000, 5000, 9
	h.procs = map[int]*process{}
	h.groups = map[string]*group{}
	h.links = map[int]*link{}
	h.reserved = map[string]bool{}
	h.terms = map[string]*terminal{}
	h.keepers = map[string]*keeper{}
	h.guests = map[container.UUID]*guest{}
	h.units = map[string]*unit{}
	h.machines = map[string]ports.Machine{}
	h.kept = map[container.UUID]escrowed{}
}

// do performs one call of a port: it counts it, lets an injected fault strike and runs
// effect with the host locked. An ended context comes first, so it spends no fault. A
// fault that strikes after the effect does so only if the effect succeeded. Effect may
// wait, by wait, which gives the lock up.
func (h *Host) do(ctx context.Context, op string, effect func() error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
	if err := ended(ctx); err != nil {
		return err
	}
	f := h.strike(op)
	if f != nil && !f.after {
		return h.endure(ctx, f)
	}
	if err := effect(); err != nil || f == nil {
		return err
	}
	return f.err
}

// look runs read with the host locked. It is no op: nothing is counted and no fault
// strikes. For what tests do to the host, and for methods that cannot fail.
func (h *Host) look(read func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	read()
}

// wake lets everyone who waits look again. It is called with the host locked, once too
// often rather than once too little: a change without it leaves somebody waiting for
// ever.
func (h *Host) wake() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// wait returns when ready says so or the context has ended. The host is locked before
// and after and whenever ready is called. What was true before the call need not be
// after it, as others have had the lock. When both happen at once, ready wins: what was
// waited for is there.
func (h *Host) wait(ctx context.Context, ready func() bool) error {
	for !ready() {
		changed := h.changed
		h.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		h.mu.Lock()
		if err := ended(ctx); err != nil && !ready() {
			return err
		}
	}
	return nil
}

// ended turns the end of a context into a fault. Timeout if its time is over and
// Aborted if it was cancelled, as package ports has it.
func ended(ctx context.Context) error {
	switch err := ctx.Err(); {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(err, fault.Timeout, "gave up waiting")
	default:
		return fault.Wrap(err, fault.Aborted, "gave up waiting")
	}
}

// notFound is what is no longer there, or never was. It is of the host, and not of what
// a client named: the driver says that.
func notFound(format string, args ...any) error {
	return fault.New(fault.NotFound, fault.Host, format, args...)
}

// refused is what the kernel refuses, with the errno inside. Errors.Is finds the errno.
func refused(errno syscall.Errno, format string, args ...any) error {
	return fault.Wrap(errno, fault.System, format, args...)
}
