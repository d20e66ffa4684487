package stage

import (
	"runtime"

	"golang.org/x/sys/unix"

	"virtlxcd/ports/hold"
)

// Network implements hold.Kernel. The namespace is made by a thread that dies
// of it: its goroutine ends locked.
func (k *Kernel) Network() hold.FD {
	made := make(chan hold.FD)
	go func() {
		runtime.LockOSThread()
		made <- newNetwork()
	}()
	return <-made
}

func newNetwork() hold.FD {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return hold.None
	}
	fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return hold.None
	}
	return hold.FD(fd)
}
