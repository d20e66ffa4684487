package settings

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
)

// PIDFile is a file that holds the pid of the one daemon that has it locked, for
// administrators and for programs that look whether a daemon runs.
// The kernel drops the lock with the process, so a leftover file locks nobody
// out. The lock is the process's (fcntl(2)): opening and closing the file
// elsewhere in it drops the lock, and a second AcquirePIDFile of the same
// process does not notice the first.
type PIDFile struct {
	file *os.File
	path string
}

// AcquirePIDFile makes and locks the file, 0644 whatever the umask is, with the
// directory if missing. It does not wait: Busy names the pid of who has it.
// InvalidArgument for what is no regular file, which stays as it is; a link at the path
// is not followed (System).
func AcquirePIDFile(path string) (*PIDFile, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fault.Wrap(err, fault.System, "cannot make the directory of pid file '%s'", path)
	}
	for {
		// O_NONBLOCK: a fifo at the path is refused below, and must not be waited for
		// here.
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o644)
		if err != nil {
			return nil, fault.Wrap(err, fault.System, "cannot open pid file '%s'", path)
		}
		p := &PIDFile{file: f, path: path}
		current, err := p.take()
		if err == nil && current {
			return p, nil
		}
		if closeErr := f.Close(); err != nil {
			return nil, errors.Join(err, closeErr)
		}
		// Its holder unlinked it between our open and our lock: once more.
	}
}

// take locks the file and writes into it; false if it is not at its path any more. The
// number has no newline at its end: that is how pid files of this interface are read. The
// lock comes first: of a file that was looked at without it the holder could take the
// name away a moment later.
func (p *PIDFile) take() (current bool, err error) {
	if err := p.lock(); err != nil {
		return false, err
	}
	here, err := p.file.Stat()
	if err != nil {
		return false, fault.Wrap(err, fault.System, "cannot look at pid file '%s'", p.path)
	}
	if !here.Mode().IsRegular() { // before anything is done to it: it may be /dev/null
		return false, fault.New(fault.InvalidArgument, fault.Host, "pid file '%s' is not a regular file", p.path)
	}
	if !p.named(here) {
		return false, nil
	}
	// Programs of other users read it, and the umask may have been narrower.
	err = p.file.Chmod(0o644)
	if err == nil {
		err = p.file.Truncate(0)
	}
	if err == nil {
		_, err = p.file.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0)
	}
	if err != nil {
		return false, fault.Wrap(err, fault.System, "cannot write pid file '%s'", p.path)
	}
	return true, nil
}

// named says whether the path still leads to the file that is locked. A path that cannot
// be looked at counts as gone.
func (p *PIDFile) named(locked os.FileInfo) bool {
	there, err := os.Lstat(p.path)
	return err == nil && os.SameFile(locked, there)
}

// lock takes byte 0 alone, as the other daemons of the interface do: programs that
// look for one ask about that byte (F_GETLK). F_SETLK fails with EAGAIN or EACCES if
// another process has it (fcntl(2)). The holder may be gone by the time F_GETLK asks for
// its pid; the error then names none.
func (p *PIDFile) lock() error {
	first := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Len: 1}
	err := unix.FcntlFlock(p.file.Fd(), unix.F_SETLK, &first)
	if err == nil {
		return nil
	}
	if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES) {
		return fault.Wrap(err, fault.System, "cannot lock pid file '%s'", p.path)
	}
	holder := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Len: 1}
	who := "another process"
	if unix.FcntlFlock(p.file.Fd(), unix.F_GETLK, &holder) == nil && holder.Type != unix.F_UNLCK && holder.Pid > 0 {
		who = "process " + strconv.Itoa(int(holder.Pid))
	}
	return fault.Wrap(err, fault.Busy, "another daemon (%s) runs: '%s' is locked", who, p.path)
}

// Close unlinks the file, then unlocks it: in the other order a daemon that starts
// could lock the file and lose its name. A file that somebody else put at the path
// stays: it may be another daemon's. System; the lock is gone in any case.
func (p *PIDFile) Close() error {
	locked, err := p.file.Stat()
	// Unlinked while it is locked: who opened it meanwhile sees by named that it has
	// gone.
	if err == nil && p.named(locked) {
		err = os.Remove(p.path)
	}
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if err = errors.Join(err, p.file.Close()); err != nil {
		return fault.Wrap(err, fault.System, "cannot give up pid file '%s'", p.path)
	}
	return nil
}
