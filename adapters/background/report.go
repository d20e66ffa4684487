package background

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
)

// Reporter tells the process that called Start how it went. Only the first
// report counts. A nil Reporter, of a process in the foreground, does nothing.
type Reporter struct{ pipe *os.File }

// Report returns the reporter of a process that Start started; nil if it was
// started by anybody else. Call it first of all in main: half of the way into
// the background is made there, by a process that ends in it. Children get
// neither the variables nor the pipe.
func Report() (*Reporter, error) {
	number, role := os.Getenv(pipeVariable), os.Getenv(roleVariable)
	if number == "" && role == "" {
		return nil, nil
	}
	os.Unsetenv(pipeVariable)
	os.Unsetenv(roleVariable)
	if !ours(number, role) {
		return nil, fault.New(fault.InvalidArgument, fault.Host, "%s and %s are for the daemon's own use", pipeVariable, roleVariable)
	}
	unix.CloseOnExec(pipeNumber)
	r := &Reporter{pipe: os.NewFile(pipeNumber, "report")}
	if role == daemonRole {
		return r, nil
	}
	if err := spawn(os.Args, daemonRole, r.pipe); err != nil {
		r.Fail(err)
		os.Exit(1)
	}
	os.Exit(0)
	return nil, nil
}

// ours says whether the variables are as Start sets them, with a pipe behind
// the number: anything else must not be closed.
func ours(number, role string) bool {
	var there unix.Stat_t
	return number == strconv.Itoa(pipeNumber) && (role == helperRole || role == daemonRole) &&
		unix.Fstat(pipeNumber, &there) == nil && there.Mode&unix.S_IFMT == unix.S_IFIFO
}

// Ready says that the daemon serves clients: Start returns nil.
func (r *Reporter) Ready() { r.send([]byte{readyByte}) }

// Fail says that it ends, and why; Start returns that text, of which 64 KiB count.
func (r *Reporter) Fail(err error) {
	text := err.Error()
	r.send(append([]byte{failureByte}, text[:min(len(text), textLimit)]...))
}

// send does not tell about errors: they mean that nobody waits any more.
func (r *Reporter) send(report []byte) {
	if r == nil || r.pipe == nil {
		return
	}
	_, _ = r.pipe.Write(report)
	_ = r.pipe.Close()
	r.pipe = nil
}
