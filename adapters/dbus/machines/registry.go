package machines

import (
	"context"
	"errors"

	"github.com/godbus/dbus/v5"

	"virtlxcd/adapters/dbus/bus"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// What machined and systemd answer.
const (
	noSuchMachine = machined + ".NoSuchMachine"
	machineExists = machined + ".MachineExists"
	noSuchUnit    = systemd + ".NoSuchUnit"
	unknownMethod = "org.freedesktop.DBus.Error.UnknownMethod"
)

// entry is a machine that is to be known.
type entry struct {
	machine ports.Machine
	done    bool // under Machines.mu: it is known
}

// Register: see ports.Machines.
func (m *Machines) Register(ctx context.Context, machine ports.Machine) error {
	e := &entry{machine: machine}
	m.mu.Lock()
	m.known[machine.Name] = e
	m.mu.Unlock()
	if !m.available(ctx) || m.records.held() {
		m.look() // for when they are back
		return nil
	}
	err := m.register(ctx, e)
	if err != nil {
		m.look()
	}
	return err
}

// Release: see ports.Machines.
func (m *Machines) Release(ctx context.Context, name string) error {
	m.mu.Lock()
	e := m.known[name]
	delete(m.known, name)
	done := e != nil && e.done && m.state == usable
	m.mu.Unlock()
	if !done || m.records.held() {
		return nil // machined finds out by itself when the unit ends
	}
	return m.unregister(ctx, name)
}

// doubt makes registerAll look after all machines: machined is a new one.
func (m *Machines) doubt() {
	m.records.release()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.known {
		e.done = false
	}
}

// pending says whether there are machines that should be known and are not.
func (m *Machines) pending() bool { return len(m.missing()) > 0 }

func (m *Machines) missing() []*entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []*entry
	for _, e := range m.known {
		if !e.done && m.state == usable {
			list = append(list, e)
		}
	}
	return list
}

// registerAll makes known what machined has lost, or never heard of.
func (m *Machines) registerAll() {
	for _, e := range m.missing() {
		if m.records.held() || m.ctx.Err() != nil {
			return
		}
		if err := m.register(m.ctx, e); err != nil {
			m.log.Debug("a machine is not registered", "machine", e.machine.Name, "error", err)
		}
	}
}

// register makes one machine known and notes how that went.
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
	if err != nil {
		if ctx.Err() == nil {
			m.records.fails(err, m.patience.hold)
		}
		return err
	}
	m.records.works()
	m.mu.Lock()
	wanted := m.known[e.machine.Name] == e
	e.done = true
	m.mu.Unlock()
	if !wanted {
		return m.unregister(ctx, e.machine.Name) // released meanwhile
	}
	return nil
}

// forget drops a machine that is not to be registered.
func (m *Machines) forget(e *entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known[e.machine.Name] == e {
		delete(m.known, e.machine.Name)
	}
}

// enclosed says whether the machine has a unit.
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
func (m *Machines) leader(ctx context.Context, name string) (uint32, error) {
	body, err := m.bus.Call(ctx, machined, machinedPath, registry+".GetMachine", name)
	if err != nil {
		return 0, err
	}
	path := dbus.ObjectPath("")
	if len(body) == 1 {
		path, _ = body[0].(dbus.ObjectPath)
	}
	value, err := m.bus.Property(ctx, machined, string(path), machined+".Machine", "Leader")
	if err != nil {
		return 0, err
	}
	pid, _ := value.(uint32)
	return pid, nil
}

// unregister takes an entry out. It never asks machined to terminate a machine,
// which would end the unit with the controller in it. Old machineds cannot do
// less: with those the entry goes when the unit ends.
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

// stopped says that a context ended before what was waited for.
func stopped(err error, format string, args ...any) error {
	kind := fault.Aborted
	if errors.Is(err, context.DeadlineExceeded) {
		kind = fault.Timeout
	}
	wrapped := fault.Wrap(err, kind, format, args...)
	wrapped.Area = fault.Host
	return wrapped
}
