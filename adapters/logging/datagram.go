package logging

import (
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// attempts is how often another goroutine may take the room that was waited for. With
// more, a record could wait for as long as others are quicker.
const attempts = 5

// datagrams sends to a socket that may come and go with its owner: journald and syslog
// daemons are restarted. It connects when there is something to send. Both receivers of
// records, journal and syslog, are reached by one. Safe from any goroutine: each datagram
// is one call of the kernel.
type datagrams struct {
	path string
	mu   sync.Mutex
	conn *os.File // nil: not connected
}

// send transmits one datagram, over a new connection if the old one is dead: once, as a
// second death means that nobody is there. A payload of nothing is for what is passed with
// it (control, as in cmsg(3)).
func (d *datagrams) send(payload, control []byte, patience time.Duration) error {
	conn, err := d.connection(nil)
	if err != nil {
		return err
	}
	err = transmit(conn, payload, control, patience)
	for _, dead := range []unix.Errno{unix.ECONNREFUSED, unix.ECONNRESET, unix.ENOTCONN, unix.EPIPE} {
		if errors.Is(err, dead) {
			if conn, err = d.connection(conn); err != nil {
				return err
			}
			return transmit(conn, payload, control, patience)
		}
	}
	return err
}

// connection gives the current one, never the dead one. Connecting to such a
// socket never waits, so the lock may be held. Two senders may find the same one dead:
// the first makes a new one, the second gets it.
func (d *datagrams) connection(dead *os.File) (*os.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn != nil && d.conn != dead {
		return d.conn, nil
	}
	if d.conn != nil {
		_ = d.conn.Close() // nothing is kept in it
		d.conn = nil
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: d.path}); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("connect", err)
	}
	d.conn = os.NewFile(uintptr(fd), d.path)
	return d.conn, nil
}

// transmit waits for room before it sends without waiting: a local datagram socket blocks
// for as long as its receiver sleeps. Others may take the room in between. Control keeps
// the descriptor from being closed, and its number from meaning another file, while it is
// used.
func transmit(conn *os.File, payload, control []byte, patience time.Duration) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		for range attempts {
			if failed = waitWritable(int(fd), patience); failed != nil {
				return
			}
			failed = os.NewSyscallError("sendmsg",
				unix.Sendmsg(int(fd), payload, control, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT))
			if !errors.Is(failed, unix.EAGAIN) && !errors.Is(failed, unix.EINTR) {
				return
			}
		}
	})
	if err != nil { // closed by another who found it dead
		return unix.ENOTCONN
	}
	return failed
}

// Close hangs up. What is sent later connects again.
func (d *datagrams) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn == nil {
		return nil
	}
	err := d.conn.Close()
	d.conn = nil
	return err
}
