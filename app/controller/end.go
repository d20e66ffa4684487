package controller

import "virtlxcd/ports/hold"

// hangUp is SIGHUP. A pid namespace whose init is killed by it has asked for a
// reboot (pid_namespaces(7), reboot(2)).
const hangUp = 1

// asksForReboot reads a wait status: killed by a signal, and by which. The low
// seven bits of a wait status are the signal, 0 for an exit (wait(2)). From
// outside SIGHUP reaches an init only if it handles it, and then does not kill
// it.
func asksForReboot(status int) bool { return status&0x7f == hangUp }

// ended deals with the end of a container's first process. A pidfd that is
// ready and has no status yet is asked again with the next event.
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
// reported here. Pidfd and outcome become ready in any order. A turn of the
// loop that brings no news means that the process died without a word.
func (c *Controller) ranAfterAll(h *held) bool {
	for h.phase != running {
		executing := h.executing
		c.news(h)
		if c.held[h.uuid] != h {
			return false
		}
		if h.phase != running && h.executing == executing {
			c.stuck(h, hold.Failure{Entered: true, Errno: errNoChild, Index: noOperation})
			return false
		}
	}
	return true
}

// restart runs the script again: same cgroups, same network namespace, same
// host terminals, new everything else. Terminals inside are made anew with the
// container's mounts, and what the old ones still hold is read first. The
// network namespace outlives its init through its descriptor, and with it the
// links. When it fails the container is gone; the daemon clears up.
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
	c.connect(h)
	if h.script.WaitLinks {
		report := &hold.Message{Kind: hold.NeedsLinks, UUID: h.uuid}
		c.describe(report, h)
		c.report(report)
		return
	}
	c.release(h)
}

// connect gives the consoles the terminals of a new start. Of a container that
// was restored there may be fewer consoles, because host terminals were lost:
// without a master a terminal hangs up, and nobody blocks on it. The order is
// that of the script in both lists.
func (c *Controller) connect(h *held) {
	for i, guest := range h.born.Terminals {
		if i >= len(h.consoles) {
			c.fds.Close(guest)
			continue
		}
		c.byFD[guest] = h
		h.consoles[i].connect(guest)
	}
}

// keeps is the network namespace that a restart joins: none with an id map,
// because the namespace belongs to the user namespace that died. Its links died
// with it, which is why the daemon makes new ones (NeedsLinks).
func (c *Controller) keeps(h *held, network hold.FD) hold.FD {
	if h.script.Namespaces.User {
		return hold.None
	}
	return network
}

// closeBorn closes what a first process came with, but for its terminals, which
// are its consoles'. Each may be None, so it may follow mourn, which has taken
// the pidfd.
func (c *Controller) closeBorn(h *held) {
	c.unwatch(&h.born.Process)
	c.unwatch(&h.born.Outcome)
	c.fds.Close(h.born.Release)
	c.fds.Close(h.born.Network)
	h.born.Release, h.born.Network = hold.None, hold.None
}

// letGo closes everything of a container and forgets it. A process that is not
// dead yet is reaped when it is. Called when it has ended or was killed, for
// every way out but restart. It kills nothing itself.
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

// mourn reaps a process, or keeps its pidfd until it can be: a zombie would
// stay for as long as the controller lives. A kill takes a moment, and waiting
// for it would hold up all other containers.
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
// Numbers are of the controller and not of a container: one acknowledgement
// covers those of all.
func (c *Controller) report(m *hold.Message) {
	c.reports.add(m)
	c.tell()
}

// tell sends the reports that were not sent yet, in order, as far as a daemon
// is there and takes them: one that does not read for a while gets the others
// when it acknowledges. Descriptors are filled in each time, as the container
// has them by now; they are not the report's to keep. Told counts what this
// daemon has; it goes back to 0 for the next one, and reports that were dealt
// with are not in the list any more.
func (c *Controller) tell() {
	for _, m := range c.reports.kept {
		if m.Number <= c.reports.told {
			continue
		}
		if h := c.held[m.UUID]; h != nil && isRestart(m.Kind) {
			c.describe(m, h)
		}
		sent := c.daemon.Send(m)
		m.Files = hold.NoFiles()
		if !sent {
			return
		}
		c.reports.told = m.Number
	}
}

// isRestart says whether a report is about a new init.
func isRestart(kind hold.Kind) bool { return kind == hold.Restarted || kind == hold.NeedsLinks }

// reports are the unacknowledged ones, in order. While no daemon is there a
// container adds a restart and an end at most, as restarts replace each other.
type reports struct {
	kept []*hold.Message
	last uint64 // number given
	told uint64 // number sent to the present daemon
}

func (r *reports) empty() bool { return len(r.kept) == 0 }

// add numbers a report. Of a container's restarts only the last one is kept: it
// replaces what was known, and a container may restart without end while no
// daemon is there to acknowledge.
func (r *reports) add(m *hold.Message) {
	if isRestart(m.Kind) {
		r.dropRestarts(m.UUID)
	}
	r.last++
	m.Number = r.last
	r.kept = append(r.kept, m)
}

// dropRestarts clears the tail as well, or the array would keep dropped
// messages alive.
func (r *reports) dropRestarts(uuid [16]byte) {
	rest := r.kept[:0]
	for _, m := range r.kept {
		if m.UUID != uuid || !isRestart(m.Kind) {
			rest = append(rest, m)
		}
	}
	clear(r.kept[len(rest):])
	r.kept = rest
}

// acknowledge forgets reports up to number, whether they were sent or not. A
// number lower than before finds nothing and does nothing.
func (r *reports) acknowledge(number uint64) {
	for len(r.kept) > 0 && r.kept[0].Number <= number {
		r.kept = r.kept[1:]
	}
}
