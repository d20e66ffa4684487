package loop

import (
	"encoding/binary"
	"strconv"

	"golang.org/x/sys/unix"

	"virtlxcd/ports/hold"
)

// WatchOpens implements hold.Descriptors. A master is not told when its slave
// is opened, so the slave's node is watched. A master whose slave was never
// open does not count as hung up yet (pty(7)): opening it once settles that, and is
// not told because it comes before the watch. TIOCGPTPEER opens the slave whatever
// is mounted where its path should be (ioctl_tty(2)); inotify needs the path.
//
// Where the watch is refused (max_user_watches, or a terminal of another instance
// of devpts) nothing is told; only Attached shows then whether somebody came.
func (l *Loop) WatchOpens(master hold.FD) {
	slave, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno == 0 {
		unix.Close(int(slave))
	}
	number, err := unix.IoctlGetInt(int(master), unix.TIOCGPTN)
	if err != nil {
		return
	}
	watch, err := unix.InotifyAddWatch(l.inotify, "/dev/pts/"+strconv.Itoa(number), unix.IN_OPEN)
	if err != nil {
		return
	}
	l.opens[int32(watch)] = master
}

// Attached implements hold.Descriptors: a master whose slave nobody has open is
// hung up. A signal that is pending interrupts poll(2) even without a timeout,
// and only when there is nothing to tell: taken for a hang-up, it would keep
// output from a client who waits for it.
func (l *Loop) Attached(master hold.FD) bool {
	poll := []unix.PollFd{{Fd: int32(master)}}
	for {
		_, err := unix.Poll(poll, 0)
		if err != unix.EINTR {
			return err == nil && poll[0].Revents&unix.POLLHUP == 0
		}
	}
}

// eventSize is the size of struct inotify_event without a name (inotify(7)).
const eventSize = 16

// opened tells of terminals that were opened. One read is enough: while more is
// there, epoll tells again.
func (l *Loop) opened(dispatch func(hold.FD, hold.Happening)) {
	var buffer [64 * eventSize]byte
	n, _ := l.Read(hold.FD(l.inotify), buffer[:])
	l.tell(buffer[:n], dispatch)
}

// tell decodes what inotify says, one event after the other: watch, mask, cookie
// and the length of the name that follows, each 32 bits. The kernel passes whole
// events only; what is cut short is dropped.
//
// Besides openings it says when a watch is over (IN_IGNORED, as the node goes with
// its terminal), which is no opening, and when it had to leave something out
// (IN_Q_OVERFLOW): then any terminal may have been opened, so all are looked at.
func (l *Loop) tell(events []byte, dispatch func(hold.FD, hold.Happening)) {
	for len(events) >= eventSize {
		watch := int32(binary.NativeEndian.Uint32(events))
		mask := binary.NativeEndian.Uint32(events[4:])
		name := uint64(binary.NativeEndian.Uint32(events[12:]))
		switch terminal, known := l.opens[watch]; {
		case mask&unix.IN_Q_OVERFLOW != 0:
			for _, terminal := range l.opens { // one that is forgotten meanwhile does not come up
				dispatch(terminal, hold.Happening{Opened: true})
			}
		case known && mask&unix.IN_OPEN != 0:
			dispatch(terminal, hold.Happening{Opened: true})
		}
		events = events[eventSize:]
		events = events[min(name, uint64(len(events))):]
	}
}
