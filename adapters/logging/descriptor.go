package logging

import (
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
)

// atomicWrite is how much a pipe that polls as writable takes without waiting,
// and does not mix with what others write (PIPE_BUF).
const atomicWrite = 4096

// waitWritable waits until fd takes more. A broken one counts as ready: the
// next write says why. It asks at least once, so a patience of 0 finds out without
// waiting. errStuck if time is up.
func waitWritable(fd int, patience time.Duration) error {
	for deadline := time.Now().Add(patience); ; {
		left := max(time.Until(deadline), 0)
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, int(left.Milliseconds()))
		switch {
		case n > 0:
			return nil
		case err == nil:
			return errStuck
		case err != unix.EINTR:
			return os.NewSyscallError("poll", err)
		}
	}
}

// descriptor prints lines to an open file: a log, or standard error, behind
// which may be a pipe or a terminal whose reader sleeps.
type descriptor struct {
	file    *os.File
	raw     syscall.RawConn
	owned   bool
	regular bool
	torn    atomic.Bool // the last line has no end
}

// openFile opens a log for appending. System on failure. A new file is for root alone
// (0600): logs tell about guests. The caller closes it.
func openFile(path string) (*descriptor, error) {
	// Not to wait for the reader of a fifo, now or later.
	const flags = unix.O_WRONLY | unix.O_APPEND | unix.O_CREAT | unix.O_CLOEXEC | unix.O_NOCTTY | unix.O_NONBLOCK
	fd, err := unix.Open(path, flags, 0o600)
	for err == unix.EINTR {
		fd, err = unix.Open(path, flags, 0o600)
	}
	if err != nil {
		return nil, &fault.Error{Kind: fault.System, Area: fault.Host, Text: "failed to open " + path, Err: err}
	}
	return newDescriptor(os.NewFile(uintptr(fd), path), true)
}

// newDescriptor prints to file, which Close closes if it is owned. Standard error is not:
// others use it. A file of unknown kind is waited for like a pipe, which only costs a
// call.
func newDescriptor(file *os.File, owned bool) (*descriptor, error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, fault.Wrap(err, fault.System, "failed to open %s", file.Name())
	}
	d := &descriptor{file: file, raw: raw, owned: owned}
	if stat, err := file.Stat(); err == nil {
		d.regular = stat.Mode().IsRegular()
	}
	return d, nil
}

// write prints a batch as one text, so that other writers of the same file come before or
// after it. When a disk was full in the middle of a line, the next text begins with its
// end: readers find lines where they expect them.
func (d *descriptor) write(batch []*entry, patience time.Duration) error {
	torn := d.torn.Swap(false)
	var text []byte
	// The rest of the torn line is lost; this ends it.
	if torn {
		text = append(text, '\n')
	}
	for _, e := range batch {
		text = e.appendLine(text)
	}
	done, failed := 0, error(nil)
	err := d.raw.Control(func(fd uintptr) { done, failed = d.put(int(fd), text, patience) })
	if err == nil {
		err = failed
	}
	if err != nil && (done > 0 || torn) {
		d.torn.Store(true)
	}
	return err
}

// put returns how much it wrote. It goes around the library, which would wait
// for pipes without an end and raise SIGPIPE for standard error. Parts of a pipe's size
// keep a write from waiting after the pipe said that it has room.
func (d *descriptor) put(fd int, text []byte, patience time.Duration) (done int, err error) {
	for done < len(text) { // a regular file takes all at once, unless its disk is full
		part := text[done:]
		if !d.regular {
			part = part[:min(len(part), atomicWrite)]
			if err := waitWritable(fd, patience); err != nil {
				return done, err
			}
		}
		n, err := unix.Write(fd, part)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return done, os.NewSyscallError("write", err)
		}
		done += n
	}
	return done, nil
}

// Close loses nothing: what was written is the kernel's.
func (d *descriptor) Close() error {
	if !d.owned {
		return nil
	}
	return d.file.Close()
}

// writer prints lines to something that is no file. It is not owned.
type writer struct{ to io.Writer }

// write has one call for a batch, as others may write in between. It cannot be hurried.
func (w writer) write(batch []*entry, _ time.Duration) error {
	var text []byte
	for _, e := range batch {
		text = e.appendLine(text)
	}
	_, err := w.to.Write(text)
	return err
}

// Close leaves it open: the caller of Open has it.
func (w writer) Close() error { return nil }
