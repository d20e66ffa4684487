package process

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
)

// Process is the ports.Process behind one pidfd. Its methods may be called from
// any goroutine; after Close they answer NotFound.
type Process struct {
	pid   int
	start uint64
	pidfd *os.File
	owner *Processes

	done   chan struct{}
	waiter sync.WaitGroup // the goroutine that closes done
	closed sync.Once
}

// PID is the number on the host.
func (p *Process) PID() int { return p.pid }

// Start is in clock ticks since the host booted.
func (p *Process) Start() uint64 { return p.start }

// Done stays open for ever if the process is closed before it ends.
func (p *Process) Done() <-chan struct{} { return p.done }

// Close lets go of the process, which goes on. Closing twice is harmless.
func (p *Process) Close() (err error) {
	p.closed.Do(func() {
		err = p.pidfd.Close() // wakes the goroutine
		p.waiter.Wait()
		p.owner.forget(p)
	})
	return err
}

// wait closes done when the pidfd becomes readable, which it does when the last
// thread has ended, reaped or not.
func (p *Process) wait() {
	conn, err := p.pidfd.SyscallConn()
	if err != nil {
		return // closed already
	}
	if conn.Read(readable) == nil {
		close(p.done)
	}
}

// readable polls without waiting.
func readable(fd uintptr) bool {
	set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(set, 0)
		if !errors.Is(err, unix.EINTR) {
			return err == nil && n == 1
		}
	}
}

// alive is nil as long as the process has not ended.
func (p *Process) alive() error {
	ended := true
	if err := p.control(func(fd int) error { ended = readable(uintptr(fd)); return nil }); err != nil {
		return err
	}
	if ended {
		return fault.New(fault.NotFound, fault.Host, "process %d has ended", p.pid)
	}
	return nil
}

// control calls do with the pidfd, which stays open meanwhile.
func (p *Process) control(do func(fd int) error) error {
	conn, err := p.pidfd.SyscallConn()
	var result error
	if err == nil {
		err = conn.Control(func(fd uintptr) { result = do(int(fd)) })
	}
	if err != nil {
		return fault.Wrap(err, fault.NotFound, "process %d was let go", p.pid)
	}
	return result
}

// Signal answers NotFound for a process that ended though nobody reaped it yet.
func (p *Process) Signal(signum int) error {
	if err := p.alive(); err != nil {
		return err
	}
	return p.control(func(fd int) error {
		err := unix.PidfdSendSignal(fd, unix.Signal(signum), nil, 0)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.ESRCH):
			return fault.Wrap(err, fault.NotFound, "process %d has ended", p.pid)
		case errors.Is(err, unix.EINVAL):
			return fault.Wrap(err, fault.InvalidArgument, "%d is not a signal", signum)
		}
		return fault.Wrap(err, fault.System, "cannot send signal %d to process %d", signum, p.pid)
	})
}

// Catches counts a signal that has a handler, and one that is blocked and not
// ignored: programs that read signals from a descriptor, systemd among them,
// block them and have no handler, and the kernel keeps those for them.
func (p *Process) Catches(signum int) (bool, error) {
	if signum < 1 || signum > 64 {
		return false, fault.New(fault.InvalidArgument, fault.Host, "%d is not a signal", signum)
	}
	status, err := p.read("status")
	if err != nil {
		return false, err
	}
	masks, err := signalMasks(status)
	if err != nil {
		return false, err
	}
	return masks.handled()&(1<<(signum-1)) != 0, nil
}

// Program is a path in the mount namespace of the process. The kernel appends
// " (deleted)" if the file is not there any more.
func (p *Process) Program() (string, error) {
	path, err := os.Readlink(p.procPath("exe"))
	if err := p.settle(err); err != nil {
		return "", err
	}
	return path, nil
}

// Namespaces leaves out what the kernel was built without.
func (p *Process) Namespaces() ([]*os.File, error) {
	var files []*os.File
	var err error
	for _, kind := range []string{"user", "ipc", "uts", "net", "pid", "mnt"} {
		f, openErr := os.Open(p.procPath("ns/" + kind))
		if openErr == nil {
			files = append(files, f)
		} else if !errors.Is(openErr, os.ErrNotExist) {
			err = openErr
			break
		}
	}
	if err = p.settle(err); err != nil {
		for _, f := range files {
			err = errors.Join(err, f.Close())
		}
		return nil, err
	}
	return files, nil
}

// PIDNamespace is told apart from others by its inode.
func (p *Process) PIDNamespace() (uint64, error) {
	var info unix.Stat_t
	if err := p.settle(unix.Stat(p.procPath("ns/pid"), &info)); err != nil {
		return 0, err
	}
	return info.Ino, nil
}

func (p *Process) procPath(file string) string {
	return filepath.Join("/proc", strconv.Itoa(p.pid), file)
}

// read returns a file of /proc/PID, of bounded size.
func (p *Process) read(file string) ([]byte, error) {
	const most = 64 << 10
	text, err := func() ([]byte, error) {
		f, err := os.Open(p.procPath(file))
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(io.LimitReader(f, most))
		return text, errors.Join(err, f.Close())
	}()
	if err := p.settle(err); err != nil {
		return nil, err
	}
	return text, nil
}

// settle decides what came of a look into /proc/PID: if the process is alive
// afterwards it was the right one, whatever err is.
func (p *Process) settle(err error) error {
	if dead := p.alive(); dead != nil {
		return dead
	}
	if err != nil {
		return fault.Wrap(err, fault.System, "cannot look at process %d", p.pid)
	}
	return nil
}
