package machines

import (
	"context"
	"slices"
	"time"

	"virtlxcd/adapters/dbus/bus"
	"virtlxcd/domain/fault"
)

// hear passes the ends of systemd's jobs on to who waits for them. When the bus is lost
// or back, every waiter is woken to look for itself, and the state is found out again.
func (m *Machines) hear() {
	signals, stop := m.bus.Watch(bus.Match{Sender: systemd, Path: systemdPath, Interface: manager, Member: "JobRemoved"})
	defer stop()
	for {
		select {
		case <-m.ctx.Done():
			return
		case signal, open := <-signals:
			if !open {
				return
			}
			if signal.Event == bus.Received {
				m.finished(signal.Body)
				continue
			}
			m.mu.Lock()
			// Without hearing of ends no scope is asked for.
			m.listening = signal.Event == bus.Connected
			for _, waiter := range m.jobs {
				offer(waiter, outcome{}) // an end may have been missed
			}
			m.mu.Unlock()
			m.look()
		}
	}
}

// look makes follow look again.
// One request stands for any number of them.
func (m *Machines) look() {
	select {
	case m.kick <- struct{}{}:
	default:
	}
}

// follow keeps the state up to date, and machines registered.
// Everything that changes the state is done here, in one goroutine, so that no two looks
// at the host overtake each other. It looks when a name changes its owner, the list of
// startable services changes, somebody asks for it, or the time for another try has come.
// A lost bus closes no watch: Connected and Disconnected come as signals.
func (m *Machines) follow() {
	machine, stopMachine := m.bus.Watch(bus.Owner(machined))
	defer stopMachine()
	system, stopSystem := m.bus.Watch(bus.Owner(systemd))
	defer stopSystem()
	services, stopServices := m.bus.Watch(bus.Match{Sender: bus.Self, Interface: bus.Self, Member: "ActivatableServicesChanged"})
	defer stopServices()
	timer := time.NewTimer(m.patience.hold)
	defer timer.Stop()
	lost := false
	for open := true; open && m.ctx.Err() == nil; {
		var signal bus.Signal
		select {
		case <-m.ctx.Done():
			return
		case signal, open = <-machine:
			if signal.Event == bus.Connected || newOwner(signal) != "" {
				m.doubt()
			}
		case signal, open = <-system:
			if lost || newOwner(signal) != "" {
				m.scopes.release() // another systemd, or one that can be reached again
			}
			lost = signal.Event == bus.Disconnected
		case signal, open = <-services:
		case <-m.kick:
		case <-timer.C:
		}
		next := m.examine(signal.Event == bus.Disconnected)
		m.registerAll()
		// machined has failed: no signal tells when to try again.
		if next == 0 && m.pending() {
			next = m.patience.hold
		}
		timer.Stop()
		if next > 0 {
			timer.Reset(next)
		}
	}
}

// newOwner is the last argument of a change of owners.
// It is empty for a name that was given up, and for signals that are not well formed. The
// arguments of NameOwnerChanged are name, old owner and new owner.
func newOwner(signal bus.Signal) string {
	if len(signal.Body) != 3 {
		return ""
	}
	owner, _ := signal.Body[2].(string)
	return owner
}

// examine finds out what the host has and returns when to do so again, zero if
// signals will tell. What was there and is not now gets a little time to come
// back: a restart is no reason for a container to do without. It calls the bus without
// the lock and enters what it found under it.
func (m *Machines) examine(disconnected bool) time.Duration {
	err := error(fault.New(fault.UnsupportedOperation, fault.Host, "there is no system bus"))
	if !disconnected {
		err = m.probe()
	}
	m.mu.Lock()
	switch {
	case err == nil && m.listening:
		// closed under mu: nothing is begun that Close does not wait for.
		if m.state != usable && !m.closed {
			m.wg.Go(m.tidyAll) // ends of jobs may have been missed
		}
		m.settle(usable)
	case m.state == usable:
		m.unsettle()
	// Nothing to say yet: who asks goes on waiting.
	case m.state == unsettled && (err == nil || time.Since(m.since) < m.patience.settle):
	default:
		m.settle(absent)
	}
	now := m.state
	m.mu.Unlock()
	if m.ctx.Err() != nil {
		return 0
	}
	switch {
	case now == usable:
		m.host.works()
	case now == unsettled:
		return m.patience.settle
	case err != nil:
		m.host.fails(err, 0)
		if fault.KindOf(err) != fault.UnsupportedOperation {
			return m.patience.hold // nobody tells when a bus that hangs goes on
		}
	}
	return 0
}

// unsettle makes who asks wait for a little. The lock is held.
// settled is a new channel: those who have waited on the old one have their answer.
func (m *Machines) unsettle() {
	now := time.Now()
	m.state, m.settled, m.since, m.patient = unsettled, make(chan struct{}), now, now.Add(m.patience.settle)
}

// settle answers who waits. The lock is held. Settling to what is settled does nothing.
func (m *Machines) settle(to state) {
	if m.state == unsettled {
		close(m.settled)
	}
	m.state = to
}

// probe asks the bus for both services.
// machined need not run: it is started by the first call. Nil means both can be used;
// UnsupportedOperation that they are not there; other kinds that nobody could tell.
func (m *Machines) probe() error {
	ctx, cancel := context.WithTimeout(m.ctx, m.patience.call)
	defer cancel()
	owned, err := m.names(ctx, "ListNames")
	if err != nil {
		return err
	}
	if !slices.Contains(owned, systemd) {
		return fault.New(fault.UnsupportedOperation, fault.Host, "systemd is not on the system bus")
	}
	// The cheap question first: mostly it runs.
	if slices.Contains(owned, machined) {
		return nil
	}
	startable, err := m.names(ctx, "ListActivatableNames")
	if err == nil && !slices.Contains(startable, machined) {
		err = fault.New(fault.UnsupportedOperation, fault.Host, "systemd-machined is not installed")
	}
	return err
}

// names calls one of the bus's own methods that list names.
func (m *Machines) names(ctx context.Context, method string) ([]string, error) {
	body, err := m.bus.Call(ctx, bus.Self, bus.SelfPath, bus.Self+"."+method)
	if err != nil {
		return nil, err
	}
	if len(body) == 1 {
		if list, ok := body[0].([]string); ok {
			return list, nil
		}
	}
	return nil, fault.New(fault.System, fault.Host, "the system bus gave a malformed list of names")
}
