package fakes

import (
	"os"
	"syscall"
)

// pair returns two connected ends that carry bytes both ways, as the two ends of a raw
// terminal do. A socket pair stands for a pseudoterminal since it needs no /dev/pts and
// no rights, and since the runtime can wait for it: closing one end unblocks the other.
// What it cannot do, echo and signals, a raw terminal does not do either.
func pair() (master, slave *os.File, err error) {
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(ends[0]), "fake master"), os.NewFile(uintptr(ends[1]), "fake slave"), nil
}

// duplicate returns a file of its own for the same end: closing it unblocks its readers
// and no others. The fork lock keeps a process that is forked meanwhile from inheriting
// it, as dup(2) cannot set close-on-exec by itself. O_NONBLOCK is of the open file, so
// the duplicate has it too.
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
