package controller

import "virtlxcd/ports/hold"

// hangUp is SIGHUP. A pid namespace whose init is killed by it has asked for a
// reboot (pid_namespaces(7), reboot(2)).
const hangUp = 1

// asksForReboot reads a wait status: killed by a signal, and by which.
func asksForReboot(status int) bool { return status&0x7f == hangUp }

// ended deals with the end of a container's first process.
func (c *Controller) ended(h *held) {
	status, ended := c.kernel.Reap(h.born.PID, h.born.Process)
	if !ended {
		return
	}
	if h.phase != running && !c.ranAfterAll(h) {
		return
	}
	if asksForReboot(status) {
		c.restart(h)
		return
	}
	c.report(&hold.Message{Kind: hold.Exited, UUID: h.uuid, Exit: status, Files: hold.NoFiles()})
	c.letGo(h) // the daemon need not wait for this
}

// ranAfterAll reads what the stage said before the process died: it may have
// become init and ended at once. Otherwise the start has failed, and this is
// reported here.
func (c *Controller) ranAfterAll(h *held) bool {
	for h.phase != running {
		executing := h.executing
		c.news(h)
		if c.held[h.uuid] != h {
			return false
		}
		if h.phase != running && h.executing == executing {
			c.stuck(h, hold.Failure{Entered: true, Errno: errNoChild, Index: uint32(len(h.script.Enter))})
			return false
		}
	}
	return true
}

// restart runs the script again: same cgroups, same network namespace, same
// host terminals, new everything else.
func (c *Controller) restart(h *held) {
	network := h.born.Network
	h.born.Network = hold.None
	c.closeBorn(h)
	for _, console := range h.consoles {
		delete(c.byFD, console.guest)
		console.last()
	}
	h.restarted = true
	failure := c.bear(h, c.keeps(h, network))
	c.fds.Close(network)
	if failure.Failed() {
		c.letGo(h)
		c.report(&hold.Message{Kind: hold.RestartFailed, UUID: h.uuid, Failure: failure, Files: hold.NoFiles()})
		return
	}
	for i, guest := range h.born.Terminals {
		c.byFD[guest] = h
		h.consoles[i].connect(guest)
	}
	if h.script.WaitLinks {
		report := &hold.Message{Kind: hold.NeedsLinks, UUID: h.uuid}
		c.describe(report, h)
		c.report(report)
		return
	}
	c.release(h)
}

// keeps is the network namespace that a restart joins: none with an id map,
// because the namespace belongs to the user namespace that died.
func (c *Controller) keeps(h *held, network hold.FD) hold.FD {
	if h.script.Namespaces.User {
		return hold.None
	}
	return network
}

func (c *Controller) closeBorn(h *held) {
	c.unwatch(&h.born.Process)
	c.unwatch(&h.born.Outcome)
	c.fds.Close(h.born.Release)
	c.fds.Close(h.born.Network)
	h.born.Release, h.born.Network = hold.None, hold.None
}

// letGo closes everything of a container and forgets it. A process that is not
// dead yet is reaped when it is.
func (c *Controller) letGo(h *held) {
	c.mourn(&h.born)
	c.closeBorn(h)
	for _, console := range h.consoles {
		delete(c.byFD, console.guest)
		delete(c.byFD, console.host)
		console.close()
	}
	h.files.Hosts = nil // closed with the consoles
	c.closeFiles(&h.files)
	delete(c.held, h.uuid)
}

func (c *Controller) mourn(born *hold.Born) {
	if born.Process == hold.None {
		return
	}
	if _, ended := c.kernel.Reap(born.PID, born.Process); ended {
		return
	}
	delete(c.byFD, born.Process)
	c.dying[born.Process] = born.PID
	c.fds.Watch(born.Process, hold.Interest{Read: true})
	born.Process = hold.None
}

// buried reaps a process that was let go of before it died.
func (c *Controller) buried(process hold.FD, pid int) {
	if _, ended := c.kernel.Reap(pid, process); ended {
		delete(c.dying, process)
		c.fds.Forget(process)
		c.fds.Close(process)
	}
}

// report numbers a report, keeps it until it is acknowledged and sends it.
func (c *Controller) report(m *hold.Message) {
	c.reports.add(m)
	c.daemon.Send(m)
	m.Files = hold.NoFiles() // not ours to keep: DaemonFound fills them in again
}

// reports are the unacknowledged ones, in order.
type reports struct {
	kept []*hold.Message
	last uint64
}

func (r *reports) empty() bool { return len(r.kept) == 0 }

func (r *reports) add(m *hold.Message) {
	r.last++
	m.Number = r.last
	r.kept = append(r.kept, m)
}

func (r *reports) acknowledge(number uint64) {
	for len(r.kept) > 0 && r.kept[0].Number <= number {
		r.kept = r.kept[1:]
	}
}

func (r *reports) each(do func(*hold.Message)) {
	for _, m := range r.kept {
		do(m)
	}
}
