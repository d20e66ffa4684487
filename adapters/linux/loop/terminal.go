package loop

import (
	"encoding/binary"
	"strconv"

	"golang.org/x/sys/unix"

	"virtlxcd/ports/hold"
)

// WatchOpens implements hold.Descriptors. A master is not told when its slave
// is opened, so the slave's node is watched. A master whose slave was never
// open does not count as hung up yet: opening it once settles that.
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

// eventSize is the size of struct inotify_event without a name.
const eventSize = 16

// opened tells of terminals that were opened.
func (l *Loop) opened(dispatch func(hold.FD, hold.Happening)) {
	var buffer [64 * eventSize]byte
	n, _ := l.Read(hold.FD(l.inotify), buffer[:])
	for at := 0; at+eventSize <= n; {
		watch := int32(binary.NativeEndian.Uint32(buffer[at:]))
		name := int(binary.NativeEndian.Uint32(buffer[at+12:]))
		if terminal, known := l.opens[watch]; known {
			dispatch(terminal, hold.Happening{Opened: true})
		}
		at += eventSize + name
	}
}
