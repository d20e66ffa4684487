package controller

import "virtlxcd/ports/hold"

const (
	// chunk is how many bytes one read takes.
	chunk = 1 << 10 // on the stack, which once grown stays
	// budget is how much one console moves per event, so that one that floods
	// cannot keep others waiting.
	budget = 16 << 10
)

// console joins a terminal of the container with one of the host. Output is
// always taken from the guest, so that init never blocks on a console nobody
// reads; what nobody took waits in the ring. The host's end is a pseudo
// terminal whose other end clients open by its path; nobody says when they come
// and go but the terminal itself (WatchOpens, hang-ups).
type console struct {
	fds         hold.Descriptors
	guest, host hold.FD
	output      ring
	// At most one chunk: the host is not read until the guest has taken it, so
	// a client that pastes much is held up and not this process.
	input []byte // typed, and not yet taken by the guest
}

// newConsole takes both terminals over. guest may be None: of a container whose
// terminal was lost only the host's end is there, until a restart. Edge from
// the start: a terminal that was opened and closed again, as of a container
// that is restored, stays hung up until somebody opens it.
func newConsole(fds hold.Descriptors, guest, host hold.FD) *console {
	c := &console{fds: fds, guest: guest, host: host}
	c.watchGuest(true)
	c.watchHost(true)
	fds.WatchOpens(host)
	return c
}

// watchGuest and watchHost: after a hang-up only changes are of interest (edge),
// or the hang-up itself would be told without end.
func (c *console) watchGuest(edge bool) {
	if c.guest != hold.None {
		c.fds.Watch(c.guest, hold.Interest{Read: true, Write: len(c.input) > 0, Edge: edge})
	}
}

func (c *console) watchHost(edge bool) {
	waiting := !c.output.empty() && !edge
	c.fds.Watch(c.host, hold.Interest{Read: len(c.input) == 0, Write: waiting, Edge: edge})
}

// ready moves what can be moved.
func (c *console) ready(fd hold.FD, happened hold.Happening) {
	if fd == c.guest {
		c.guestReady(happened)
		return
	}
	c.hostReady(happened)
}

// guestReady: the guest has said something, takes typed bytes again, or nobody
// inside has the terminal open.
func (c *console) guestReady(happened hold.Happening) {
	if happened.Writable && len(c.input) > 0 {
		c.feed()
		c.watchHost(false)
	}
	hungUp := happened.HungUp
	if happened.Readable || happened.HungUp {
		hungUp = c.take(budget)
	}
	c.watchGuest(hungUp)
	c.deliver()
}

// take reads the guest's output, at most limit bytes; true after a hang-up.
func (c *console) take(limit int) (hungUp bool) {
	var buffer [chunk]byte
	for taken := 0; taken < limit; {
		n, again := c.fds.Read(c.guest, buffer[:])
		if n == 0 {
			return !again
		}
		c.output.push(buffer[:n])
		taken += n
	}
	return false
}

// deliver writes kept output to a client, if there is one. Without a client a
// write would fill the terminal's own buffer, where the oldest bytes could not
// be dropped; hence Attached.
func (c *console) deliver() {
	if c.output.empty() || !c.fds.Attached(c.host) {
		return
	}
	for !c.output.empty() {
		n, _ := c.fds.Write(c.host, c.output.front())
		if n <= 0 {
			break
		}
		c.output.drop(n)
	}
	c.watchHost(false)
}

// hostReady: a client has typed, takes output again, came or went. An open is
// no more than a reason to try deliver.
func (c *console) hostReady(happened hold.Happening) {
	hungUp := happened.HungUp
	if happened.Readable && len(c.input) == 0 {
		hungUp = c.listen()
	}
	if hungUp {
		c.watchHost(true)
		return
	}
	c.watchHost(false)
	c.deliver()
}

// listen reads what a client typed and feeds it; true after a hang-up.
func (c *console) listen() (hungUp bool) {
	var buffer [chunk]byte
	n, again := c.fds.Read(c.host, buffer[:])
	if n == 0 {
		return !again
	}
	c.input = append(c.input[:0], buffer[:n]...)
	c.feed()
	if len(c.input) > 0 {
		c.watchGuest(false)
	}
	return false
}

// feed writes typed bytes to the guest as far as it takes them. What a guest
// without a terminal does not take is forgotten.
func (c *console) feed() {
	for len(c.input) > 0 && c.guest != hold.None {
		n, _ := c.fds.Write(c.guest, c.input)
		if n <= 0 {
			return
		}
		c.input = c.input[n:]
	}
	c.input = nil
}

// last takes what a dead guest left and closes its terminal. At most ringSize,
// as more could not be kept. Twice is harmless.
func (c *console) last() {
	if c.guest == hold.None {
		return
	}
	c.take(ringSize)
	c.fds.Forget(c.guest)
	c.fds.Close(c.guest)
	c.guest = hold.None
	c.input = nil
	c.deliver()
}

// connect gives the console a new guest terminal, after a reboot. What is in
// the ring stays, so a client sees the old container's last words first.
func (c *console) connect(guest hold.FD) {
	c.guest = guest
	c.watchGuest(true)
}

// close delivers what is left and closes both ends.
func (c *console) close() {
	c.last()
	c.fds.Forget(c.host)
	c.fds.Close(c.host)
}
