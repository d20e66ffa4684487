package stage

import (
	"syscall"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/launch/step"
	"virtlxcd/ports/hold"
)

// Name is the argument after the program's name that makes it a stage.
const Name = "stage"

// entering is the stage at work. It keeps to one thread, which alone survives
// the final exec: what is per thread counts there only.
// It is never undone: whatever goes wrong, the process ends, and its namespaces with it.
type entering struct {
	script  *step.Script
	slots   []int // nil until the first is needed
	tasks   []int // of the v1 cgroups
	files   []int // for init
	report  int   // where failures are told
	release int   // where slots and the go-ahead come from
	oldRoot int   // between Pivot and Forget, else -1
}

// Run carries out Enter with the descriptors that Begin laid out; arguments are
// those after Name. It returns only on failure, which it has reported. The caller
// has locked the goroutine to its thread (runtime.LockOSThread).
// An operation that fails ends the list. Its index and errno are all that is told: the
// plan, which the daemon has, knows what the operation was about.
func Run(arguments []string) {
	setOOMScore("0")
	e, err := layOut(arguments)
	if err != nil {
		e.fail(hold.Failure{Index: noOperation, Errno: errnoOf(err)})
		return
	}
	for i := range e.script.Enter {
		op := &e.script.Enter[i]
		if err := e.one(op); err != nil {
			e.fail(hold.Failure{Index: uint32(i), Errno: errnoOf(err), Interpreter: missesInterpreter(op, err)})
			return
		}
	}
}

// layOut finds the descriptors from the counts in arguments: tasks, files. With
// an error the result can report, and no more.
// The network comes before everything else, since sysfs shows that of the thread
// that mounts it.
func layOut(arguments []string) (*entering, error) {
	e := &entering{report: reportFD, release: goFD, oldRoot: -1}
	script, ok := Load(planFD)
	if !ok || len(arguments) != 2 {
		return e, unix.EBADMSG
	}
	if err := unix.Setns(networkFD, unix.CLONE_NEWNET); err != nil && err != unix.EINVAL {
		return e, err // EINVAL: no namespace was handed over, a new one is in place
	}
	next := firstTaskFD
	e.tasks, next = consecutive(next, number(arguments[0]))
	e.files, _ = consecutive(next, number(arguments[1]))
	e.script = script
	return e, nil
}

// slot is what Prepare left in a slot. The first use waits for all of them.
// The number was checked by step.Decode, so there is such a slot.
func (e *entering) slot(number int) (fd int, err error) {
	if err := e.collect(); err != nil {
		return -1, err
	}
	return e.slots[number], nil
}

// collect receives the slots, once. The masters of terminals are not among them:
// they stay with the controller.
// Until then the operations that need no slot run beside Prepare.
func (e *entering) collect() (err error) {
	if e.slots != nil {
		return nil
	}
	wanted := make([]bool, e.script.Slots)
	for i := range wanted {
		wanted[i] = true
	}
	for _, terminal := range e.script.Terminals {
		wanted[terminal] = false
	}
	e.slots, err = receiveSlots(e.release, wanted)
	return err
}

// consecutive are n descriptors from first on, and the one after them.
func consecutive(first, n int) (fds []int, next int) {
	for i := range n {
		fds = append(fds, first+i)
	}
	return fds, first + n
}

// number reads a decimal number that the parent wrote, so it is one.
func number(text string) (n int) {
	for i := range len(text) {
		n = n*10 + int(text[i]-'0')
	}
	return n
}

// fail reports a failure, or with the zero Failure that exec comes next.
func (e *entering) fail(failure hold.Failure) {
	report := encode(failure)
	unix.Write(e.report, report[:])
}

// missesInterpreter tells a missing interpreter from a missing program: both
// are ENOENT for execve(2).
func missesInterpreter(op *step.Op, err error) bool {
	var status unix.Stat_t
	return op.Code == step.Exec && err == unix.ENOENT && unix.Stat(op.Path, &status) == nil
}

// one carries out one operation; other is its second half.
// Mount points are looked at first as long as the old root is in reach, see stays.
func (e *entering) one(op *step.Op) error {
	switch op.Code {
	case step.Attach, step.Mount, step.Bind:
		if err := e.stays(op.Path); err != nil {
			return err
		}
	}
	switch op.Code {
	case step.Attach:
		return e.attach(op)
	case step.Mount:
		return mount(op)
	case step.Bind:
		return bind(op)
	case step.Protect:
		return protect(op)
	case step.Unmount:
		return unmount(op.Path)
	case step.MakePrivate:
		return unix.Mount("", op.Path, "", unix.MS_REC|unix.MS_PRIVATE, "")
	case step.Pivot:
		return e.pivot(op)
	case step.Forget:
		return e.forget()
	case step.Link:
		return symlink(op.Source, op.Path)
	}
	return e.other(op)
}

// other has the operations that are not about mounts.
// ENOSYS is for a code that this program does not know, as package step promises.
func (e *entering) other(op *step.Op) error {
	switch op.Code {
	case step.Join:
		return e.join()
	case step.NewCgroupView:
		return unix.Unshare(unix.CLONE_NEWCGROUP)
	case step.LoopbackUp:
		return loopbackUp()
	case step.Hostname:
		return unix.Sethostname([]byte(op.Path))
	case step.Wait:
		return e.wait()
	case step.Limit:
		return limit(int(op.Value), op.Major, op.Minor)
	case step.Persona:
		return persona(op.Value)
	case step.Session:
		return session(op.Path)
	case step.Become:
		return become(op)
	case step.Directory:
		return unix.Chdir(op.Path)
	case step.Files:
		return e.passFiles()
	case step.Exec:
		return e.execute(op)
	}
	return unix.ENOSYS
}

// join moves this thread into the v1 cgroups. A thread that moves itself needs
// none of the locks that moving another process takes (milliseconds).
// "0" is the thread that writes (kernel document cgroup-v1/cgroups, "tasks").
func (e *entering) join() error {
	for _, tasks := range e.tasks {
		if _, err := unix.Write(tasks, []byte("0")); err != nil {
			return err
		}
	}
	return nil
}

// wait reads the go-ahead; an end of file means that the controller gave up
// (ECANCELED). It comes on the socket of the slots, behind them: unread ones
// would be taken for it.
// The controller writes one byte; what is in it does not matter.
func (e *entering) wait() error {
	if err := e.collect(); err != nil {
		return err
	}
	var one [1]byte
	for {
		n, err := unix.Read(e.release, one[:])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return err
		case n == 0:
			return unix.ECANCELED
		}
		return nil
	}
}

// limit sets a resource limit; a hard limit that may not be raised is kept. It is
// package syscall's call, because its Exec puts back the limit of open files that
// the Go runtime found at its start, unless that package has set another one.
// Above its hard limit a process without CAP_SYS_RESOURCE gets EPERM: then as much is
// set as it may have, since a container with fewer files is better than none.
func limit(resource int, soft, hard uint64) error {
	wish := syscall.Rlimit{Cur: soft, Max: hard}
	err := syscall.Setrlimit(resource, &wish)
	if err != syscall.EPERM {
		return err
	}
	var present syscall.Rlimit
	if err := syscall.Getrlimit(resource, &present); err != nil {
		return err
	}
	return syscall.Setrlimit(resource, &syscall.Rlimit{Cur: min(soft, present.Max), Max: present.Max})
}

// persona sets the execution domain, as RawSyscall because it is this thread's.
// Package unix has no call of its own for it.
func persona(value uint64) error {
	if _, _, errno := unix.RawSyscall(unix.SYS_PERSONALITY, uintptr(value), 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// session makes the terminal this session's and the standard descriptors. Without
// it job control in the container has nothing to work on (setsid(2), tty(4)).
// The stage is no leader of a process group before, so setsid cannot fail for that.
// The three duplicates keep the terminal open; the number it was opened as is closed.
func session(terminal string) error {
	if _, err := unix.Setsid(); err != nil {
		return err
	}
	tty, err := unix.Open(terminal, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.IoctlSetInt(tty, unix.TIOCSCTTY, 0); err != nil {
		return err
	}
	for standard := range 3 {
		if err := unix.Dup3(tty, standard, 0); err != nil {
			return err
		}
	}
	return unix.Close(tty)
}

// passFiles gives the passed files the numbers from 3 on and lets exec close
// all others. Each lies above its new number, so that going upwards none is
// overwritten before it was moved; the report pipe is moved out of the way, not
// further than it must: to make the table of descriptors larger takes a process
// with threads many milliseconds (it waits for an RCU grace period).
// The files end up as systemd expects sockets that are passed on (sd_listen_fds(3)).
func (e *entering) passFiles() (err error) {
	end := planFD + len(e.files)
	if e.report < end {
		if e.report, err = unix.FcntlInt(uintptr(e.report), unix.F_DUPFD_CLOEXEC, end); err != nil {
			return err
		}
	}
	for i, file := range e.files {
		if err := unix.Dup3(file, planFD+i, 0); err != nil {
			return err
		}
	}
	return unix.CloseRange(uint(end), 1<<31-1, unix.CLOSE_RANGE_CLOEXEC)
}

// initMask is init's umask; until then modes are taken as they are written.
const initMask = 0o022

// execute announces itself, so that the pipe's end can be told from a death on
// the way, and becomes init.
// The report comes before exec, when nothing but exec is left to fail; if that fails,
// a second report follows it, this time with an errno.
func (e *entering) execute(op *step.Op) error {
	e.fail(hold.Failure{})
	unix.Umask(initMask)
	resetSignals()
	return syscall.Exec(op.Path, op.Words, op.Env)
}
