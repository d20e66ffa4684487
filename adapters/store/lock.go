package store

import (
	"errors"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
)

// lock is a pid file with a POSIX write lock on it: the kernel drops it when
// the process ends, however it ends, and tells others who holds it. Nothing in
// this process may open and close the file meanwhile; that would drop it too.
// settings.PIDFile is its like for the daemon as a whole; this one guards State,
// whichever pid file the daemon was given.
type lock struct {
	file *os.File
	path string
}

// acquire does not wait. Somebody who is just leaving may unlink the file after
// it was opened here; the lock would then be on a file without a name, so it
// starts over. O_NOFOLLOW: State may be written by root alone, but a link put there would
// have another file overwritten. Busy if it is held, System else.
func acquire(path string) (*lock, error) {
	for {
		// Created if it is missing, never truncated: it may hold the pid of who has it
		// locked.
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o644)
		if err != nil {
			return nil, fault.Wrap(err, fault.System, "cannot open the lock of the state directory")
		}
		l := &lock{file: f, path: path}
		current, err := l.take()
		if err == nil && current {
			return l, nil
		}
		if closeErr := f.Close(); err != nil {
			return nil, errors.Join(err, closeErr)
		}
	}
}

// take locks the file and writes the pid; false if it is not at its path any more. Only
// after the lock is there any use in looking at the path: before, it could still be
// unlinked by the one who holds it.
func (l *lock) take() (current bool, err error) {
	if err := l.lock(); err != nil {
		return false, err
	}
	here, err := l.file.Stat()
	if err != nil {
		return false, fault.Wrap(err, fault.System, "cannot lock the state directory")
	}
	there, err := os.Lstat(l.path)
	if err != nil || !os.SameFile(here, there) {
		return false, nil
	}
	if err := l.write(); err != nil {
		return false, fault.Wrap(err, fault.System, "cannot write '%s'", l.path)
	}
	return true, nil
}

// lock takes the whole file and with it byte 0, which other drivers of this interface lock:
// neither kind gets in beside the other. It does not wait. EAGAIN and EACCES both mean
// that it is held (fcntl(2)). Whoever held it may have gone before F_GETLK asks for the
// pid.
func (l *lock) lock() error {
	whole := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	err := unix.FcntlFlock(l.file.Fd(), unix.F_SETLK, &whole)
	if err == nil {
		return nil
	}
	if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES) {
		return fault.Wrap(err, fault.System, "cannot lock '%s'", l.path)
	}
	// Asking tells the holder's pid as seen from here, 0 from within another pid
	// namespace.
	holder := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	who := "another process"
	if unix.FcntlFlock(l.file.Fd(), unix.F_GETLK, &holder) == nil && holder.Type != unix.F_UNLCK && holder.Pid > 0 {
		who = "process " + strconv.Itoa(int(holder.Pid))
	}
	return fault.Wrap(err, fault.Busy, "another daemon (%s) uses the state directory: '%s' is locked", who, l.path)
}

// write replaces a longer number that a dead daemon may have left. Readers find a number
// or an empty file; the lock is what counts.
func (l *lock) write() error {
	if err := l.file.Chmod(0o644); err != nil {
		return err
	}
	// Truncated only now that nobody else has it.
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err := l.file.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0)
	return err
}

// release unlinks before it unlocks, so that nobody can lock a file that is
// about to lose its name without noticing.
func (l *lock) release() error {
	err := absentIsFine(os.Remove(l.path))
	if err = errors.Join(err, l.file.Close()); err != nil {
		return fault.Wrap(err, fault.System, "cannot release '%s'", l.path)
	}
	return nil
}
