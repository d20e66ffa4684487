package cgroup

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// parsePIDs reads a list of numbers, one to a line. Others than processes of this pid
// namespace are passed over. 0 stands for a process of a namespace that cannot be seen
// from here.
func parsePIDs(text string) []int {
	var pids []int
	for field := range strings.FieldsSeq(text) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// populated says whether something lives in dir or below. Processes that are dead
// count as gone on version 2 even before they are reaped. A group that has vanished
// holds nobody; one that cannot be read is an error, never empty.
func populated(dir string) (bool, error) {
	var buf [256]byte
	// Version 2 counts what is below, too. Version 1 has no such file.
	if text, err := readSmall(dir+"/cgroup.events", buf[:]); err == nil {
		return eventSet(text, "populated"), nil
	}
	// Most groups have a process of their own: no need to list the rest.
	if text, err := readSmall(dir+"/cgroup.procs", buf[:]); err == nil && len(text) > 0 {
		return true, nil
	}
	pids, err := members(dir)
	if err != nil {
		return false, failed(err, "unable to list the processes of '%s'", dir)
	}
	return len(pids) > 0, nil
}

// eventSet finds "key 1" in cgroup.events.
func eventSet(text []byte, key string) bool { return field(text, key) == 1 }

// lookAgain is how long waitEvents trusts in being woken. The kernel holds events
// back that follow each other within 10 ms, and forgets them when the group is
// removed meanwhile, as the service manager may do with what is in its units.
const lookAgain = time.Second

// waitEvents returns once the group's events show key as wished, or the group
// is gone. The kernel wakes whoever polls cgroup.events when a line of it changes
// (admin-guide/cgroup-v2), not when the group goes: hence lookAgain.
func waitEvents(ctx context.Context, dir, key string, wish bool) error {
	file, err := os.Open(dir + "/cgroup.events")
	if vanished(err) {
		return nil
	}
	if err != nil {
		return failed(err, "unable to watch control group '%s'", dir)
	}
	defer file.Close()
	defer context.AfterFunc(ctx, func() { _ = file.SetReadDeadline(time.Unix(1, 0)) })()
	for err = os.ErrDeadlineExceeded; errors.Is(err, os.ErrDeadlineExceeded); {
		_ = file.SetReadDeadline(time.Now().Add(lookAgain))
		if ctx.Err() != nil {
			return stopped(ctx.Err(), "control group '%s' did not become %s=%t", dir, key, wish)
		}
		err = awaitEvent(file, key, wish)
	}
	if err != nil && !vanished(err) {
		return failed(err, "unable to watch control group '%s'", dir)
	}
	return nil
}

// awaitEvent is nil when the open cgroup.events shows key as wished. Each look
// reads from the start, which is also what lets the kernel tell the next change.
func awaitEvent(file *os.File, key string, wish bool) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var failure error
	err = conn.Read(func(fd uintptr) bool {
		var buf [256]byte
		var n int
		n, failure = again(func() (int, error) { return unix.Pread(int(fd), buf[:], 0) })
		// False waits for the poller, which wakes at the next event.
		return failure != nil || eventSet(buf[:n], key) == wish
	})
	return errors.Join(failure, err)
}

// waitProcess returns when the process has ended; at once if there is none. It need
// not be a child, and is not reaped. Aborted or Timeout if ctx ends first. A pidfd polls
// as readable when its process has ended (pidfd_open(2)).
func waitProcess(ctx context.Context, pid int) error {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if noProcess(err) {
		return nil
	}
	if err != nil {
		return failed(err, "unable to watch process %d", pid)
	}
	file := os.NewFile(uintptr(fd), "pidfd")
	defer file.Close()
	conn, err := file.SyscallConn()
	if err != nil {
		return failed(err, "unable to watch process %d", pid)
	}
	defer context.AfterFunc(ctx, func() { _ = file.SetReadDeadline(time.Unix(1, 0)) })()
	err = conn.Read(func(fd uintptr) bool {
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, _ := again(func() (int, error) { return unix.Poll(ready, 0) })
		return n > 0
	})
	if err != nil && ctx.Err() != nil {
		return stopped(ctx.Err(), "process %d of the control group did not end", pid)
	}
	if err != nil {
		return failed(err, "unable to watch process %d", pid)
	}
	return nil
}

// pauses are the waits between attempts where the kernel has no event to offer: from
// 0.1 ms, doubled up to 20 ms. The zero value is the start.
type pauses struct{ next time.Duration }

// wait sleeps a little longer each time; it fails when the context ends.
func (p *pauses) wait(ctx context.Context) error {
	p.next = min(max(2*p.next, 100*time.Microsecond), 20*time.Millisecond)
	timer := time.NewTimer(p.next)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
