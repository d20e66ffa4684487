package cgroup

import (
	"io"
	"strings"

	"golang.org/x/sys/unix"
)

// maxList bounds what is read of a file that lists something: a million
// processes.
const maxList = 8 << 20

// again repeats a call that a signal interrupted.
func again[T any](call func() (T, error)) (T, error) {
	for {
		result, err := call()
		if err != unix.EINTR {
			return result, err
		}
	}
}

func openAt(path string, flags int) (int, error) {
	return again(func() (int, error) { return unix.Open(path, flags|unix.O_CLOEXEC, 0) })
}

// readSmall reads a control file of known size into buf.
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

// readValue reads a one-line file.
func readValue(path string) (string, error) {
	var buf [4096]byte
	text, err := readSmall(path, buf[:])
	return strings.TrimSpace(string(text)), err
}

// readList reads a file that may be long.
func readList(path string) (string, error) {
	fd, err := openAt(path, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var text []byte
	chunk := make([]byte, 16<<10)
	for len(text) < maxList {
		n, err := again(func() (int, error) { return unix.Read(fd, chunk) })
		if err != nil {
			return "", err
		}
		if n == 0 {
			break
		}
		text = append(text, chunk[:n]...)
	}
	return string(text), nil
}

// writeValue writes a control file in one call: each is a command.
func writeValue(path, value string) error {
	fd, err := openAt(path, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return writeAll(fd, value)
}

func writeAll(fd int, value string) error {
	n, err := again(func() (int, error) { return unix.Write(fd, []byte(value)) })
	if err == nil && n != len(value) {
		err = io.ErrShortWrite
	}
	return err
}

// swapValue writes value and returns what was there before.
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

func exists(path string) bool { return unix.Access(path, unix.F_OK) == nil }
