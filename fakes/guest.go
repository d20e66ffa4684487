package fakes

import (
	"fmt"
	"os"
	"slices"
	"syscall"

	"virtlxcd/ports"
)

// guest is a container that was begun, from its first process to its last.
type guest struct {
	host     *Host
	order    ports.Order
	keeper   *keeper
	init     *process
	group    *group
	net      *netns // nil: the host's
	consoles []*terminal
	waits    bool // for Proceed
	ran      bool // init was executed at least once
	child    bool // init is the keeper's child
	lost     bool // an init that dies must not be reported: it is being abandoned
}

// name is that of the order it was begun with.
func (g *guest) name() string { return g.order.Identity.Name }

// birth makes the first process, which waits. Init of a guest before that is nil.
func (h *Host) birth(g *guest) {
	stage := h.spawn("stage of "+g.name(), Init{}, g.group)
	stage.guest = g
	g.init, g.waits = stage, true
	lost := g.order.Namespaces.User || g.order.WaitLinks // the network goes with its owner
	if g.order.Namespaces.Net && (g.net == nil || lost) {
		if g.net != nil {
			g.net.guest = nil
		}
		h.lastNet++
		g.net = &netns{number: h.lastNet, name: g.name(), guest: g}
	}
}

// prepare performs the first list in a new scene.
func (h *Host) prepare(g *guest) (*scene, *ports.StepError) {
	s := newScene(h, g.order.Slots)
	if failure := s.perform(g.order.Prepare, false); failure != nil {
		return nil, failure
	}
	for i, slot := range g.order.Terminals {
		if s.filled(slot) != 0 {
			return nil, unfilled(i)
		}
	}
	return s, nil
}

// unfilled is how a plan fails whose terminal i is in no slot.
func unfilled(i int) *ports.StepError {
	return &ports.StepError{Index: i, Errno: int(syscall.EBADF), Err: syscall.EBADF}
}

// enter performs the second list and makes the waiting process an init, which
// Host.run lets go.
func (h *Host) enter(g *guest) *ports.StepError {
	s, failure := h.prepare(g)
	if failure == nil {
		failure = s.perform(g.order.Enter, true)
	}
	if failure != nil {
		return failure
	}
	if s.program == nil {
		return &ports.StepError{Entered: true, Index: len(g.order.Enter), Errno: int(syscall.ENOEXEC), Err: syscall.ENOEXEC}
	}
	g.become(h.behaviour(s.program.Path), s.program.Path)
	return nil
}

// become turns the waiting process into init. It does not run yet.
func (g *guest) become(behaviour Init, program string) {
	g.init.behaviour, g.init.program = behaviour, program
	if behaviour.Program != "" {
		g.init.program = behaviour.Program
	}
	g.waits, g.ran = false, true
}

// give hands out the descriptors that every holder gets of a running container.
func (h *Host) give(g *guest) ports.Held {
	held := ports.Held{
		PID: g.init.pid, Start: g.init.start,
		Process: h.hand("pidfd of "+g.name(), g.init),
	}
	if g.net != nil {
		held.Network = h.hand("network of "+g.name(), g.net)
	}
	for i := range g.order.Terminals {
		held.Terminals = append(held.Terminals, h.hand(fmt.Sprintf("guest terminal %d of %s", i, g.name()), g))
	}
	return held
}

// giveAll adds what a successor of the controller needs.
func (h *Host) giveAll(g *guest) ports.Held {
	held := h.give(g)
	for _, t := range g.consoles {
		held.Hosts = append(held.Hosts, h.hand("master of "+t.path, t))
	}
	held.Plan = h.hand("plan of "+g.name(), g)
	return held
}

// abandon kills a guest without a report.
func (h *Host) abandon(g *guest) {
	g.lost = true
	h.die(g.init, Killed(sigKILL))
	h.letGo(g)
}

// letGo ends what is left of a guest whose init is dead.
func (h *Host) letGo(g *guest) {
	h.emptyNamespace(g)
	if g.net != nil {
		g.net.guest = nil
	}
	for _, t := range g.consoles {
		t.holder, t.over = nil, true
	}
	delete(h.guests, g.order.Identity.UUID)
	if g.keeper != nil {
		delete(g.keeper.guests, g.order.Identity.UUID)
	}
	h.wake()
}

// initDied decides what becomes of a guest whose init has just died. One that
// never ran is not reported: Proceed will tell.
func (h *Host) initDied(g *guest) {
	if g.lost {
		return
	}
	h.emptyNamespace(g)
	k, status := g.keeper, g.init.status
	if g.child && !g.waits && status == rebooted && !k.dead() {
		h.restart(g)
		return
	}
	h.letGo(g)
	if !g.child {
		status = 0
	}
	if g.ran {
		k.report(ports.Report{Container: g.order.Identity.UUID, Kind: ports.ReportExited, Exit: status})
	}
}

// emptyNamespace kills the processes that init leaves behind.
func (h *Host) emptyNamespace(g *guest) {
	for _, p := range h.procs {
		if p.guest == g && p != g.init {
			h.die(p, Killed(sigKILL))
		}
	}
}

// restart starts a guest anew in the same cgroup, as its controller does.
func (h *Host) restart(g *guest) {
	k, uuid := g.keeper, g.order.Identity.UUID
	if _, failure := h.prepare(g); failure != nil {
		h.letGo(g)
		k.report(ports.Report{Container: uuid, Kind: ports.ReportRestartFailed})
		return
	}
	h.birth(g)
	if g.order.WaitLinks {
		k.report(ports.Report{Container: uuid, Kind: ports.ReportRestartNeedsLinks})
		return
	}
	if failure := h.enter(g); failure != nil {
		h.abandon(g)
		k.report(ports.Report{Container: uuid, Kind: ports.ReportRestartFailed})
		return
	}
	k.report(ports.Report{Container: uuid, Kind: ports.ReportRestarted})
	h.run(g)
}

// say writes to a console of the guest.
func (g *guest) say(console int, text string) {
	if console < len(g.consoles) && text != "" {
		g.consoles[console].fromGuest(text)
	}
}

// readConsoles lets the init read what was typed.
func (h *Host) readConsoles(g *guest) {
	for i, t := range slices.Clone(g.consoles) {
		for h.reads(g) {
			line, ok := t.line()
			if !ok {
				break
			}
			h.hear(g, i, line)
		}
	}
	h.wake()
}

// reads says whether the guest takes input now.
func (h *Host) reads(g *guest) bool {
	return h.guests[g.order.Identity.UUID] == g && !g.waits && !g.init.dead() &&
		(g.group == nil || !g.group.frozen) && g.keeper != nil && !g.keeper.dead()
}

// findGuest finds a running container by name.
func (h *Host) findGuest(name string) (*guest, error) {
	for _, g := range h.guests {
		if g.name() == name {
			return g, nil
		}
	}
	return nil, notFound("no container '%s' runs on the host", name)
}

// inGroup finds the group that an order names.
func (h *Host) inGroup(order *ports.Order) *group {
	if order.Cgroup == nil {
		return nil
	}
	return h.groups[order.Cgroup.Path()]
}

// terminalsBehind maps masters to terminals.
func (h *Host) terminalsBehind(masters []*os.File) (found []*terminal, err error) {
	for _, master := range masters {
		t, ok := h.behind(master).(*terminal)
		if !ok {
			return nil, refused(syscall.EBADF, "not the master of a host terminal")
		}
		found = append(found, t)
	}
	return found, nil
}
