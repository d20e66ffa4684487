package hooks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
)

const (
	// complaintLimit is how much of a program's standard error is kept, in bytes.
	complaintLimit = 16 << 10
	// drainLimit is how long output is waited for that something which the
	// program left behind could still write; normally it is there already.
	drainLimit = 200 * time.Millisecond
	umask      = 0o022
)

// program is one call of one script.
type program struct {
	path      string
	arguments []string
	document  string
}

// run waits for the program, not for what it starts in the background. If ctx
// ends first, its process group is killed: Timeout, or Aborted.
func (p program) run(ctx context.Context) error {
	complaint := &head{limit: complaintLimit}
	cmd := exec.CommandContext(ctx, p.path, p.arguments...)
	cmd.Dir = "/"
	cmd.Env = environment()
	cmd.Stderr = complaint
	if p.document != "" {
		cmd.Stdin = strings.NewReader(p.document)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return killGroup(cmd.Process) }
	cmd.WaitDelay = drainLimit
	err := start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if errors.Is(err, exec.ErrWaitDelay) { // it succeeded, and left something behind
		err = nil
	}
	return p.failure(ctx, err, complaint)
}

// killGroup kills the group of a process that was not waited for yet: until then its
// number is nobody else's. What left the group (setsid(2)) is on its own.
func killGroup(leader *os.Process) error {
	if err := leader.Signal(syscall.Signal(0)); err != nil {
		return err // os.ErrProcessDone, which exec knows
	}
	return unix.Kill(-leader.Pid, unix.SIGKILL)
}

// start starts cmd from a thread whose umask is its own; the daemon's other
// threads create files meanwhile. umask(2) is the process's unless the thread has left the
// others' file system attributes (CLONE_FS of unshare(2)).
func start(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_FS)
		if err == nil {
			unix.Umask(umask)
			err = cmd.Start()
		}
		started <- err
	}()
	return <-started
}

// environment is all that a script may rely on.
func environment() []string {
	variables := []string{"LC_ALL=C"}
	for _, name := range []string{"PATH", "HOME", "USER", "LOGNAME", "TMPDIR"} {
		if value, set := os.LookupEnv(name); set {
			variables = append(variables, name+"="+value)
		}
	}
	return variables
}

// failure puts err, of starting or waiting, in the words that administrators know. An
// ended ctx comes first: that the program died of SIGKILL is then our own doing.
func (p program) failure(ctx context.Context, err error, complaint *head) error {
	if err == nil {
		return nil
	}
	command := strings.Join(append([]string{p.path}, p.arguments...), " ")
	var exit *exec.ExitError
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return failed(fault.Timeout, errors.Join(ctx.Err(), err), "Child process (%s) took too long and was ended", command)
	case ctx.Err() != nil:
		return failed(fault.Aborted, errors.Join(ctx.Err(), err), "Child process (%s) was ended", command)
	case !errors.As(err, &exit):
		return failed(fault.HookFailed, err, "cannot execute binary %s: %v", command, err)
	}
	status := fmt.Sprintf("exit status %d", exit.ExitCode())
	if waited, ok := exit.Sys().(syscall.WaitStatus); ok && waited.Signaled() {
		status = fmt.Sprintf("fatal signal %d", waited.Signal())
	}
	return failed(fault.HookFailed, err, "Child process (%s) unexpected %s: %s", command, status, complaint)
}

// failed says no more than the text to clients; err is inside.
func failed(kind fault.Kind, err error, format string, arguments ...any) error {
	text := printable("internal error: " + fmt.Sprintf(format, arguments...))
	return &fault.Error{Kind: kind, Err: told{text, err}}
}

// told is an error with a text of its own: clients read that and nothing of the cause,
// which errors.Is still finds.
type told struct {
	text  string
	cause error
}

func (t told) Error() string { return t.text }
func (t told) Unwrap() error { return t.cause }

// head keeps the beginning of what is written to it and takes the rest, so that a loud
// program neither waits nor fills memory. The beginning usually says why.
type head struct {
	limit int
	text  strings.Builder
}

// Write never fails, or the program would be told that its output is broken.
func (h *head) Write(b []byte) (int, error) {
	h.text.Write(b[:min(len(b), h.limit-h.text.Len())])
	return len(b), nil
}

// String is without blanks at the end: scripts end their lines.
func (h *head) String() string { return strings.TrimRight(h.text.String(), " \t\r\n") }

// printable replaces what no client's text can have: it is UTF-8 and ends at a zero byte.
func printable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}
