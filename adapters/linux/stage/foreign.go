package stage

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// foreignExit looks at a process whose parent is somebody else. The kernel tells
// through the pidfd how it ended once its parent has waited for it, and before
// that in /proc; who the parent is, and when it cares, is not to be relied on.
// A status that nobody tells is 0.
// It is needed for containers that were restored from another controller: their init
// is the child of that one, or of whoever adopts orphans. The order is from what is
// certain to what may be gone at any moment, and the check of the number afterwards
// keeps out a process that got it meanwhile.
func foreignExit(pid, process int) (status int, ended bool) {
	if !over(process) {
		return 0, false
	}
	if status, told := rememberedExit(process); told {
		return status, true
	}
	status = zombieExit(pid)
	if unix.PidfdSendSignal(process, 0, nil, 0) == nil {
		return status, true // it still has its number, so it was this one
	}
	status, _ = rememberedExit(process)
	return status, true
}

// over says whether a process has ended, waited for or not (pidfd_open(2)).
// Polling takes no status from anybody, so the parent still gets its own.
func over(process int) bool {
	poll := []unix.PollFd{{Fd: int32(process), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(poll, 0)
		if err != unix.EINTR {
			return err == nil && n == 1
		}
	}
}

// zombieExit reads the wait status from field 52 of /proc/PID/stat (proc(5)), the
// last one, which ends with a newline. 0 without the right to see it.
func zombieExit(pid int) int {
	rest := afterName(readFile("/proc/" + strconv.Itoa(pid) + "/stat"))
	var text string
	for range 50 { // fields 3 to 52
		text, rest = cut(rest, ' ')
	}
	end := 0
	for end < len(text) && text[end] >= '0' && text[end] <= '9' {
		end++
	}
	status, _ := strconv.Atoi(text[:end])
	return status
}
