package process

import (
	"context"
	"errors"
	"math"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// Processes is the ports.Processes of the host. It owns the goroutines that
// wait for processes to end.
type Processes struct {
	mu     sync.Mutex // guards open and closed
	open   map[*Process]struct{}
	closed bool

	waiters sync.WaitGroup
}

var _ ports.Processes = (*Processes)(nil)

// New checks that the kernel knows pidfds. UnsupportedOperation if it does not.
func New() (*Processes, error) {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return nil, fault.Wrap(err, fault.UnsupportedOperation, "this kernel cannot refer to processes by descriptor")
	}
	unix.Close(fd)
	return &Processes{open: make(map[*Process]struct{})}, nil
}

// Open checks the start time after the pidfd was opened: if the process that
// /proc shows is alive then, the pidfd is its own. start is in clock ticks since
// boot, 0 for any. Each call gives a Process of its own, with a goroutine that lasts
// until it is closed or has ended.
//
// InvalidArgument for what cannot be a pid, NotFound if nobody or another process
// has it or the process has ended, reaped or not; Aborted after Close.
func (ps *Processes) Open(ctx context.Context, pid int, start uint64) (ports.Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, fault.Wrap(err, contextKind(err), "process %d was not looked at", pid)
	}
	if pid <= 0 || pid > math.MaxInt32 { // the kernel would cut off what is above 32 bits
		return nil, fault.New(fault.InvalidArgument, fault.Host, "%d is not a process id", pid)
	}
	p, err := openProcess(pid)
	if err != nil {
		return nil, err
	}
	if start != 0 && p.start != start {
		return nil, errors.Join(fault.New(fault.NotFound, fault.Host, "process %d is another one than expected", pid), p.pidfd.Close())
	}
	p.owner = ps
	if err := ps.adopt(p); err != nil {
		return nil, errors.Join(err, p.pidfd.Close())
	}
	return p, nil
}

// openProcess has no owner and no goroutine yet. On failure nothing is open.
func openProcess(pid int) (*Process, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, gone(err, pid)
	}
	// Non-blocking makes the runtime wait for it together with sockets instead
	// of spending a thread.
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fault.Wrap(err, fault.System, "cannot watch process %d", pid)
	}
	p := &Process{pid: pid, pidfd: os.NewFile(uintptr(fd), "pidfd of "+strconv.Itoa(pid)), done: make(chan struct{})}
	if err := p.pidfd.SetReadDeadline(time.Time{}); err != nil {
		return nil, errors.Join(fault.Wrap(err, fault.System, "cannot wait for process %d", pid), p.pidfd.Close())
	}
	stat, err := p.read("stat")
	if err == nil {
		p.start, err = startTime(stat)
	}
	if err != nil {
		return nil, errors.Join(err, p.pidfd.Close())
	}
	return p, nil
}

// adopt starts waiting for the end of p.
func (ps *Processes) adopt(p *Process) error {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.closed {
		return fault.New(fault.Aborted, fault.Host, "the daemon is about to end")
	}
	ps.open[p] = struct{}{}
	ps.waiters.Add(1)
	p.waiter.Add(1)
	go func() {
		defer ps.waiters.Done()
		defer p.waiter.Done()
		p.wait()
	}()
	return nil
}

// forget: Close of ps no longer has to do with p.
func (ps *Processes) forget(p *Process) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	delete(ps.open, p)
}

// Close closes every process that is still open and waits for the goroutines.
// Their Done channels stay as they are, open unless they ended: the processes
// themselves go on. Closing twice is harmless.
func (ps *Processes) Close() error {
	ps.mu.Lock()
	ps.closed = true
	left := make([]*Process, 0, len(ps.open))
	for p := range ps.open {
		left = append(left, p)
	}
	ps.mu.Unlock()
	var errs []error
	for _, p := range left {
		errs = append(errs, p.Close())
	}
	ps.waiters.Wait()
	return errors.Join(errs...)
}

// contextKind of an ended context: Timeout if it was its deadline.
func contextKind(err error) fault.Kind {
	if errors.Is(err, context.DeadlineExceeded) {
		return fault.Timeout
	}
	return fault.Aborted
}

// gone tells a process that is no more from other failures. A thread's number
// is no process either (EINVAL, on newer kernels ENOENT).
func gone(err error, pid int) error {
	for _, errno := range []error{unix.ESRCH, unix.ENOENT, unix.EINVAL} {
		if errors.Is(err, errno) {
			return fault.Wrap(err, fault.NotFound, "there is no process %d", pid)
		}
	}
	return fault.Wrap(err, fault.System, "cannot look at process %d", pid)
}
