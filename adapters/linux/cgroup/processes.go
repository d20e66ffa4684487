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

// children lists the groups directly inside dir. A directory that has vanished
// has none.
func children(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !vanished(err) {
		return nil, err
	}
	var found []string
	for _, entry := range entries {
		if entry.IsDir() {
			found = append(found, dir+"/"+entry.Name())
		}
	}
	return found, nil
}

// members lists the processes in dir and below. Processes of a foreign pid
// namespace show as 0 and are left out. A threaded group has no list: its
// processes are in that of its parent.
func members(dir string) ([]int, error) {
	text, err := readList(dir + "/cgroup.procs")
	if vanished(err) {
		return nil, nil
	}
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return nil, err
	}
	pids := parsePIDs(text)
	below, err := children(dir)
	if err != nil {
		return nil, err
	}
	for _, child := range below {
		more, err := members(child)
		if err != nil {
			return nil, err
		}
		pids = append(pids, more...)
	}
	return pids, nil
}

func parsePIDs(text string) []int {
	var pids []int
	for field := range strings.FieldsSeq(text) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// populated says whether something lives in dir or below.
func populated(dir string) (bool, error) {
	var buf [256]byte
	if text, err := readSmall(dir+"/cgroup.events", buf[:]); err == nil {
		return eventSet(text, "populated"), nil
	}
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

// waitEvents returns once the group's events show key as wished, or the group
// is gone. The kernel wakes the reader: nothing is polled.
func waitEvents(ctx context.Context, dir, key string, wish bool) error {
	file, err := os.Open(dir + "/cgroup.events")
	if vanished(err) {
		return nil
	}
	if err != nil {
		return failed(err, "unable to watch control group '%s'", dir)
	}
	defer file.Close()
	conn, err := file.SyscallConn()
	if err != nil {
		return failed(err, "unable to watch control group '%s'", dir)
	}
	defer context.AfterFunc(ctx, func() { _ = file.SetReadDeadline(time.Unix(1, 0)) })()
	var inner error
	err = conn.Read(func(fd uintptr) bool {
		var buf [256]byte
		n, failure := again(func() (int, error) { return unix.Pread(int(fd), buf[:], 0) })
		inner = failure
		return failure != nil || eventSet(buf[:n], key) == wish
	})
	switch {
	case inner != nil && !vanished(inner):
		return failed(inner, "unable to watch control group '%s'", dir)
	case inner != nil || err == nil:
		return nil
	case ctx.Err() != nil:
		return stopped(ctx.Err(), "control group '%s' did not become %s=%t", dir, key, wish)
	}
	return failed(err, "unable to watch control group '%s'", dir)
}

// waitProcess returns when the process has ended; at once if there is none.
func waitProcess(ctx context.Context, pid int) error {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
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

// pauses are the waits between attempts where the kernel has no event to offer.
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
