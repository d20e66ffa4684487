package control

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// newNetwork makes a network namespace, nil where that fails: the controller
// then makes one with the container, which takes longer. The thread that made
// it dies of it, because its goroutine ends locked.
// The caller closes the file; the namespace goes when nobody has it open or is in it.
func newNetwork() *os.File {
	made := make(chan *os.File, 1)
	go func() {
		runtime.LockOSThread()
		made <- unshareNetwork()
	}()
	return <-made
}

// unshareNetwork moves this thread alone (unshare(2)); the namespace lives on in
// the descriptor.
// The file is that of the thread, not of the process, which stays in the host's network.
func unshareNetwork() *os.File {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil
	}
	file, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil
	}
	return file
}
