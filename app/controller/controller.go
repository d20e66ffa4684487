// Package controller is the process that holds running containers: it starts
// their inits as its children, serves their consoles, restarts those that
// reboot and reports what happens, so that a daemon may come and go. It holds
// any number of containers; nothing assumes one.
//
// Everything happens on one goroutine, in answer to Handle and Ready, and
// nothing blocks longer than a first process takes to be made.
package controller

import (
	"virtlxcd/domain/launch/step"
	"virtlxcd/ports/hold"
)

// Controller holds containers. It has no locks: whoever drives it calls Handle,
// Ready, DaemonLost and DaemonFound from one goroutine, and its ports call
// nothing back. Nothing of it is stored: a controller that dies is replaced by
// one that is told everything (restore).
type Controller struct {
	kernel hold.Kernel
	fds    hold.Descriptors
	daemon hold.Daemon

	// Containers that may still do something, by UUID. byFD finds them by
	// pidfd, outcome and terminals.
	held    map[[16]byte]*held
	byFD    map[hold.FD]*held
	dying   map[hold.FD]int           // pidfd -> pid of processes let go of before they died
	failed  map[[16]byte]hold.Failure // starts that failed before Proceed asked
	reports reports
	begun   bool // ever held something: then the process has had its purpose
}

// New returns a controller that holds nothing. The ports stay the caller's.
func New(kernel hold.Kernel, fds hold.Descriptors, daemon hold.Daemon) *Controller {
	return &Controller{
		kernel: kernel, fds: fds, daemon: daemon,
		held: map[[16]byte]*held{}, byFD: map[hold.FD]*held{}, dying: map[hold.FD]int{},
		failed: map[[16]byte]hold.Failure{},
	}
}

// phase is how far a container is.
type phase uint8

// It only goes forward, but for a restart, which begins it anew.
const (
	waiting  phase = iota // for Proceed
	starting              // released, not yet executed
	running
)

// held is one container. Its descriptors are its own from Begin or Restore
// until letGo.
type held struct {
	uuid      [16]byte
	script    *step.Script
	files     hold.Files // for the next start
	born      hold.Born
	consoles  []*console
	phase     phase
	restarted bool // by a reboot from inside
	// At most one request waits at a time: a second Proceed joins the first,
	// and one answer is for both.
	asked     bool // the daemon waits for the outcome
	executing bool // the stage announced its exec
}

// Idle says that nothing is held and every report was acknowledged: the process
// may end once no daemon is connected that could bring work, or once what it
// was started for is over. Processes that were let go of and live keep it as
// well, as nobody else could reap them.
func (c *Controller) Idle() bool {
	return len(c.held) == 0 && len(c.dying) == 0 && len(c.failed) == 0 && c.reports.empty()
}

// Finished is Idle after there was something to do. A process that was started
// ahead of its first container is idle and not finished.
func (c *Controller) Finished() bool { return c.begun && c.Idle() }

// Handle carries out one request and answers it, at once or, for Proceed, when
// init runs or does not. It owns the message's descriptors; those of requests
// that bring none are closed. An unknown kind is answered with Unknown. All but
// Begin and Restore may be asked again.
func (c *Controller) Handle(m *hold.Message) {
	switch m.Kind {
	case hold.Begin:
		c.begin(m)
		return
	case hold.Restore:
		c.restore(m)
		return
	}
	c.closeFiles(&m.Files)
	switch m.Kind {
	case hold.Proceed:
		c.proceed(m.UUID)
	case hold.Abandon:
		c.abandon(m.UUID)
	case hold.Reclaim:
		c.reclaim(m.UUID)
	case hold.Acknowledge:
		c.reports.acknowledge(m.Number)
		c.tell() // there is room again
	default:
		c.reply(hold.Unknown, m.UUID)
	}
}

// DaemonLost abandons starts that nobody waits for any more. Restarts go on;
// what comes of them is reported instead of answered, or it would be lost.
// Called by whoever drives the loop, once per connection that ended. A
// container that runs does not notice. Failures that were kept for Proceed are
// nobody's any more.
func (c *Controller) DaemonLost() {
	clear(c.failed)
	for _, h := range c.held {
		h.asked = false
		if h.phase != running && !h.restarted {
			c.kernel.Kill(h.born.Process)
			c.letGo(h)
		}
	}
}

// DaemonFound repeats the reports that were not acknowledged. The next daemon
// cannot know which of them the last one dealt with. They keep their numbers,
// so one that was told twice can be recognized.
func (c *Controller) DaemonFound() {
	c.reports.told = 0
	c.tell()
}

// Ready deals with a descriptor on which something happened. One that is
// nobody's any more is forgotten. A descriptor may become ready and be closed
// in one batch of events, and even its number be used again: then nothing is
// there to read, which every reader takes in its stride.
func (c *Controller) Ready(fd hold.FD, happened hold.Happening) {
	h := c.byFD[fd]
	if pid, dying := c.dying[fd]; dying {
		c.buried(fd, pid)
		return
	}
	switch {
	case h == nil:
		c.fds.Forget(fd)
	case fd == h.born.Process:
		c.ended(h)
	case fd == h.born.Outcome:
		c.news(h)
	default:
		for _, console := range h.consoles {
			if fd == console.guest || fd == console.host {
				console.ready(fd, happened)
				return
			}
		}
	}
}

// reply answers with nothing but the kind. Without a daemon it is lost, as
// nobody waits for it then.
func (c *Controller) reply(kind hold.Kind, uuid [16]byte) {
	c.daemon.Send(&hold.Message{Kind: kind, UUID: uuid, Files: hold.NoFiles()})
}

// closeFiles closes what a message brought and nobody took. Twice is harmless.
func (c *Controller) closeFiles(files *hold.Files) {
	files.Each(c.fds.Close)
	*files = hold.NoFiles()
}
