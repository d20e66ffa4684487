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

// Host is one machine. All its methods are safe from any goroutine.
type Host struct {
	mu      sync.Mutex    // guards everything below and all that is reached from it
	changed chan struct{} // closed and replaced when something waited for may have happened

	faults []injected
	ops    []string

	facts *host.Facts
	boots int
	paths map[string]bool
	inits map[string]Init

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

	hooks    hookState
	manager  bool             // there is a service manager
	units    map[string]*unit // by machine
	machines map[string]ports.Machine
	keeps    bool // the service manager keeps descriptors
	kept     map[container.UUID]escrowed
	audited  []audit.Record
}

// NewHost returns a machine on which nothing runs: two processors, 8 GiB, the
// bridge virbr0, and a root with /sbin/init, /bin/sh, /bin/true and /bin/false.
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

// clear empties what does not survive a boot.
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

// do performs one call of a port: it counts it, lets an injected fault strike
// and runs effect with the host locked.
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

// look runs read with the host locked.
func (h *Host) look(read func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	read()
}

// wake lets everyone who waits look again.
func (h *Host) wake() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// wait returns when ready says so or the context has ended. The host is locked
// before and after and whenever ready is called.
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

// ended turns the end of a context into a fault.
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

// notFound is what is no longer there, or never was.
func notFound(format string, args ...any) error {
	return fault.New(fault.NotFound, fault.Host, format, args...)
}

// refused is what the kernel refuses, with the errno inside.
func refused(errno syscall.Errno, format string, args ...any) error {
	return fault.Wrap(errno, fault.System, format, args...)
}
