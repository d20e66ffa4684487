// Package endpoint is the controller's end of the control socket: it listens,
// serves one daemon at a time and turns packets into messages.
//
// It is linked into the controller and therefore uses raw system calls only.
package endpoint

import (
	"golang.org/x/sys/unix"

	"virtlxcd/adapters/control/wire"
	"virtlxcd/ports/hold"
)

// Handler is what serves the daemon. Its methods are called from Ready.
// It must not call Ready, and may call Send.
type Handler interface {
	// Handle owns the message and its descriptors.
	Handle(*hold.Message)
	// DaemonFound is called when one has connected; not for the first, which New
	// was given.
	DaemonFound()
	// DaemonLost is called when one has hung up, or was hung up on, and before
	// DaemonFound of its successor.
	DaemonLost()
}

// Endpoint implements hold.Daemon. It belongs to one goroutine.
// The buffers are used again for each message, so that serving allocates little.
type Endpoint struct {
	fds      hold.Descriptors
	handler  Handler
	listener hold.FD
	daemon   hold.FD
	packet   [wire.Size + 1]byte
	out      []byte
	outFiles []int
}

// New owns both descriptors, which do not block. It serves on a listening socket, and at first on the connection first, which
// the daemon that started this process made.
func New(listener, first hold.FD, fds hold.Descriptors) *Endpoint {
	return &Endpoint{fds: fds, listener: listener, daemon: first}
}

// Serve starts: from now on Ready takes events. To be called once.
func (e *Endpoint) Serve(handler Handler) {
	e.handler = handler
	for _, fd := range [...]hold.FD{e.listener, e.daemon} {
		e.fds.Watch(fd, hold.Interest{Read: true})
	}
}

// Connected says whether a daemon is there; one that has died is until Ready has
// seen its end.
func (e *Endpoint) Connected() bool { return e.daemon != hold.None }

// Send implements hold.Daemon. It never waits: for a daemon that does not read it
// is as if none were there.
// After a false reports are repeated to the next daemon; a reply is lost with the one
// that asked.
func (e *Endpoint) Send(m *hold.Message) bool {
	if e.daemon == hold.None {
		return false
	}
	e.out, e.outFiles = wire.Append(e.out[:0], e.outFiles[:0], m)
	return wire.Send(int(e.daemon), e.out, e.outFiles) == nil
}

// Ready deals with an event on a descriptor of the endpoint; false if it is
// not one of its own.
func (e *Endpoint) Ready(fd hold.FD) bool {
	switch fd {
	case e.listener:
		e.accept()
	case e.daemon:
		e.receive()
	default:
		return false
	}
	return true
}

// accept lets a daemon in. A new one takes the place of the old one, whose end
// may just not have been seen yet: only one can hold the driver's lock. Only the
// same user may connect (SO_PEERCRED of unix(7)); the socket's mode says so too.
// A connection that is gone again before it was taken in is no error.
func (e *Endpoint) accept() {
	fd, _, err := unix.Accept4(int(e.listener), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
	if err != nil {
		return
	}
	if peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED); err != nil || int(peer.Uid) != unix.Geteuid() {
		unix.Close(fd)
		return
	}
	e.hangUp()
	e.daemon = hold.FD(fd)
	e.fds.Watch(e.daemon, hold.Interest{Read: true})
	e.handler.DaemonFound()
}

// receive handles one message; the next one raises a new event.
// A message that does not decode ends the connection, as package wire asks for.
func (e *Endpoint) receive() {
	n, fds, err := wire.Receive(int(e.daemon), e.packet[:])
	if err == unix.EAGAIN {
		return
	}
	if err == nil && n > 0 {
		m, foreign := wire.Decode(e.packet[:n], fds)
		if foreign == nil {
			e.handler.Handle(m)
			return
		}
	}
	for _, fd := range fds {
		unix.Close(fd)
	}
	e.hangUp()
}

// hangUp ends the connection, if there is one.
// DaemonLost comes last, when Connected is false already.
func (e *Endpoint) hangUp() {
	if e.daemon == hold.None {
		return
	}
	e.fds.Forget(e.daemon)
	e.fds.Close(e.daemon)
	e.daemon = hold.None
	e.handler.DaemonLost()
}
