package cgroup

import (
	"io"
	"strings"

	"golang.org/x/sys/unix"
)

// maxList bounds what is read of a file that lists something, in bytes. It is
// above the longest list of processes there can be: numbers end at 4194304
// (PID_MAX_LIMIT, proc_sys_kernel(5)), so no line is longer than eight bytes.
const maxList = 32 << 20

// again repeats a call that a signal interrupted: the runtime's own preemption sends
// them all the time, and not every system call is started again by the kernel
// (signal(7)).
func again[T any](call func() (T, error)) (T, error) {
	for {
		result, err := call()
		if err != unix.EINTR {
			return result, err
		}
	}
}

// openAt opens past the runtime's poller: control files do not block, and a *os.File
// for each would cost more than the call. The caller closes.
func openAt(path string, flags int) (int, error) {
	return again(func() (int, error) { return unix.Open(path, flags|unix.O_CLOEXEC, 0) })
}

// readSmall reads a control file of known size into buf, and no more than fits. The
// error of this and all functions here is an errno.
func readSmall(path string, buf []byte) ([]byte, error) {
	fd, err := openAt(path, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	n, err := again(func() (int, error) { return unix.Read(fd, buf) })
	if err != nil {
		return nil, err
	}
	return buf[:n], nil
}

// readValue reads a one-line file, without the blanks around. 4096 bytes are the most
// that the kernel writes into one that is not made line by line.
func readValue(path string) (string, error) {
	var buf [4096]byte
	text, err := readSmall(path, buf[:])
	return strings.TrimSpace(string(text)), err
}

// readList reads a file that may be long, all of it or nothing: a list cut in the
// middle of a number would name a process that was never in it. EFBIG beyond
// maxList.
func readList(path string) (string, error) {
	fd, err := openAt(path, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var text []byte
	chunk := make([]byte, 16<<10)
	for len(text) <= maxList {
		n, err := again(func() (int, error) { return unix.Read(fd, chunk) })
		if err != nil {
			return "", err
		}
		if n == 0 {
			return string(text), nil
		}
		// The kernel gives as much as fits a page, so there are many reads.
		text = append(text, chunk[:n]...)
	}
	return "", unix.EFBIG
}

// writeValue writes a control file in one call: each is a command. The kernel's refusal
// of the value is the error of the write: EINVAL, EBUSY and so on.
func writeValue(path, value string) error {
	fd, err := openAt(path, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return writeAll(fd, value)
}

// writeAll makes one call and no second: half a command is another command. fd is the
// caller's.
func writeAll(fd int, value string) error {
	n, err := again(func() (int, error) { return unix.Write(fd, []byte(value)) })
	if err == nil && n != len(value) {
		err = io.ErrShortWrite
	}
	return err
}

// swapValue writes value and returns what was there before, also when the write is
// refused.
func swapValue(path, value string) (string, error) {
	fd, err := openAt(path, unix.O_RDWR)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var buf [4096]byte
	n, err := again(func() (int, error) { return unix.Pread(fd, buf[:], 0) })
	if err != nil {
		return "", err
	}
	_, err = again(func() (int, error) { return unix.Pwrite(fd, []byte(value), 0) })
	return strings.TrimSpace(string(buf[:n])), err
}

// exists is false too for what cannot be looked at. It asks for no right but to reach the
// path.
func exists(path string) bool { return unix.Access(path, unix.F_OK) == nil }
