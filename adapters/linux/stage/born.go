package stage

import (
	"strconv"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/launch/step"
	"virtlxcd/ports/hold"
)

// networkOf opens the network namespace of a process that got its own; None if it
// died meanwhile, which its outcome tells.
// The descriptor keeps the namespace alive after the process: a restart from inside
// joins it again, and with it the links. A namespace that was handed over is
// duplicated, since the caller closes its own.
func networkOf(script *step.Script, pid, given int) hold.FD {
	if !script.Namespaces.Net {
		return hold.None
	}
	var fd int
	var err error
	if given >= 0 {
		fd, err = unix.FcntlInt(uintptr(given), unix.F_DUPFD_CLOEXEC, 0)
	} else {
		fd, err = unix.Open("/proc/"+strconv.Itoa(pid)+"/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return hold.None
	}
	return hold.FD(fd)
}

// startTime reads field 22 of /proc/PID/stat (proc(5)), in clock ticks since boot: with
// the number it names a process for ever. 0 if there is none.
func startTime(pid int) (ticks uint64) {
	rest := afterName(readFile("/proc/" + strconv.Itoa(pid) + "/stat"))
	var field string
	for range 20 { // fields 3 to 22
		field, rest = cut(rest, ' ')
	}
	ticks, _ = strconv.ParseUint(field, 10, 64)
	return ticks
}

// afterName ("7 (a) b) S 1" gives "S 1") is the text of a stat file from its third field on: the second is a
// name in parentheses that may hold anything.
func afterName(text string) string {
	end := len(text) - 1
	for end >= 0 && text[end] != ')' {
		end--
	}
	if end < 0 || end+2 > len(text) {
		return ""
	}
	return text[end+2:]
}

// Release implements hold.Kernel. A process that died meanwhile is no error here:
// its outcome tells.
// The byte says go on; the stage cannot take the closing for it, which means giving up.
func (k *Kernel) Release(release hold.FD) {
	unix.Write(int(release), []byte{1})
	unix.Close(int(release))
}

// Outcome implements hold.Kernel. A report comes in one piece: pipes keep writes of
// less than PIPE_BUF together (pipe(7)).
// It is called once for each time that epoll says readable. An end without a report is
// Gone; what Gone means depends on whether Executing came before it, which the caller
// knows.
func (k *Kernel) Outcome(outcome hold.FD) (hold.Progress, hold.Failure) {
	var report [reportSize]byte
	n, err := unix.Read(int(outcome), report[:])
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return hold.NoNews, hold.Failure{}
	case n < reportSize:
		return hold.Gone, hold.Failure{}
	}
	failure := decode(report[:])
	if failure.Failed() {
		return hold.Stuck, failure
	}
	return hold.Executing, failure
}

// Reap implements hold.Kernel. ECHILD is a process that another controller started.
// It never blocks: WNOHANG answers 0 for a child that lives.
func (k *Kernel) Reap(pid int, process hold.FD) (status int, ended bool) {
	var wait unix.WaitStatus
	for {
		got, err := unix.Wait4(pid, &wait, unix.WNOHANG, nil)
		switch {
		case err == unix.EINTR:
			continue
		case got == pid:
			return int(wait), true
		case err == nil:
			return 0, false
		}
		break
	}
	return foreignExit(pid, int(process))
}

// Kill implements hold.Kernel. The kernel kills all others of a pid namespace with
// its first process (pid_namespaces(7)). A dead one is fine.
// A pidfd cannot mean another process, however late this is called.
func (k *Kernel) Kill(process hold.FD) {
	unix.PidfdSendSignal(int(process), unix.SIGKILL, nil, 0)
}
