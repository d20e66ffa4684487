package fakes

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"

	"virtlxcd/ports"
)

// unit is a scope that the service manager made: it goes with its last process. Its
// group is at path, with those of the container and of the holder below. Shares are
// kept only to be seen by tests.
type unit struct {
	path   string
	shares *uint64
}

// Machines stands for the service manager and its registry of machines. A host
// has neither until InstallManager.
type Machines struct{ host *Host }

// NewMachines returns the port.
func NewMachines(host *Host) *Machines { return &Machines{host} }

// Place is below the slice of the partition. Empty without a service manager. It makes
// nothing and is no op.
func (m *Machines) Place(_ context.Context, partition, name string) (place string) {
	m.host.look(func() {
		if m.host.manager {
			place = scopePath(partition, name)
		}
	})
	return place
}

// scopePath is like that of systemd, without its escapes. For "/machine" and
// "lxc-1-web" it is /machine.slice/machine-lxc-1-web.scope, where systemd writes dashes
// in names as \x2d (systemd-escape(1)).
func scopePath(partition, name string) string {
	return path.Join("/", partition+".slice", "machine-"+name+".scope")
}

// Enclose moves the holder into the group of a new unit. NotFound without a manager or
// without the process, EEXIST for a unit of that name. Checked first, so nothing is
// left.
func (m *Machines) Enclose(ctx context.Context, machine ports.Machine) error {
	h := m.host
	return h.do(ctx, "Machines.Enclose", func() error {
		holder := h.procs[machine.Holder]
		switch {
		case !h.manager:
			return notFound("no service manager")
		case holder == nil:
			return notFound("no process %d", machine.Holder)
		case h.units[machine.Name] != nil:
			return refused(syscall.EEXIST, "cannot make the unit of '%s'", machine.Name)
		}
		at := scopePath(machine.Partition, machine.Name)
		h.units[machine.Name] = &unit{path: at, shares: machine.Shares}
		h.groups[at] = &group{path: at, members: map[int]*process{}}
		h.move(holder, at)
		return nil
	})
}

// Register keeps what it is told, if there is a unit. One that is known is replaced by
// what is told now. The slice of links is copied, as the caller's goes on changing.
func (m *Machines) Register(ctx context.Context, machine ports.Machine) error {
	return m.host.do(ctx, "Machines.Register", func() error {
		if m.host.units[machine.Name] != nil {
			machine.Links = slices.Clone(machine.Links)
			m.host.machines[machine.Name] = machine
		}
		return nil
	})
}

// Release forgets the machine, not the unit. That goes with its last process: see
// leaveGroup.
func (m *Machines) Release(ctx context.Context, name string) error {
	return m.host.do(ctx, "Machines.Release", func() error {
		delete(m.host.machines, name)
		return nil
	})
}

// PathIn is a subgroup of the scope. The same for each scope, as there is one container
// in it.
func (c *Cgroups) PathIn(scope string) string { return path.Join(scope, "libvirt") }

// CreateIn makes the subgroup and moves the holder into another one. Two are needed
// since a group with processes cannot have controlled ones below it
// (admin-guide/cgroup-v2, "No Internal Process Constraint"). Both are made anew if they
// are there.
func (c *Cgroups) CreateIn(ctx context.Context, scope string, holder int) (made ports.Cgroup, err error) {
	h, at := c.host, c.PathIn(scope)
	err = h.do(ctx, "Cgroups.CreateIn", func() error {
		p := h.procs[holder]
		switch {
		case h.groups[scope] == nil:
			return notFound("no control group '%s'", scope)
		case p == nil:
			return notFound("no process %d", holder)
		}
		aside := path.Join(scope, "controller")
		for _, path := range []string{at, aside} {
			h.groups[path] = &group{path: path, members: map[int]*process{}}
		}
		h.move(p, aside)
		made = &Cgroup{host: h, path: at}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return made, nil
}

// move puts a process into another group. The group must be there.
func (h *Host) move(p *process, into string) {
	if p.group != nil {
		delete(p.group.members, p.pid)
	}
	p.group = h.groups[into]
	p.group.members[p.pid] = p
}

// leaveGroup takes a dead process out of its group, and with the last of a unit the
// unit goes. Its groups go with it, as systemd removes them when a scope has ended.
// Groups outside of units stay when they are empty. It is called from die.
func (h *Host) leaveGroup(p *process) {
	if p.group == nil {
		return
	}
	delete(p.group.members, p.pid)
	for name, u := range h.units {
		if !u.has(p.group.path) || h.inhabited(u) {
			continue
		}
		delete(h.units, name)
		for at := range h.groups {
			if u.has(at) {
				delete(h.groups, at)
			}
		}
	}
}

// has says whether a group is the unit's or below it.
func (u *unit) has(at string) bool { return at == u.path || strings.HasPrefix(at, u.path+"/") }

// inhabited says whether a process is left anywhere in a unit.
func (h *Host) inhabited(u *unit) bool {
	for at, g := range h.groups {
		if u.has(at) && len(g.members) > 0 {
			return true
		}
	}
	return false
}

// inUnit says whether a group belongs to the service manager. Sweep leaves those alone.
func (h *Host) inUnit(at string) bool {
	for _, u := range h.units {
		if u.has(at) {
			return true
		}
	}
	return false
}

// InstallManager gives the host a service manager with a registry of machines. From
// then on Place and Enclose work. It stays over Boot; units do not.
func (h *Host) InstallManager() { h.look(func() { h.manager = true }) }

// Machine is what the registry and the service manager know of a machine. ok:
// it is registered; Shares is what its unit was made with.
func (h *Host) Machine(name string) (machine ports.Machine, ok bool) {
	h.look(func() {
		machine, ok = h.machines[name]
		if u := h.units[name]; u != nil {
			machine.Shares = u.shares
		}
	})
	return machine, ok
}

// printMachines prints units and what is registered, which come and go apart.
func (h *Host) printMachines() (lines []string) {
	for _, name := range sorted(h.units) {
		lines = append(lines, fmt.Sprintf("unit: %s at %s", name, h.units[name].path))
	}
	for _, name := range sorted(h.machines) {
		m := h.machines[name]
		lines = append(lines, fmt.Sprintf("machine: %s leader %d links %d", name, m.Leader, len(m.Links)))
	}
	return lines
}
