package controller

import "virtlxcd/ports/hold"

// errors of start that are not an operation's, as errno (errno(3)). They are
// spelled here because the controller does not import syscall.
const (
	errInvalid = 22 // EINVAL
	errNoChild = 10 // ECHILD: the process died before it executed init
	errBusy    = 16 // EBUSY: held already
)

// noOperation is the Index of a failure that belongs to no operation, so that
// no error blames the first one of a list. It is the largest index that the
// protocol can carry.
const noOperation = 1<<32 - 1

// begin makes a container's first process. What became of an earlier start of
// the container is forgotten: Proceed is about this one. The message's
// descriptors become the container's; the network namespace to be joined is
// needed only until the process is born. Each host terminal belongs to one
// terminal of the script, so counts that differ are refused: EINVAL. A
// container that is held already is refused unharmed.
func (c *Controller) begin(m *hold.Message) {
	delete(c.failed, m.UUID)
	script, ok := c.fds.Load(m.Files.Plan)
	failure := hold.Failure{Errno: errInvalid, Index: noOperation}
	if c.held[m.UUID] != nil {
		ok, failure.Errno = false, errBusy
	}
	if !ok || len(m.Files.Hosts) != len(script.Terminals) {
		c.closeFiles(&m.Files)
		c.refuse(hold.NotBegun, m.UUID, failure)
		return
	}
	h := &held{uuid: m.UUID, script: script, files: m.Files}
	network := m.Files.Network
	h.files.Network = hold.None
	failure = c.bear(h, network)
	c.fds.Close(network)
	if failure.Failed() {
		c.closeFiles(&h.files)
		c.refuse(hold.NotBegun, m.UUID, failure)
		return
	}
	c.take(h)
	for i, guest := range h.born.Terminals {
		c.addConsole(h, guest, h.files.Hosts[i])
	}
	reply := &hold.Message{Kind: hold.Begun, UUID: h.uuid}
	c.describe(reply, h)
	c.daemon.Send(reply)
}

// take holds a container from now on. The first gives the process its name. An
// administrator sees it in the process list; the others of a group are not
// shown.
func (c *Controller) take(h *held) {
	if !c.begun {
		c.kernel.Introduce(h.script.Name)
	}
	c.begun = true
	c.held[h.uuid] = h
}

// refuse answers with a failure. kind is NotBegun or NotRun.
func (c *Controller) refuse(kind hold.Kind, uuid [16]byte, failure hold.Failure) {
	c.daemon.Send(&hold.Message{Kind: kind, UUID: uuid, Failure: failure, Files: hold.NoFiles()})
}

// bear makes the process and watches it. network joins a kept namespace. It
// serves begin and restart. On failure nothing was born, and h is as it was.
func (c *Controller) bear(h *held, network hold.FD) hold.Failure {
	born, failure := c.kernel.Begin(h.script, &h.files, network)
	if failure.Failed() {
		return failure
	}
	h.born, h.phase, h.executing = born, waiting, false
	c.watch(h, born.Process)
	c.watch(h, born.Outcome)
	return failure
}

// watch and unwatch keep byFD and the event loop alike. unwatch closes. A pidfd
// is readable when its process has ended (pidfd_open(2)); an outcome, when the
// stage has news.
func (c *Controller) watch(h *held, fd hold.FD) {
	c.byFD[fd] = h
	c.fds.Watch(fd, hold.Interest{Read: true})
}

// unwatch drops the entry before the number can be used again. None is fine, so
// it may be called twice.
func (c *Controller) unwatch(fd *hold.FD) {
	if *fd == hold.None {
		return
	}
	delete(c.byFD, *fd)
	c.fds.Forget(*fd)
	c.fds.Close(*fd)
	*fd = hold.None
}

// addConsole gives both ends to a new console, which closes them.
func (c *Controller) addConsole(h *held, guest, host hold.FD) {
	c.byFD[guest], c.byFD[host] = h, h
	h.consoles = append(h.consoles, newConsole(c.fds, guest, host))
}

// describe fills in what the daemon keeps in escrow. The descriptors stay ours.
// Consoles without a guest terminal are the last ones (restore), so leaving
// them out shifts no other. It is filled in when a message is sent and not
// before: a restart in between replaces all of them.
func (c *Controller) describe(m *hold.Message, h *held) {
	m.PID, m.Start = h.born.PID, h.born.Start
	m.Files = hold.NoFiles()
	m.Files.Process, m.Files.Network = h.born.Process, h.born.Network
	for _, console := range h.consoles {
		if console.guest != hold.None {
			m.Files.Terminals = append(m.Files.Terminals, console.guest)
		}
	}
}

// proceed lets a waiting process become init. The answer is sent by news, at
// once if it runs already: a daemon may not know what its predecessor asked. A
// failure that nobody had asked for yet is told once. While it is starting
// nothing more is done: news answers whoever asked.
func (c *Controller) proceed(uuid [16]byte) {
	h := c.held[uuid]
	failure, failed := c.failed[uuid]
	delete(c.failed, uuid)
	switch {
	case failed:
		c.refuse(hold.NotRun, uuid, failure)
	case h == nil:
		c.reply(hold.Unknown, uuid)
	case h.phase == running:
		c.reply(hold.Running, uuid)
	default:
		h.asked = true
		if h.phase == waiting {
			c.release(h)
		}
	}
}

// release lets the stage go on; the kernel closes the channel with it. From
// here on the process may fail, execute init or be killed; each comes as news
// or as its end.
func (c *Controller) release(h *held) {
	h.phase = starting
	c.kernel.Release(h.born.Release)
	h.born.Release = hold.None
}

// news is what the stage reports: that it executes init, or that it is stuck.
// The channel closes on exec, which is how success is seen: Executing announces
// the attempt, and Gone after it says that nothing came back. Gone without it
// is a process that died.
func (c *Controller) news(h *held) {
	progress, failure := c.kernel.Outcome(h.born.Outcome)
	switch progress {
	case hold.NoNews:
	case hold.Executing:
		h.executing = true
	case hold.Stuck:
		c.stuck(h, failure)
	case hold.Gone:
		if !h.executing {
			c.stuck(h, hold.Failure{Entered: true, Errno: errNoChild, Index: noOperation})
			return
		}
		c.unwatch(&h.born.Outcome)
		c.executed(h)
	}
}

// executed: init runs. Whoever asked is answered; a restart that nobody asked
// for is reported. Phase is running before anything is sent, so an end that
// follows at once is one of a container that ran.
func (c *Controller) executed(h *held) {
	h.phase, h.restarted = running, false
	if h.asked {
		h.asked = false
		c.reply(hold.Running, h.uuid)
		return
	}
	report := &hold.Message{Kind: hold.Restarted, UUID: h.uuid}
	c.describe(report, h)
	c.report(report)
}

// stuck gives up a start that failed, and tells who waits for it: at once, or
// when Proceed asks. The process is killed although it may have ended by
// itself: it need not, after it has told of its failure.
func (c *Controller) stuck(h *held, failure hold.Failure) {
	c.kernel.Kill(h.born.Process)
	c.letGo(h)
	switch {
	case h.asked:
		c.refuse(hold.NotRun, h.uuid, failure)
	case h.restarted:
		c.report(&hold.Message{Kind: hold.RestartFailed, UUID: h.uuid, Failure: failure, Files: hold.NoFiles()})
	default:
		c.failed[h.uuid] = failure
	}
}

// abandon kills what was begun. A Proceed that waits is answered too, first. It
// is no end to be reported: whoever abandons knows. A container that runs is
// killed as well, and an unknown one is fine, as an answer may have been lost
// before.
func (c *Controller) abandon(uuid [16]byte) {
	delete(c.failed, uuid)
	if h := c.held[uuid]; h != nil {
		c.kernel.Kill(h.born.Process)
		c.letGo(h)
		if h.asked {
			c.refuse(hold.NotRun, uuid, hold.Failure{Entered: true, Errno: errNoChild, Index: noOperation})
		}
	}
	c.reply(hold.Abandoned, uuid)
}

// reclaim sends everything a daemon needs to know of a container again. Plan
// and host terminals travel too, as the daemon asking may have none of them.
// They stay the container's.
func (c *Controller) reclaim(uuid [16]byte) {
	h := c.held[uuid]
	if h == nil {
		c.reply(hold.Unknown, uuid)
		return
	}
	reply := &hold.Message{Kind: hold.Reclaimed, UUID: uuid}
	c.describe(reply, h)
	reply.Files.Plan = h.files.Plan
	reply.Files.Hosts = h.files.Hosts
	c.daemon.Send(reply)
}

// restore takes over a container whose controller died. Unknown answers a plan
// that cannot be read, a container that is held already, and one without a
// process. A process that is dead is no error: its end is reported. Init is not
// a child of this process then: its wait status is what the kernel tells of it,
// or 0 (hold.Kernel.Reap). The pidfd is watched last, when the answer is on its
// way, so an end is never reported before Restored.
func (c *Controller) restore(m *hold.Message) {
	script, ok := c.fds.Load(m.Files.Plan)
	if !ok || c.held[m.UUID] != nil || m.Files.Process == hold.None {
		c.closeFiles(&m.Files)
		c.reply(hold.Unknown, m.UUID)
		return
	}
	h := &held{uuid: m.UUID, script: script, files: m.Files, phase: running}
	h.born = hold.Born{
		PID: m.PID, Start: m.Start, Process: m.Files.Process, Network: m.Files.Network,
		Release: hold.None, Outcome: hold.None,
	}
	h.files.Process, h.files.Network, h.files.Terminals = hold.None, hold.None, nil
	c.take(h)
	for i, host := range h.files.Hosts {
		guest := hold.None
		if i < len(m.Files.Terminals) {
			guest = m.Files.Terminals[i]
		}
		c.addConsole(h, guest, host)
	}
	for _, guest := range m.Files.Terminals[min(len(h.files.Hosts), len(m.Files.Terminals)):] {
		c.fds.Close(guest) // without a host terminal nobody would read it
	}
	c.reply(hold.Restored, m.UUID)
	c.watch(h, h.born.Process)
}
