package background

import (
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
)

// The variables by which a program that was started finds its pipe, and which
// of the two processes it is.
const (
	pipeVariable = "VIRTLXCD_REPORT_FD"
	roleVariable = "VIRTLXCD_REPORT_ROLE"
	helperRole   = "helper"
	daemonRole   = "daemon"
)

// pipeNumber is the descriptor of a child's first extra file.
const pipeNumber = 3

// A report is one byte, after a failure followed by its text.
const (
	readyByte   = 0
	failureByte = 1
	textLimit   = 64 << 10
)

// Start runs this program once more, in the background, and returns when it has
// called Ready; or with what it gave to Fail. Args are all its arguments, its
// name first. It gets the same environment, "/" as working directory, so that
// paths in args had better be absolute, and /dev/null for standard files. No
// other descriptor that this process has is passed on.
func Start(args []string) error {
	read, write, err := os.Pipe()
	if err != nil {
		return fault.Wrap(err, fault.System, "cannot go into the background")
	}
	defer read.Close()
	if err := spawn(args, helperRole, write); err != nil {
		return errors.Join(err, write.Close())
	}
	if err := write.Close(); err != nil {
		return fault.Wrap(err, fault.System, "cannot go into the background")
	}
	return await(read)
}

// spawn starts the program in a role; the helper it also waits for. The helper leads a
// session and ends, so the daemon is in one without a terminal and leads none: opening a
// terminal will never make it the daemon's own (setsid(2), tty(4)).
func spawn(args []string, role string, pipe *os.File) error {
	// Also what was inherited: a kernel before 5.11 cannot, and passes it on.
	_ = unix.CloseRange(pipeNumber, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	cmd := exec.Command(self(), args[1:]...)
	cmd.Args[0] = args[0]
	cmd.Dir = "/"
	cmd.Env = append(withoutMarks(os.Environ()), pipeVariable+"="+strconv.Itoa(pipeNumber), roleVariable+"="+role)
	cmd.ExtraFiles = []*os.File{pipe}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: role == helperRole}
	err := cmd.Start()
	if err == nil && role == helperRole {
		err = cmd.Wait()
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) { // it reports as well, if it can
		return nil
	}
	if err != nil {
		return fault.Wrap(err, fault.System, "cannot go into the background")
	}
	return nil
}

// self is the path of this program: the name of a process is the last part of
// what it executed.
func self() string {
	path, _ := os.Executable() // "" leads nowhere
	return selfAt(path)
}

// selfAt is path, or if this program is not there any more, the link to it.
func selfAt(path string) string {
	const link = "/proc/self/exe"
	there, err := os.Stat(path)
	if err != nil {
		return link
	}
	if own, err := os.Stat(link); err != nil || !os.SameFile(own, there) {
		return link
	}
	return path
}

// withoutMarks is the environment without marks of an earlier start.
func withoutMarks(environment []string) (rest []string) {
	for _, variable := range environment {
		name, _, _ := strings.Cut(variable, "=")
		if name != pipeVariable && name != roleVariable {
			rest = append(rest, variable)
		}
	}
	return rest
}

// await reads until the report is complete or nobody is left to complete it: the pipe ends
// when the last process that has it does, so a daemon that dies is noticed at once.
func await(pipe io.Reader) error {
	status := make([]byte, 1)
	_, err := io.ReadFull(pipe, status)
	if errors.Is(err, io.EOF) {
		return fault.New(fault.Failed, fault.Host, "the daemon ended before it was ready and did not say why")
	}
	if err != nil {
		return fault.Wrap(err, fault.System, "cannot learn whether the daemon is running")
	}
	if status[0] == readyByte {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(pipe, textLimit))
	if err != nil {
		return fault.Wrap(err, fault.System, "cannot learn why the daemon failed")
	}
	return fault.New(fault.Failed, fault.Host, "%s", text)
}
