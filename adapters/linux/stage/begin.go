package stage

import (
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/launch/step"
	"virtlxcd/ports/hold"
)

// Kernel implements hold.Kernel.
type Kernel struct {
	Null   int    // /dev/null: what the stage gets as standard input until it has a terminal
	Socket string // part of the command line that Introduce writes
}

// ends are the two channels to the stage: outcome, a pipe on which it reports,
// and release, a socket on which it gets its mounts and then the go-ahead.
// Of each channel the controller keeps one end and the stage gets the other; every end
// is owned by one process alone, so that the death of either is an end of file.
type ends struct{ outcome, release int }

// Begin implements hold.Kernel. The process is made first: while its program
// loads, which takes longer, Prepare is carried out here. On failure nothing is
// left: no process, no descriptor. A failure that no operation had has an Index
// that none has.
// The order is: process, slots, terminals taken out, slots sent. What is closed after
// the sending is the controller's copy: the stage has its own by then.
func (k *Kernel) Begin(script *step.Script, files *hold.Files, network hold.FD) (hold.Born, hold.Failure) {
	born, err := k.clone(script, files, int(network))
	if err != nil {
		return hold.Born{}, hold.Failure{Entered: true, Index: noOperation, Errno: errnoOf(err)}
	}
	slots, failure := prepare(script)
	if failure.Failed() {
		k.bury(&born)
		return hold.Born{}, failure
	}
	born.Terminals = keepTerminals(script, slots)
	err = sendSlots(int(born.Release), slots)
	closeAll(slots)
	if err != nil {
		failure = k.deaf(&born, err)
		k.bury(&born)
		return hold.Born{}, failure
	}
	born.Start, born.Network = startTime(born.PID), networkOf(script, born.PID, int(network))
	return born, hold.Failure{}
}

// deaf explains a stage that takes no slots. Mostly it is dead, and has said why.
// The error of sending, EPIPE as a rule, would tell nothing about the container.
func (k *Kernel) deaf(born *hold.Born, err error) hold.Failure {
	if progress, failure := k.Outcome(born.Outcome); progress == hold.Stuck {
		return failure
	}
	return hold.Failure{Entered: true, Index: noOperation, Errno: errnoOf(err)}
}

// keepTerminals takes the masters of the terminals out of the slots: they stay
// with the controller.
// The stage must not have them: who holds a master open keeps the terminal alive, and
// init would inherit the outside of its own console.
func keepTerminals(script *step.Script, slots []int) []hold.FD {
	kept := make([]hold.FD, 0, len(script.Terminals))
	for _, slot := range script.Terminals {
		kept = append(kept, hold.FD(slots[slot]))
		slots[slot] = -1
	}
	return kept
}

// bury ends a process whose start failed and closes what came with it.
// It waits for the process after the kill, which takes no time to speak of, so that
// no zombie is left for which nobody would ask.
func (k *Kernel) bury(born *hold.Born) {
	k.Kill(born.Process)
	for {
		if _, err := unix.Wait4(born.PID, nil, 0, nil); err != unix.EINTR {
			break
		}
	}
	for _, master := range born.Terminals {
		unix.Close(int(master))
	}
	closeAll([]int{int(born.Process), int(born.Release), int(born.Outcome)})
}

// environment of the stage: it lives for a millisecond, so nothing is collected.
var environment = []string{"GOMAXPROCS=1", "GOGC=off"}

// clone makes the process. The kernel's refusals: EAGAIN and ENOSPC (too many
// processes or namespaces), EINVAL (an id map with overlaps), EPERM (a map of
// ids that are not the controller's to give).
// The program is executed from its sealed copy through the child's own table, so no
// path is looked up and the host's file is not touched. After an error all ends are
// closed; the child's are closed here in any case, or an end of file would never come.
func (k *Kernel) clone(script *step.Script, files *hold.Files, network int) (hold.Born, error) {
	parent, child, err := channels()
	if err != nil {
		return hold.Born{}, err
	}
	pidfd := -1
	attr := &syscall.ProcAttr{
		Env: environment, Files: k.withRoom(k.layOut(files, network, child), script.Slots),
		Sys: processAttributes(script, files, network, &pidfd),
	}
	pid, err := syscall.ForkExec("/proc/self/fd/"+strconv.Itoa(imageFD), stageArguments(files), attr)
	closeAll([]int{child.outcome, child.release})
	if err != nil {
		closeAll([]int{parent.outcome, parent.release})
		return hold.Born{}, err
	}
	return hold.Born{
		PID: pid, Process: hold.FD(pidfd), Network: hold.None,
		Release: hold.FD(parent.release), Outcome: hold.FD(parent.outcome),
	}, nil
}

// channels makes the two ends. The controller reads the outcome when epoll says so
// and must not block on it; the stage has nothing to do but wait.
// The release is a socket of packets, since slots travel on it and since the byte of
// the go-ahead must not run into one of theirs.
func channels() (parent, child ends, err error) {
	var report [2]int
	if err = unix.Pipe2(report[:], unix.O_CLOEXEC); err != nil {
		return parent, child, err
	}
	release, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		closeAll(report[:])
		return parent, child, err
	}
	unix.SetNonblock(report[0], true)
	return ends{report[0], release[0]}, ends{report[1], release[1]}, nil
}

// stageArguments are what layOut in enter.go reads.
func stageArguments(files *hold.Files) []string {
	return []string{"libvirt_lxc", Name, strconv.Itoa(len(files.Tasks)), strconv.Itoa(len(files.Passed))}
}

// layOut orders the stage's descriptors as report.go names them. A descriptor
// that is not there is /dev/null, so that numbers stay in place.
// Standard input is /dev/null, both outputs are the log, then the fixed descriptors,
// then the tasks files and the files for init, each list in its order.
func (k *Kernel) layOut(files *hold.Files, network int, child ends) []uintptr {
	log := int(files.Log)
	order := []int{k.Null, log, log, int(files.Plan), int(files.Image), child.outcome, child.release, network}
	for _, list := range [][]hold.FD{files.Tasks, files.Passed} {
		for _, fd := range list {
			order = append(order, int(fd))
		}
	}
	numbers := make([]uintptr, len(order))
	for i, fd := range order {
		if fd < 0 {
			fd = k.Null
		}
		numbers[i] = uintptr(fd)
	}
	return numbers
}

// smallTable is how many descriptors a process has room for from the start.
const smallTable = 64

// withRoom makes the stage's table of descriptors large enough for its slots
// before it has threads: later that takes many milliseconds.
// The table grows when a number beyond its end is used: so the last entry, with the
// highest number, is a real one, and what lies between stays closed.
func (k *Kernel) withRoom(numbers []uintptr, slots int) []uintptr {
	const spare = 16 // for what the stage opens itself
	wanted := len(numbers) + slots + spare
	if wanted <= smallTable {
		return numbers
	}
	for len(numbers) < wanted {
		numbers = append(numbers, ^uintptr(0)) // closed
	}
	return append(numbers, uintptr(k.Null))
}

// processAttributes says how the process is born: in its namespaces and, with
// cgroup v2, in its group.
// The process gets its own process and mount namespaces always, a network only if none
// is handed over: that one it enters itself, see layOut in enter.go. Setgroups stays
// allowed with an id map, or no user inside could have supplementary groups
// (user_namespaces(7)). The credential makes it root of the map before it executes.
func processAttributes(script *step.Script, files *hold.Files, network int, pidfd *int) *syscall.SysProcAttr {
	sys := &syscall.SysProcAttr{PidFD: pidfd, Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}
	for _, wish := range []struct {
		on   bool
		flag uintptr
	}{
		{script.Namespaces.User, unix.CLONE_NEWUSER}, {script.Namespaces.IPC, unix.CLONE_NEWIPC},
		{script.Namespaces.UTS, unix.CLONE_NEWUTS}, {script.Namespaces.Net && network < 0, unix.CLONE_NEWNET},
	} {
		if wish.on {
			sys.Cloneflags |= wish.flag
		}
	}
	if script.Namespaces.User {
		sys.UidMappings, sys.GidMappings = mappings(script.Users), mappings(script.Groups)
		sys.GidMappingsEnableSetgroups = true
		sys.Credential = &syscall.Credential{}
	}
	if files.Unified != hold.None {
		sys.UseCgroupFD, sys.CgroupFD = true, int(files.Unified)
	}
	return sys
}

// The parent writes the maps: from inside, only a single id of its own could be mapped.
func mappings(ranges []step.Range) []syscall.SysProcIDMap {
	mapped := make([]syscall.SysProcIDMap, 0, len(ranges))
	for _, r := range ranges {
		mapped = append(mapped, syscall.SysProcIDMap{ContainerID: int(r.Inside), HostID: int(r.Outside), Size: int(r.Count)})
	}
	return mapped
}

// Load reads a script from sealed memory, which stays open. False for anything but
// a file with nothing else in it, of at most maxScript bytes.
// Reading by position leaves the file's offset alone, which both ends share.
func Load(plan int) (*step.Script, bool) {
	var status unix.Stat_t
	if unix.Fstat(plan, &status) != nil || status.Size <= 0 || status.Size > maxScript {
		return nil, false
	}
	encoded := make([]byte, status.Size)
	if n, err := unix.Pread(plan, encoded, 0); err != nil || int64(n) != status.Size {
		return nil, false
	}
	script, err := step.Decode(encoded)
	return script, err == nil
}

// maxScript bounds a start script; arguments and environment are bounded by
// execve(2) anyway.
const maxScript = 16 << 20
