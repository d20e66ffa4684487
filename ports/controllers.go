package ports

import (
	"context"
	"os"

	"virtlxcd/domain/container"
	"virtlxcd/domain/launch/step"
	"virtlxcd/domain/policy"
)

// Controllers makes and finds controller processes, which hold running
// containers so that these outlive the daemon.
type Controllers interface {
	// Launch starts a process for the named container and returns at once: it
	// may still be loading while the daemon prepares other things. UUID keeps
	// its socket apart from others.
	Launch(ctx context.Context, identity container.Identity) (Controller, error)
	// Adopt connects to a running one. NotFound if it is gone.
	Adopt(ctx context.Context, ref container.Controller) (Controller, error)
}

// ControllerSweeper is implemented by Controllers whose processes can outlive
// all traces of what they held: a daemon that dies after it removed a status
// and before it acknowledged the end leaves a controller that nobody knows.
type ControllerSweeper interface {
	// Sweep ends controllers that hold nothing and whose sockets are not mine,
	// and returns their sockets. Others are left alone. For the start of a
	// daemon, when it has adopted what it knows.
	Sweep(ctx context.Context, mine func(socket string) bool) (ended []string, err error)
}

// Controller is one such process, as the daemon sees it. It may hold several
// containers; nothing here assumes one.
type Controller interface {
	// Ref is what to remember of it.
	Ref() container.Controller
	// Begin makes the container's first process in its cgroup and namespaces.
	// It waits before the last steps until Proceed. An operation of the plan
	// that fails is a *StepError. One that is held already is refused and stays
	// unharmed. The files in order are not closed, whatever becomes of it.
	Begin(ctx context.Context, order Order) (Held, error)
	// Proceed lets it go on and returns when init has been executed, or with a
	// *StepError; then nothing of it is left. One that runs already is fine: a
	// new daemon does not know whether the last one said so. Unknown ones are not.
	Proceed(ctx context.Context, uuid container.UUID) error
	// Abandon kills a container, whether or not init has been executed, and lets go
	// of it without a report; unknown ones are fine. It also ends what a Begin or
	// Proceed may have done that was given up with its context.
	Abandon(ctx context.Context, uuid container.UUID) error
	// Reclaim returns fresh descriptors of a held container. NotFound.
	Reclaim(ctx context.Context, uuid container.UUID) (Held, error)
	// Restore hands a container over whose controller died: this one reports
	// its end and serves its consoles, though init is not its child.
	Restore(ctx context.Context, order Order, held Held) error
	// Reports is what happens to held containers, in order, those first that no
	// daemon has acknowledged yet. It is closed when the controller is gone, and by
	// Close. There is one channel: each report is received once.
	Reports() <-chan Report
	// Acknowledge says that reports up to number were dealt with, whether or not
	// they were told here; lower numbers than before are fine and do nothing. A
	// controller that holds nothing and has nothing unacknowledged ends.
	Acknowledge(number uint64) error
	// Close hangs up. The process goes on holding what it holds, but a start that
	// Proceed has not let go on is abandoned, as when the daemon dies.
	Close() error
}

// Order is a container to be started.
type Order struct {
	Identity   container.Identity
	Prepare    step.List
	Enter      step.List
	Slots      int   // descriptor slots the lists use
	Terminals  []int // slots that hold the guest terminals, by console
	Namespaces step.Namespaces
	IDMap      policy.IDMap
	WaitLinks  bool // a restart needs the daemon to make links anew

	HostTerminals []*os.File // masters, by console
	Files         []*os.File // for init, from 3 on
	Cgroup        Cgroup
}

// Held is a container that a controller holds. The receiver closes the files.
type Held struct {
	PID       int
	Start     uint64     // of PID, see Process
	Process   *os.File   // pidfd
	Network   *os.File   // its network namespace, nil if it is the host's
	Terminals []*os.File // masters of the guest terminals, by console
	Hosts     []*os.File // masters of the host terminals, by console
	Plan      *os.File   // what a restart inside needs
}

// Report is one thing that happened to a held container.
type Report struct {
	Number    uint64 // from 1 on, never used again by the controller
	Container container.UUID
	Kind      ReportKind
	// Exit is init's wait status (wait(2)); 0 if the controller was not its
	// parent and the kernel does not tell.
	Exit int
	Held Held // ReportRestarted: the new init, with fresh descriptors
	// Failure is the operation that failed, of ReportRestartFailed; may be nil.
	Failure *StepError
}

// ReportKind is what a Report tells.
type ReportKind uint8

// The kinds.
const (
	// ReportExited: init has ended; the controller let go of the container.
	ReportExited ReportKind = iota + 1
	// ReportRestarted: init asked for a reboot and runs again.
	ReportRestarted
	// ReportRestartNeedsLinks: init asked for a reboot; its links are gone with
	// its network namespace. Make them, then Proceed.
	ReportRestartNeedsLinks
	// ReportRestartFailed: init asked for a reboot and could not be started;
	// the controller let go of the container.
	ReportRestartFailed
)

// StepError is an operation of a plan that failed.
type StepError struct {
	Entered bool // of Enter, else of Prepare
	Index   int  // in its list
	Errno   int
	// Interpreter: Exec failed because the program's interpreter is missing,
	// not the program.
	Interpreter bool
	Err         error // Errno as an error
}

// Error names neither object nor path: the plan knows them.
func (e *StepError) Error() string { return e.Err.Error() }

// Unwrap gives the errno.
func (e *StepError) Unwrap() error { return e.Err }
