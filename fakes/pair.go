package fakes

import (
	"os"
	"syscall"
)

// pair returns two connected ends that carry bytes both ways, as the two ends
// of a raw terminal do.
func pair() (master, slave *os.File, err error) {
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(ends[0]), "fake master"), os.NewFile(uintptr(ends[1]), "fake slave"), nil
}

// duplicate returns a file of its own for the same end: closing it unblocks its
// readers and no others.
func duplicate(file *os.File) (*os.File, error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	var failure error
	if err := raw.Control(func(original uintptr) {
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		if fd, failure = syscall.Dup(int(original)); failure == nil {
			syscall.CloseOnExec(fd)
		}
	}); err != nil {
		return nil, err
	}
	if failure != nil {
		return nil, failure
	}
	return os.NewFile(uintptr(fd), file.Name()), nil
}
