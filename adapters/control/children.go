package control

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// children reaps controllers that end while the daemon that started them lives.
// The others become init's. The zero value is ready. A controller is watched by one
// goroutine, which costs no thread: it waits in the poller.
// Reaping matters only for that: a zombie keeps its pid and its place in the group.
type children struct {
	mu     sync.Mutex // guards all and closed
	all    map[int]*child
	closed bool
	work   sync.WaitGroup
}

// child is a controller process, by its pid.
type child struct {
	process *os.Process
	pidfd   *os.File
	leaving bool          // holds nothing and was hung up on: it ends by itself
	reaped  chan struct{} // closed when nobody waits for it any more
}

// watch reaps process when it ends. It waits in Go's poller, not in a thread, on a
// pidfd that does not block (pidfd_open(2)). After close it does nothing.
// From here on nobody else may wait for the process.
func (c *children) watch(process *os.Process) {
	fd, err := unix.PidfdOpen(process.Pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return // it stays a zombie until the daemon ends; nothing else is lost
	}
	one := &child{process: process, pidfd: os.NewFile(uintptr(fd), "pidfd"), reaped: make(chan struct{})}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		one.pidfd.Close()
		return
	}
	if c.all == nil {
		c.all = map[int]*child{}
	}
	c.all[process.Pid] = one
	c.work.Go(func() { c.await(one) })
}

// await returns when the process was reaped or close was called.
// The poller calls the function once at the start and then when the pidfd is readable.
func (c *children) await(one *child) {
	defer close(one.reaped)
	pid := one.process.Pid
	if raw, err := one.pidfd.SyscallConn(); err == nil {
		_ = raw.Read(func(uintptr) bool { // an error means close
			got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil)
			return got == pid || err == unix.ECHILD
		})
	}
	c.mu.Lock()
	delete(c.all, pid)
	c.mu.Unlock()
	one.pidfd.Close()
	one.process.Release()
}

// leave says that a controller holds nothing any more and was hung up on. One that
// was not started by this daemon is unknown here.
// It must be told before the hang-up, or close could see the process as one that stays.
func (c *children) leave(pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one := c.all[pid]; one != nil {
		one.leaving = true
	}
}

// leaveLimit is how long close waits for controllers that are about to end.
const leaveLimit = 2 * time.Second

// close waits for those that are about to end, so that their control group can
// be removed, and stops waiting for the others.
// The limit is for all of them together. Closing a pidfd wakes its goroutine.
func (c *children) close() {
	late := time.NewTimer(leaveLimit)
	defer late.Stop()
	for _, one := range c.shut() {
		select {
		case <-one.reaped:
		case <-late.C:
		}
	}
	c.mu.Lock()
	for _, one := range c.all {
		one.pidfd.Close()
	}
	c.mu.Unlock()
	c.work.Wait()
}

// shut lets no more in and returns who is about to end.
// Those that hold containers are meant to outlive the daemon and are not returned.
func (c *children) shut() (leaving []*child) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, one := range c.all {
		if one.leaving {
			leaving = append(leaving, one)
		}
	}
	return leaving
}
