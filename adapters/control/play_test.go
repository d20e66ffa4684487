package control

import (
	"os"

	"golang.org/x/sys/unix"

	"virtlxcd/adapters/control/wire"
	"virtlxcd/ports/hold"
)

// What the test's own binary plays, by the name it is started under.
const (
	idle    = "idle"    // holds nothing: ends when it is hung up on
	unheard = "unheard" // once told something, it has a report: ends when told that it arrived
	holds   = "holds"   // once told something, it holds something: stays until it is killed
	dies    = "dies"    // ends at once and leaves its socket behind
)

// The descriptors that a controller is started with.
const (
	listenerFD = 3
	daemonFD   = 4
)

// play is a controller that knows Reclaim and Acknowledge.
func play(role, socket string) {
	if role == dies {
		return
	}
	told := false
	for daemon := daemonFD; !serve(daemon, role, &told); {
		unix.Close(daemon)
		wait(listenerFD)
		next, _, err := unix.Accept4(listenerFD, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		if err != nil {
			os.Exit(2)
		}
		daemon = next
	}
	unix.Unlink(socket)
}

// serve answers until the daemon is gone; over says whether that is the end. told
// is whether there was a message already.
func serve(daemon int, role string, told *bool) (over bool) {
	packet := make([]byte, wire.Size+1)
	for {
		wait(daemon)
		n, fds, err := wire.Receive(daemon, packet)
		if err == unix.EAGAIN {
			continue
		}
		m, foreign := wire.Decode(packet[:n], fds)
		if err != nil || n == 0 || foreign != nil {
			return role == idle || !*told
		}
		release(m)
		*told = true
		switch {
		case m.Kind == hold.Acknowledge && m.Number > 0 && role == unheard:
			return true
		case m.Kind == hold.Reclaim:
			reply, _ := wire.Append(nil, nil, &hold.Message{Kind: hold.Unknown, UUID: m.UUID, Files: hold.NoFiles()})
			_ = wire.Send(daemon, reply, nil)
		}
	}
}

func wait(fd int) {
	for {
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1); err != unix.EINTR {
			return
		}
	}
}
