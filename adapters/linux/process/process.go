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

// Done is closed when the last thread has ended, reaped or not. It stays open for
// ever if the process is closed before it ends.
func (p *Process) Done() <-chan struct{} { return p.done }

// Close lets go of the process, which goes on, and returns when its goroutine is
// gone. Closing twice is harmless, also from two goroutines.
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

// Signal answers NotFound for a process that ended though nobody reaped it yet, to
// which the kernel would send without complaint. signum 0 only asks whether it is
// there. InvalidArgument for numbers that are none of kill(2)'s.
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
// block them and have no handler, and the kernel keeps those for them. To the first
// process of a PID namespace the kernel does not deliver what it does not handle,
// save SIGKILL and SIGSTOP from outside (pid_namespaces(7)).
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
// " (deleted)" if the file is not there any more (proc_pid_exe(5)). NotFound once
// the process has ended.
func (p *Process) Program() (string, error) {
	path, err := os.Readlink(p.procPath("exe"))
	if err := p.settle(err); err != nil {
		return "", err
	}
	return path, nil
}

// Namespaces are in the order in which they are joined: user first, which gives the
// right to the rest, mnt last, which takes the paths away (setns(2)). It leaves out
// what the kernel was built without. All or none; the caller closes them, and they
// keep the namespaces alive as long as they are open.
func (p *Process) Namespaces() ([]*os.File, error) {
	var files []*os.File
	var err error
	for _, kind := range []string{"user", "ipc", "uts", "net", "pid", "mnt"} {
		f, openErr := os.Open(p.procPath("ns/" + kind))
		if openErr == nil {
			files = append(files, f)
		} else if _, own := os.Lstat("/proc/self/ns/" + kind); !errors.Is(own, os.ErrNotExist) {
			err = openErr // it has none any more, we do
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

// PIDNamespace is told apart from others by its inode, of the namespace that the
// process is in, not its children (namespaces(7)).
func (p *Process) PIDNamespace() (uint64, error) {
	var info unix.Stat_t
	if err := p.settle(unix.Stat(p.procPath("ns/pid"), &info)); err != nil {
		return 0, err
	}
	return info.Ino, nil
}

// procPath is in the daemon's own /proc, where the pid is the host's.
func (p *Process) procPath(file string) string {
	return filepath.Join("/proc", strconv.Itoa(p.pid), file)
}

// read returns a file of /proc/PID, of bounded size. The longest is status: a
// process may be in 65536 groups (NGROUPS_MAX), of eleven bytes each at most, and
// they are listed before its signals.
func (p *Process) read(file string) ([]byte, error) {
	const most = 1 << 20
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
// afterwards it was the right one, whatever err is. A process that ends while it is
// read gives ESRCH, an empty text or half of one: all are the one NotFound. So is
// what the kernel has taken from it already though the pidfd does not tell the end
// yet: memory, root and namespaces go first (do_exit), and what /proc shows of them
// is then missing (ENOENT) or refused (EINVAL).
func (p *Process) settle(err error) error {
	if dead := p.alive(); dead != nil {
		return dead
	}
	if err == nil {
		return nil
	}
	for _, errno := range []error{unix.ENOENT, unix.ESRCH, unix.EINVAL} {
		if errors.Is(err, errno) {
			return fault.Wrap(err, fault.NotFound, "process %d is about to end", p.pid)
		}
	}
	return fault.Wrap(err, fault.System, "cannot look at process %d", p.pid)
}
