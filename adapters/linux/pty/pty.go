// Package pty opens pseudo terminals of the host: the controller holds the
// master, clients' streams are attached to the slave by its path (pty(7), pts(4)).
package pty

import (
	"context"
	"errors"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// Terminals is the ports.Terminals of the host. It holds nothing: what it opens is the
// caller's. It may be used from any goroutine.
type Terminals struct{}

var _ ports.Terminals = Terminals{}

// New returns the terminals of the host.
func New() Terminals { return Terminals{} }

// Open makes the terminal raw through the master, which sets the one line
// discipline both ends share. The slave is not opened for that: a slave that
// was opened and closed shows as a hang-up on the master, one that never was
// does not.
//
// The master stays non-blocking when its descriptor is passed on. The terminal goes
// when master and slaves are closed; its number may come back then. System with the
// errno if there are no terminals left (ENOSPC, kernel.pty.max), Aborted or Timeout if
// ctx has ended: opening itself does not wait.
func (Terminals) Open(ctx context.Context) (ports.Terminal, error) {
	if err := goingOn(ctx); err != nil {
		return ports.Terminal{}, err
	}
	fd, err := openRetry("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK)
	if err != nil {
		return ports.Terminal{}, fault.Wrap(err, fault.System, "cannot open a terminal")
	}
	number, err := prepare(fd)
	if err != nil {
		unix.Close(fd)
		return ports.Terminal{}, fault.Wrap(err, fault.System, "cannot set up a terminal")
	}
	path := "/dev/pts/" + strconv.FormatUint(uint64(number), 10)
	return ports.Terminal{Master: os.NewFile(uintptr(fd), "master of "+path), Path: path}, nil
}

// prepare makes the terminal raw, lets the slave be opened, and returns its number.
func prepare(master int) (number uint32, err error) {
	settings, err := unix.IoctlGetTermios(master, unix.TCGETS)
	if err != nil {
		return 0, err
	}
	makeRaw(settings)
	if err := unix.IoctlSetTermios(master, unix.TCSETS, settings); err != nil {
		return 0, err
	}
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return 0, err
	}
	return unix.IoctlGetUint32(master, unix.TIOCGPTN)
}

// makeRaw does what cfmakeraw(3) does: bytes pass as they are, one by one.
func makeRaw(t *unix.Termios) {
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
}

// Attach refuses what is not a terminal: opening a pipe or a device of another
// kind could wait or do worse. UnsupportedConfig then. NotFound if nothing is at path
// any more, or nobody let the slave be opened; System otherwise. The stream is the
// caller's; several may be attached to one terminal and share what comes out of it.
// Closing it twice is os.ErrClosed.
func (Terminals) Attach(ctx context.Context, path string) (io.ReadWriteCloser, error) {
	if err := goingOn(ctx); err != nil {
		return nil, err
	}
	var info unix.Stat_t
	if err := unix.Stat(path, &info); err != nil {
		return nil, fault.Wrap(err, kindOf(err), "cannot find terminal '%s'", path)
	}
	if info.Mode&unix.S_IFMT != unix.S_IFCHR || !isSlave(info.Rdev) {
		return nil, fault.New(fault.UnsupportedConfig, fault.Console, "'%s' is not a terminal", path)
	}
	fd, err := openRetry(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK)
	if err != nil {
		return nil, fault.Wrap(err, kindOf(err), "cannot open terminal '%s'", path)
	}
	return &stream{file: os.NewFile(uintptr(fd), path)}, nil
}

// isSlave knows the major numbers that Linux reserves for slaves
// (admin-guide/devices.txt, "Unix98 PTY slaves").
func isSlave(device uint64) bool {
	major := unix.Major(device)
	return major >= 136 && major <= 143
}

// openRetry opens again when a signal came in between.
func openRetry(path string, flags int) (int, error) {
	for {
		fd, err := unix.Open(path, flags, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// kindOf: a slave whose master is gone answers EIO or has no path any more.
func kindOf(err error) fault.Kind {
	for _, errno := range []error{unix.ENOENT, unix.ENXIO, unix.EIO} {
		if errors.Is(err, errno) {
			return fault.NotFound
		}
	}
	return fault.System
}

// goingOn tells a context that has ended: Timeout if it was its deadline, else Aborted.
func goingOn(ctx context.Context) error {
	switch err := ctx.Err(); {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(err, fault.Timeout, "the terminal was not opened in time")
	default:
		return fault.Wrap(err, fault.Aborted, "the terminal was not opened")
	}
}

// stream is a slave. The runtime's poller waits for it, so Close unblocks Read
// and Write.
type stream struct{ file *os.File }

// Read ends with io.EOF when the master is closed, which the kernel tells as an
// empty read or as EIO, depending on when one asks.
func (s *stream) Read(b []byte) (int, error) {
	n, err := s.file.Read(b)
	if errors.Is(err, unix.EIO) {
		return n, io.EOF
	}
	return n, err
}

// Write waits while the terminal is full and nobody reads the master. EIO once the
// master is closed.
func (s *stream) Write(b []byte) (int, error) { return s.file.Write(b) }

// Close unblocks Read and Write, which then fail with os.ErrClosed.
func (s *stream) Close() error { return s.file.Close() }
