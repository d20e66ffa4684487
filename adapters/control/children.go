package control

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// children reaps controllers that end while the daemon that started them lives.
// The others become init's.
type children struct {
	mu     sync.Mutex // guards all and closed
	all    map[*os.File]bool
	closed bool
	work   sync.WaitGroup
}

// watch reaps process when it ends. It waits in Go's poller, not in a thread.
func (c *children) watch(process *os.Process) {
	fd, err := unix.PidfdOpen(process.Pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return // it stays a zombie until the daemon ends; nothing else is lost
	}
	pidfd := os.NewFile(uintptr(fd), "pidfd")
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		pidfd.Close()
		return
	}
	if c.all == nil {
		c.all = map[*os.File]bool{}
	}
	c.all[pidfd] = true
	c.work.Go(func() { c.await(pidfd, process) })
}

// await returns when the process was reaped or close was called.
func (c *children) await(pidfd *os.File, process *os.Process) {
	if raw, err := pidfd.SyscallConn(); err == nil {
		_ = raw.Read(func(uintptr) bool { // an error means close
			pid, err := unix.Wait4(process.Pid, nil, unix.WNOHANG, nil)
			return pid == process.Pid || err == unix.ECHILD
		})
	}
	c.mu.Lock()
	delete(c.all, pidfd)
	c.mu.Unlock()
	pidfd.Close()
	process.Release()
}

// close stops waiting.
func (c *children) close() {
	c.mu.Lock()
	c.closed = true
	for pidfd := range c.all {
		pidfd.Close()
	}
	c.mu.Unlock()
	c.work.Wait()
}
