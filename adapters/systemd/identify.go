package systemd

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
)

// identify tells which process a pidfd is of, and when it started (clock ticks
// since boot); zeros if it has been reaped. Failed for what is no pidfd. The number may be
// another process's by the time /proc is read, so the pidfd is asked once more after it.
// Both together name a process for good: numbers are used again, start times with them
// not.
func identify(pidfd *os.File) (pid int, start uint64, err error) {
	pid, err = pidOf(pidfd)
	if err != nil || pid <= 0 {
		return 0, 0, err
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return 0, 0, nil
	}
	if err == nil {
		start, err = startIn(stat)
	}
	if err != nil {
		return 0, 0, fault.Wrap(err, fault.System, "cannot look at process %d", pid)
	}
	// If it is still there, the number was its own all the time.
	if again, err := pidOf(pidfd); err != nil || again != pid {
		return 0, 0, err
	}
	return pid, start, nil
}

// pidOf is -1 if the process has been reaped, and 0 if it is in a pid namespace that this
// process cannot see (the line "Pid:" of the descriptor's fdinfo). Control keeps the
// number from meaning another descriptor while its fdinfo is read.
func pidOf(pidfd *os.File) (pid int, err error) {
	conn, err := pidfd.SyscallConn()
	if err != nil {
		return 0, fault.Wrap(err, fault.Internal, "cannot look at a process descriptor")
	}
	var info []byte
	failed := conn.Control(func(fd uintptr) { info, err = os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(int(fd))) })
	if err = errors.Join(failed, err); err != nil {
		return 0, fault.Wrap(err, fault.System, "cannot look at a process descriptor")
	}
	for line := range strings.Lines(string(info)) {
		if text, ok := strings.CutPrefix(line, "Pid:"); ok {
			return strconv.Atoi(strings.TrimSpace(text))
		}
	}
	return 0, fault.New(fault.Failed, fault.Host, "the descriptor is not of a process")
}

// startIn finds the 22nd field of /proc/PID/stat (proc(5)). The second one, in
// parentheses, may contain anything. It counts in clock ticks since the host booted.
func startIn(stat []byte) (uint64, error) {
	// The last one: a program may be called "a) R 1".
	after := bytes.LastIndexByte(stat, ')')
	fields := bytes.Fields(stat[after+1:])
	const index = 22 - 3 // the first after the parentheses is the third
	if after < 0 || len(fields) <= index {
		return 0, fault.New(fault.Failed, fault.Host, "the process's status has %d fields", len(fields))
	}
	return strconv.ParseUint(string(fields[index]), 10, 64)
}
