package control

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"syscall"
)

// birth is a program to be started.
// The files are what it finds from descriptor 3 on: its listening socket and the
// connection to this daemon.
type birth struct {
	program string
	socket  string
	files   []*os.File
	answer  chan born
}

// born is the answer: one of the two is nil.
type born struct {
	process *os.Process
	err     error
}

// nursery starts controllers from a thread of its own that has moved into the
// controllers' control groups: children inherit them, and no process has to be
// moved, which with cgroup v1 takes milliseconds.
type nursery struct {
	births chan birth
	quit   chan struct{} // closed by close
	done   chan struct{} // closed when the thread has left the groups
	log    *slog.Logger
}

// environment of a controller: one thread of Go code is all it has.
// More threads would cost memory for each running container.
var environment = []string{"GOMAXPROCS=1"}

// room is what a controller's command line is filled up to, so that it can show
// the name of what it holds later.
const room = 512

// It returns before the thread has joined the groups: the first birth waits for that,
// the start of the daemon does not.
func newNursery(options Options, log *slog.Logger) *nursery {
	n := &nursery{births: make(chan birth), quit: make(chan struct{}), done: make(chan struct{}), log: log}
	go n.run(options)
	return n
}

// run keeps its thread locked to the end, so that the changed thread dies with it.
// Births are carried out one after the other. A Go program with a thread whose groups
// differ must never run anything else on it, hence the lock without an unlock.
func (n *nursery) run(options Options) {
	defer close(n.done)
	runtime.LockOSThread()
	unified := n.join(options.Group)
	if unified != nil {
		defer unified.Close()
	}
	if options.Home != nil {
		defer n.leave(options.Home)
	}
	for {
		select {
		case b := <-n.births:
			process, err := b.start(unified)
			b.answer <- born{process, err}
		case <-n.quit:
			return
		}
	}
}

// join moves this thread into the v1 groups; the v2 group is entered at birth.
// A host that refuses leaves controllers in the daemon's groups.
// Of a refusal only the log tells: containers start, and a restart of the service in
// which the daemon runs may end them.
func (n *nursery) join(group func(context.Context) (*os.File, []*os.File, error)) *os.File {
	if group == nil {
		return nil
	}
	unified, tasks, err := group(context.Background())
	if err == nil {
		err = move(tasks)
	}
	if err != nil {
		n.log.Warn("controllers stay in the daemon's control groups: a restart of its service may end them", "error", err)
	}
	return unified
}

// leave moves this thread back. The thread ends a moment after its goroutine,
// too late for who wants to remove the group then.
// An error is no more than a group that stays behind, so it is told at a low level.
func (n *nursery) leave(home func() ([]*os.File, error)) {
	tasks, err := home()
	if err = errors.Join(err, move(tasks)); err != nil {
		n.log.Debug("the controllers' control group may stay behind", "error", err)
	}
}

// move puts this thread into the groups, as far as that goes.
// "0" is the thread that writes. Each file is closed whatever came of it, and the
// others are tried.
func move(tasks []*os.File) (err error) {
	for _, file := range tasks {
		_, refused := file.WriteString("0")
		err = errors.Join(err, refused, file.Close())
	}
	return err
}

// start executes the program in a session of its own, so that no terminal's hang-up
// reaches it. Descriptors 0 to 2 are /dev/null, files follow from 3 on.
// The command line is filled up with blanks as one more argument, which the
// controller does not read; it writes the name there later.
func (b *birth) start(unified *os.File) (*os.Process, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	sys := &syscall.SysProcAttr{Setsid: true}
	if unified != nil {
		sys.UseCgroupFD, sys.CgroupFD = true, int(unified.Fd())
	}
	arguments := []string{b.program, "--socket", b.socket}
	arguments = append(arguments, strings.Repeat(" ", max(0, room-len(strings.Join(arguments, " ")))))
	return os.StartProcess(b.program, arguments, &os.ProcAttr{
		Dir: "/", Env: environment, Files: append([]*os.File{null, null, null}, b.files...), Sys: sys,
	})
}

// start waits for the thread, not for the program: that may still be loading. The
// files are not closed. os.ErrClosed after close.
// Ctx ends only the waiting for the thread: once it has taken the birth, the answer
// comes soon, and a process that nobody waits for would be lost.
func (n *nursery) start(ctx context.Context, b birth) (*os.Process, error) {
	b.answer = make(chan born, 1)
	select {
	case n.births <- b:
	case <-n.done:
		return nil, os.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	result := <-b.answer
	return result.process, result.err
}

// close may be called once. A start that is under way ends first.
func (n *nursery) close() {
	close(n.quit)
	<-n.done
}
