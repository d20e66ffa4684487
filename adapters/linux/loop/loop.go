// Package loop is the controller's event loop: epoll for what can be polled,
// inotify for the opening of terminals (epoll(7), inotify(7)).
//
// It is linked into the controller and therefore uses raw system calls only: the
// runtime's poller, os and net would make every controller larger. For the same
// reason there is no wake-up from outside: whatever the controller reacts to, the
// death of a child among it, arrives on some descriptor.
package loop

import (
	"golang.org/x/sys/unix"

	"virtlxcd/domain/launch/step"
	"virtlxcd/ports/hold"
)

// Loop implements hold.Descriptors. It belongs to one goroutine, takes over no
// descriptor it is given, and lasts as long as its process: there is no Close.
type Loop struct {
	epoll   int
	inotify int
	// Events asked for, as epoll_ctl(2) has them. Also tells descriptors that were
	// forgotten in the round that is being dispatched.
	watched map[hold.FD]uint32
	opens   map[int32]hold.FD // inotify watch -> terminal
	load    func(plan int) (*step.Script, bool)
}

// New makes a loop that watches nothing yet. load reads a script from sealed
// memory and answers Load. The error is an errno; nothing is open then.
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

// Run waits for events and dispatches them until goOn says no, which is asked
// before each round: up to 32 events may be dispatched in between. It waits without
// limit, and a signal only makes it ask goOn again. dispatch may watch, forget and
// close whatever it likes, and must not block. Run fails, with an errno, only when
// epoll itself does; the loop cannot be used any more then.
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

// happening: a hang-up and an error are told whether asked for or not
// (epoll_ctl(2)), and are one to the controller: the other side is gone.
func happening(events uint32) hold.Happening {
	return hold.Happening{
		Readable: events&unix.EPOLLIN != 0,
		Writable: events&unix.EPOLLOUT != 0,
		HungUp:   events&(unix.EPOLLHUP|unix.EPOLLERR) != 0,
	}
}

// Watch implements hold.Descriptors. Asking for the same again does nothing: a
// change would tell an edge once more. The first call makes fd non-blocking, which
// counts for everybody who shares it. A descriptor that cannot be waited for (a
// plain file) is never told of; Forget it like any other.
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

// Forget implements hold.Descriptors. It comes before Close: the number may come
// back as that of another descriptor. Events of this round that were not dispatched
// yet are dropped. Forgetting what is not watched does nothing.
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

// Close implements hold.Descriptors. It does not forget.
func (l *Loop) Close(fd hold.FD) {
	if fd != hold.None {
		unix.Close(int(fd))
	}
}

// Load implements hold.Descriptors, by what New was given.
func (l *Loop) Load(plan hold.FD) (*step.Script, bool) { return l.load(int(plan)) }

// Read implements hold.Descriptors. A terminal whose other end is closed answers
// EIO (pty(7)): the end, as is every error but EAGAIN.
func (l *Loop) Read(fd hold.FD, into []byte) (n int, again bool) {
	return transfer(unix.Read, fd, into)
}

// Write implements hold.Descriptors. An error, EPIPE among them, is n 0 without
// again; the runtime keeps SIGPIPE away (os/signal).
func (l *Loop) Write(fd hold.FD, from []byte) (n int, again bool) {
	return transfer(unix.Write, fd, from)
}

// transfer makes one call, again if a signal came in between.
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
