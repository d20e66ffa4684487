package fakes

import "slices"

// onGuest runs effect on a running container; NotFound if there is none. It is no op,
// so no fault strikes what a test does. Effect is called with the host locked, and
// whoever waits looks again afterwards.
func (h *Host) onGuest(name string, effect func(g *guest)) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	g, err := h.findGuest(name)
	if err != nil {
		return err
	}
	effect(g)
	h.wake()
	return nil
}

// ExitInit makes the init of a container end with a wait status: see Exited and Killed.
// The report is filed when it returns, but a driver acts on it some time later: wait
// for its event.
func (h *Host) ExitInit(name string, status int) error {
	return h.onGuest(name, func(g *guest) { h.die(g.init, status) })
}

// RebootInit makes init ask the kernel for a reboot. Its controller starts it again,
// unless that is dead or not its parent.
func (h *Host) RebootInit(name string) error { return h.ExitInit(name, rebooted) }

// OOMKill makes the kernel kill init for lack of memory. Usage of the group counts it,
// which tells it from other kills.
func (h *Host) OOMKill(name string) error {
	return h.onGuest(name, func(g *guest) {
		if g.group != nil {
			g.group.oom++
		}
		h.die(g.init, Killed(sigKILL))
	})
}

// KillController kills the controller that holds a container, with all others that it
// holds orphaned as well; their inits live on. Connections to it end.
func (h *Host) KillController(name string) error {
	return h.onGuest(name, func(g *guest) { h.die(g.keeper.process, Killed(sigKILL)) })
}

// GuestWrites makes init write to one of its consoles, counted from 0. Without a
// controller that forwards, the text waits for the next.
func (h *Host) GuestWrites(name string, console int, text string) error {
	return h.onGuest(name, func(g *guest) { g.say(console, text) })
}

// Fork makes init start another process, and returns its pid on the host. It dies with
// init, gets what is sent to the group, and catches nothing.
func (h *Host) Fork(name string) (pid int, err error) {
	err = h.onGuest(name, func(g *guest) {
		child := h.spawn("child of "+name, Init{}, g.group)
		child.guest = g
		pid = child.pid
	})
	return pid, err
}

// Signals lists what init was sent, delivered or not. It begins with those that came
// before init was executed; a restart begins anew, as with another process.
func (h *Host) Signals(name string) (signals []int, err error) {
	err = h.onGuest(name, func(g *guest) { signals = slices.Clone(g.init.got) })
	return signals, err
}

// InitPID is the pid of init on the host; 0 if the container does not run.
func (h *Host) InitPID(name string) (pid int) {
	_ = h.onGuest(name, func(g *guest) { pid = g.init.pid })
	return pid
}

// Boot boots the host again: everything that runs is gone without a report, only the
// disk stays, and the boot id is another. The daemon is dead too, so its descriptors
// and streams are closed: make a new driver. What tests have installed or made missing
// stays, bridges and paths included. Processes and controllers are cut loose from their
// containers first, so that no end is acted on.
func (h *Host) Boot() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range h.keepers {
		k.guests = nil
	}
	for _, p := range h.procs {
		p.guest, p.group = nil, nil
		h.die(p, Killed(sigKILL))
	}
	for _, t := range h.terms {
		t.holder, t.over = nil, true
		_ = t.slave.Close()
	}
	h.hangUp()
	h.clear()
	h.disk.newBoot()
	h.boots++
	h.wake()
}
