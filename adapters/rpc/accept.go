package rpc

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/access"
)

// Backlog bounds how many clients may wait before they are accepted, also on a socket
// that somebody else has made. The kernel makes others wait or, if they do not want to,
// turns them away. It has a bound of its own.
// See listen(2): calling it again on a socket that listens changes the bound alone. The
// kernel's own is net.core.somaxconn.
func Backlog(listener net.Listener, clients int) error {
	local, ok := listener.(*net.UnixListener)
	if !ok {
		return fmt.Errorf("no backlog on a %T", listener)
	}
	raw, err := local.SyscallConn()
	if err != nil {
		return err
	}
	var failure error
	err = raw.Control(func(fd uintptr) { failure = unix.Listen(int(fd), clients) })
	return errors.Join(err, os.NewSyscallError("listen", failure))
}

// pause is how long a socket is left alone when there are no descriptors left.
// Clients wait in the backlog meanwhile.
const pause = 5 * time.Second

// Serve accepts clients until the listener fails or the server closes (then it
// returns nil). The server owns the listener. It may run for several listeners at
// the same time.
// It fails with the listener's error. Before it returns the listener is closed; clients
// that it has accepted are served on, and waited for by Close.
func (s *Server) Serve(listener net.Listener, socket Socket) error {
	if !s.clients.begin(&s.work) {
		listener.Close()
		return errClosed
	}
	defer s.work.Done()
	defer listener.Close()
	if !s.clients.listen(listener) {
		return nil
	}
	defer s.clients.unlisten(listener)
	return s.acceptLoop(listener, socket)
}

// acceptLoop admits one client at a time: a client without a place keeps the others
// in the socket's backlog.
func (s *Server) acceptLoop(listener net.Listener, socket Socket) error {
	exhausted := false
	for {
		conn, err := listener.Accept()
		switch {
		case err == nil:
			exhausted = false
			if !s.accepted(conn, socket) {
				return nil
			}
		case s.clients.over():
			return nil
		case isExhaustion(err):
			if !exhausted {
				s.log.Error("cannot accept clients for now", "error", err)
			}
			exhausted = true
			s.rest()
		case !errors.Is(err, syscall.ECONNABORTED):
			return err
		}
	}
}

// accepted serves a new client in a goroutine; false if the server closes.
func (s *Server) accepted(conn net.Conn, socket Socket) bool {
	caller, err := s.identify(conn)
	if err != nil {
		s.log.Warn("client turned away", "error", err)
		conn.Close()
		return true
	}
	if !s.enter(socket) {
		conn.Close()
		return false
	}
	s.work.Go(func() { s.serveEntered(conn, caller, socket) })
	return true
}

// identify says who connected, and asks whether they may come in at all. A client is
// turned away without an answer, as it has asked nothing yet.
func (s *Server) identify(conn net.Conn) (access.Caller, error) {
	caller, err := peer(conn)
	if err == nil && s.options.Admit != nil {
		err = s.options.Admit(caller)
	}
	return caller, err
}

// rest waits for the pause or the server's end.
func (s *Server) rest() {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.ctx.Done():
	}
}

// isExhaustion tells what passes when somebody else gives something back.
func isExhaustion(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) ||
		errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.ENOBUFS)
}
