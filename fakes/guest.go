package fakes

import (
	"fmt"
	"os"
	"slices"
	"syscall"

	"virtlxcd/ports"
)

// guest is a container that was begun, from its first process to its last. It is on the
// host's list from Begin until its init has died, also while a restart inside waits for
// links, and on that of the controller which holds it.
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

// birth makes the first process, which waits. Init of a guest before that is nil. A
// restart calls it again. Its network namespace is a new one if init owned it by its
// user namespace, or if the daemon is to make the links anew; else it is kept, with its
// links, as the controller does.
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

// prepare performs the first list in a new scene. Nothing on the host is changed by it,
// so a failure needs no undo. A guest terminal without anything in its slot is a
// mistake of the plan.
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

// unfilled is how a plan fails whose terminal i is in no slot. It is EBADF, as for any
// descriptor that is not open.
func unfilled(i int) *ports.StepError {
	return &ports.StepError{Index: i, Errno: int(syscall.EBADF), Err: syscall.EBADF}
}

// enter performs the second list and makes the waiting process an init, which Host.run
// lets go. Prepare is gone through again, as the scene is not kept between the two. A
// plan that ends without executing anything has ended the process, which is told as
// ENOEXEC behind the last operation.
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

// become turns the waiting process into init. It does not run yet. The pid stays, as
// with execve(2), and so do signals that were sent to it before.
func (g *guest) become(behaviour Init, program string) {
	g.init.behaviour, g.init.program = behaviour, program
	if behaviour.Program != "" {
		g.init.program = behaviour.Program
	}
	g.waits, g.ran = false, true
}

// give hands out the descriptors that every holder gets of a running container. Each is
// new and the receiver's. Without a network namespace of its own Network is nil.
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

// giveAll adds what a successor of the controller needs. Those are the host terminals
// and the plan, by which a restart inside can go on.
func (h *Host) giveAll(g *guest) ports.Held {
	held := h.give(g)
	for _, t := range g.consoles {
		held.Hosts = append(held.Hosts, h.hand("master of "+t.path, t))
	}
	held.Plan = h.hand("plan of "+g.name(), g)
	return held
}

// abandon kills a guest without a report. Whoever asked for it knows of the end, and a
// report would be taken for that of the next container. What has died already may be
// abandoned too.
func (h *Host) abandon(g *guest) {
	g.lost = true
	h.die(g.init, Killed(sigKILL))
	h.letGo(g)
}

// letGo ends what is left of a guest whose init is dead. Streams on its consoles end
// when they have been read empty. Its network goes too, unless a descriptor keeps it.
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

// initDied decides what becomes of a guest whose init has just died. One that never ran
// is not reported: Proceed will tell. It is called from die, with init's status set. A
// reboot is one only if the controller is its parent, as nobody else can wait for it,
// and if the controller lives. One that is held by a dead controller is let go of and
// reported nowhere: its end is seen by a pidfd.
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

// emptyNamespace kills the processes that init leaves behind. So does the kernel when
// process 1 of a PID namespace ends (pid_namespaces(7)).
func (h *Host) emptyNamespace(g *guest) {
	for _, p := range h.procs {
		if p.guest == g && p != g.init {
			h.die(p, Killed(sigKILL))
		}
	}
}

// restart starts a guest anew in the same cgroup, as its controller does. Whatever goes
// wrong is reported, so that the daemon stops the container: there is nobody to return
// an error to. With WaitLinks the new process waits, as at the first start, until the
// daemon has made links and says Proceed.
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

// say writes to a console of the guest. A console that it does not have, or no text, is
// nothing.
func (g *guest) say(console int, text string) {
	if console < len(g.consoles) && text != "" {
		g.consoles[console].fromGuest(text)
	}
}

// readConsoles lets the init read what was typed. A line may end the guest, so each
// next one is looked at anew.
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

// reads says whether the guest takes input now. It does not while it waits, is dead or
// frozen, or while no controller forwards.
func (h *Host) reads(g *guest) bool {
	return h.guests[g.order.Identity.UUID] == g && !g.waits && !g.init.dead() &&
		(g.group == nil || !g.group.frozen) && g.keeper != nil && !g.keeper.dead()
}

// findGuest finds a running container by name. NotFound for one that is stopped, though
// it may be defined.
func (h *Host) findGuest(name string) (*guest, error) {
	for _, g := range h.guests {
		if g.name() == name {
			return g, nil
		}
	}
	return nil, notFound("no container '%s' runs on the host", name)
}

// inGroup finds the group that an order names. Nil without a wish, and also if the
// group has been removed: see newGuest.
func (h *Host) inGroup(order *ports.Order) *group {
	if order.Cgroup == nil {
		return nil
	}
	return h.groups[order.Cgroup.Path()]
}

// terminalsBehind maps masters to terminals. EBADF for anything else, closed ones
// included. The order is that of the consoles.
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
