package machines

import (
	"context"

	"github.com/godbus/dbus/v5"

	"virtlxcd/adapters/dbus/bus"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// What machined and systemd answer.
// They are names of D-Bus errors.
const (
	noSuchMachine = machined + ".NoSuchMachine"
	machineExists = machined + ".MachineExists"
	noSuchUnit    = systemd + ".NoSuchUnit"
	noSuchProcess = "org.freedesktop.DBus.Error.UnixProcessIdUnknown"
	unknownMethod = "org.freedesktop.DBus.Error.UnknownMethod"
)

// entry is a machine that is to be known.
// It stays until Release, registered or not: a machined that comes later is told. It is
// found by name; a later machine of the same name has an entry of its own.
type entry struct {
	machine ports.Machine

	// Under Machines.mu:
	done  bool // it is known
	busy  bool // somebody makes it known
	stale bool // to a machined that may have been replaced since
}

// Register: see ports.Machines.
// While nobody can be asked it succeeds, and follow registers the machine later.
// Registering a name again replaces what was to be known by it.
func (m *Machines) Register(ctx context.Context, machine ports.Machine) error {
	e := &entry{machine: machine, busy: true}
	m.mu.Lock()
	m.known[machine.Name] = e
	m.mu.Unlock()
	if !m.available(ctx) || m.records.held() {
		m.attempted(e, false) // until they are back
		return nil
	}
	return m.register(ctx, e)
}

// Release: see ports.Machines.
// A machine that nobody has registered may be one that the daemon before this one began;
// its scope is then looked after.
func (m *Machines) Release(ctx context.Context, name string) error {
	m.mu.Lock()
	e := m.known[name]
	delete(m.known, name)
	done := e != nil && e.done && m.state == usable
	// This daemon does not know it, or has forgotten it.
	if e == nil && !m.closed {
		m.wg.Go(func() { m.dismantle(name) })
	}
	m.mu.Unlock()
	if !done || m.records.held() {
		return nil // machined finds out by itself when the unit ends
	}
	// The container is gone in any case: a failure is no reason to fail its stop.
	if err := m.unregister(ctx, name); err != nil && ctx.Err() == nil {
		m.registryFails(err)
	}
	return nil
}

// registryFails: nobody else waits for machined until it answers again.
// Until then registrations are noted and left to follow.
func (m *Machines) registryFails(err error) {
	m.records.fails(err, m.patience.hold)
	m.awaken(err, machined, m.records)
}

// doubt makes registerAll look after all machines: machined is a new one. An attempt
// under way counts for the old machined: stale makes it be repeated.
func (m *Machines) doubt() {
	m.records.release()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.known {
		e.done, e.stale = false, true
	}
}

// pending says whether there are machines that should be known and are not. follow then
// comes again after a while, also if no signal tells.
func (m *Machines) pending() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.missing()) > 0
}

// missing are those that nobody is making known. The lock is held. They come in no order.
func (m *Machines) missing() []*entry {
	var list []*entry
	for _, e := range m.known {
		if !e.done && !e.busy && m.state == usable {
			list = append(list, e)
		}
	}
	return list
}

// claim takes one of them to be made known; nil if there is none. While machined is known
// to fail none is claimed.
func (m *Machines) claim() *entry {
	if m.records.held() || m.ctx.Err() != nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	list := m.missing()
	if len(list) == 0 {
		return nil
	}
	list[0].busy, list[0].stale = true, false
	return list[0]
}

// attempted ends an attempt to make a machine known, and says whether it was
// released meanwhile. What is left to do follow will do.
func (m *Machines) attempted(e *entry, done bool) (released bool) {
	m.mu.Lock()
	e.done, e.busy = done && !e.stale, false
	again, released := !e.done, m.known[e.machine.Name] != e
	m.mu.Unlock()
	if again && !released {
		m.look()
	}
	return released
}

// registerAll makes known what machined has lost, or never heard of. It runs in follow,
// one machine after the other, and ends when nobody is missing or machined fails.
func (m *Machines) registerAll() {
	for e := m.claim(); e != nil; e = m.claim() {
		if err := m.register(m.ctx, e); err != nil {
			m.log.Debug("a machine is not registered", "machine", e.machine.Name, "error", err)
		}
	}
}

// register makes one machine known and notes how that went. A machine without a scope is
// not registered: machined would take the unit that its leader is in for the machine's.
func (m *Machines) register(ctx context.Context, e *entry) error {
	limited, cancel := context.WithTimeout(ctx, m.patience.call)
	defer cancel()
	enclosed, err := m.enclosed(limited, e.machine.Name)
	if err == nil && !enclosed {
		m.forget(e)
		return nil
	}
	if err == nil {
		err = m.enter(limited, e.machine)
	}
	if bus.ErrorName(err) == noSuchProcess { // the leader's: it has just ended
		m.forget(e)
		return nil
	}
	if err != nil {
		if ctx.Err() == nil {
			m.registryFails(err)
		}
		m.attempted(e, false)
		return err
	}
	m.records.works()
	if m.attempted(e, true) {
		return m.unregister(ctx, e.machine.Name) // released meanwhile
	}
	return nil
}

// forget drops a machine that is not to be registered. An entry that has been replaced
// meanwhile is another's, and stays.
func (m *Machines) forget(e *entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known[e.machine.Name] == e {
		delete(m.known, e.machine.Name)
	}
}

// enclosed says whether the machine has a unit. systemd is asked, as machined makes none
// of these units.
func (m *Machines) enclosed(ctx context.Context, name string) (bool, error) {
	_, err := m.bus.Call(ctx, systemd, systemdPath, manager+".GetUnit", scopeUnit(name))
	if bus.ErrorName(err) == noSuchUnit {
		return false, nil
	}
	return err == nil, err
}

// enter makes an entry in the registry. One of the same name with another
// leader is of somebody who is gone.
func (m *Machines) enter(ctx context.Context, machine ports.Machine) error {
	err := m.call(ctx, machine)
	if bus.ErrorName(err) != machineExists {
		return err
	}
	leader, asking := m.leader(ctx, machine.Name)
	// It is this one, from before the daemon or machined started anew.
	if asking == nil && leader == uint32(machine.Leader) {
		return nil
	}
	if asking != nil && bus.ErrorName(asking) != noSuchMachine {
		return asking
	}
	if err := m.unregister(ctx, machine.Name); err != nil {
		return err
	}
	return m.call(ctx, machine)
}

// call registers, with the links if machined can take them.
// An old machined has RegisterMachine alone. Which one this has is found out once. The
// arguments are name, uuid, service, class, leader, root directory and links
// (org.freedesktop.machine1(5)); without a directory machined shows none.
func (m *Machines) call(ctx context.Context, machine ports.Machine) error {
	links := []int32{} // machined refuses all if one is no index
	for _, index := range machine.Links {
		if index > 0 {
			links = append(links, int32(index))
		}
	}
	args := []any{machine.Name, machine.UUID[:], "libvirt-lxc", "container", uint32(machine.Leader), ""}
	m.mu.Lock()
	plain := m.plain
	m.mu.Unlock()
	if !plain {
		_, err := m.bus.Call(ctx, machined, machinedPath, registry+".RegisterMachineWithNetwork", append(args, links)...)
		// Also for success, whose name is empty.
		if bus.ErrorName(err) != unknownMethod {
			return err
		}
		m.mu.Lock()
		m.plain = true
		m.mu.Unlock()
	}
	_, err := m.bus.Call(ctx, machined, machinedPath, registry+".RegisterMachine", args...)
	return err
}

// leader asks whose machine it is.
// A malformed answer is an error: taken for "somebody else's" it would cost a machine
// its entry.
func (m *Machines) leader(ctx context.Context, name string) (uint32, error) {
	body, err := m.bus.Call(ctx, machined, machinedPath, registry+".GetMachine", name)
	if err != nil {
		return 0, err
	}
	path, ok := dbus.ObjectPath(""), false
	if len(body) == 1 {
		path, ok = body[0].(dbus.ObjectPath)
	}
	if !ok {
		return 0, fault.New(fault.System, fault.Host, "systemd-machined gave a malformed answer about machine '%s'", name)
	}
	value, err := m.bus.Property(ctx, machined, string(path), machined+".Machine", "Leader")
	if err != nil {
		return 0, err
	}
	pid, ok := value.(uint32)
	if !ok {
		return 0, fault.New(fault.System, fault.Host, "systemd-machined gave a malformed leader of machine '%s'", name)
	}
	return pid, nil
}

// unregister takes an entry out. It never asks machined to terminate a machine,
// which would end the unit with the controller in it. Old machineds cannot do
// less: with those the entry goes when the unit ends. A machine that is not known is
// fine.
func (m *Machines) unregister(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, m.patience.call)
	defer cancel()
	_, err := m.bus.Call(ctx, machined, machinedPath, registry+".UnregisterMachine", name)
	switch bus.ErrorName(err) {
	case noSuchMachine, unknownMethod:
		return nil
	}
	return err
}
