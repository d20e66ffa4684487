// Package loop is the controller's event loop: epoll for what can be polled,
// inotify for the opening of terminals (epoll(7), inotify(7)).
//
// It is linked into the controller and therefore uses raw system calls only.
package loop

import (
	"golang.org/x/sys/unix"

	"virtlxcd/domain/launch/step"
	"virtlxcd/ports/hold"
)

// Loop implements hold.Descriptors. It belongs to one goroutine.
type Loop struct {
	epoll   int
	inotify int
	watched map[hold.FD]uint32 // events asked for
	opens   map[int32]hold.FD  // inotify watch -> terminal
	load    func(plan int) (*step.Script, bool)
}

// New makes a loop. load reads a script from sealed memory.
func New(load func(plan int) (*step.Script, bool)) (*Loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	inotify, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		unix.Close(epoll)
		return nil, err
	}
	l := &Loop{epoll: epoll, inotify: inotify, watched: map[hold.FD]uint32{}, opens: map[int32]hold.FD{}, load: load}
	l.Watch(hold.FD(inotify), hold.Interest{Read: true})
	return l, nil
}

// Run waits for events and dispatches them until goOn says no.
func (l *Loop) Run(dispatch func(hold.FD, hold.Happening), goOn func() bool) error {
	var events [32]unix.EpollEvent
	for goOn() {
		n, err := unix.EpollWait(l.epoll, events[:], -1)
		if err != nil && err != unix.EINTR {
			return err
		}
		for i := range max(n, 0) {
			fd := hold.FD(events[i].Fd)
			if _, still := l.watched[fd]; !still {
				continue // closed while an earlier event of this round was handled
			}
			if int(fd) == l.inotify {
				l.opened(dispatch)
				continue
			}
			dispatch(fd, happening(events[i].Events))
		}
	}
	return nil
}

func happening(events uint32) hold.Happening {
	return hold.Happening{
		Readable: events&unix.EPOLLIN != 0,
		Writable: events&unix.EPOLLOUT != 0,
		HungUp:   events&(unix.EPOLLHUP|unix.EPOLLERR) != 0,
	}
}

// Watch implements hold.Descriptors. Asking for the same again does nothing: a
// change would tell an edge once more.
func (l *Loop) Watch(fd hold.FD, want hold.Interest) {
	var events uint32
	if want.Read {
		events |= unix.EPOLLIN
	}
	if want.Write {
		events |= unix.EPOLLOUT
	}
	if want.Edge {
		events |= unix.EPOLLET
	}
	present, known := l.watched[fd]
	if known && present == events {
		return
	}
	change := unix.EPOLL_CTL_MOD
	if !known {
		change = unix.EPOLL_CTL_ADD
		unix.SetNonblock(int(fd), true) // whoever passed it on may have changed it
	}
	unix.EpollCtl(l.epoll, change, int(fd), &unix.EpollEvent{Events: events, Fd: int32(fd)})
	l.watched[fd] = events
}

// Forget implements hold.Descriptors.
func (l *Loop) Forget(fd hold.FD) {
	if _, known := l.watched[fd]; known {
		unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, int(fd), nil)
		delete(l.watched, fd)
	}
	for watch, terminal := range l.opens {
		if terminal == fd {
			unix.InotifyRmWatch(l.inotify, uint32(watch))
			delete(l.opens, watch)
		}
	}
}

// Close implements hold.Descriptors.
func (l *Loop) Close(fd hold.FD) {
	if fd != hold.None {
		unix.Close(int(fd))
	}
}

// Load implements hold.Descriptors.
func (l *Loop) Load(plan hold.FD) (*step.Script, bool) { return l.load(int(plan)) }

// Read implements hold.Descriptors.
func (l *Loop) Read(fd hold.FD, into []byte) (n int, again bool) {
	return transfer(unix.Read, fd, into)
}

// Write implements hold.Descriptors.
func (l *Loop) Write(fd hold.FD, from []byte) (n int, again bool) {
	return transfer(unix.Write, fd, from)
}

func transfer(call func(int, []byte) (int, error), fd hold.FD, bytes []byte) (n int, again bool) {
	for {
		n, err := call(int(fd), bytes)
		switch err {
		case nil:
			return n, false
		case unix.EINTR:
			continue
		}
		return 0, err == unix.EAGAIN
	}
}
