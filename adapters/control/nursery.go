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
type birth struct {
	program string
	socket  string
	files   []*os.File
	answer  chan born
}

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
var environment = []string{"GOMAXPROCS=1"}

// room is what a controller's command line is filled up to, so that it can show
// the name of what it holds later.
const room = 512

func newNursery(options Options, log *slog.Logger) *nursery {
	n := &nursery{births: make(chan birth), quit: make(chan struct{}), done: make(chan struct{}), log: log}
	go n.run(options)
	return n
}

// run keeps its thread locked to the end, so that the changed thread dies with it.
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
func (n *nursery) leave(home func() ([]*os.File, error)) {
	tasks, err := home()
	if err = errors.Join(err, move(tasks)); err != nil {
		n.log.Debug("the controllers' control group may stay behind", "error", err)
	}
}

// move puts this thread into the groups, as far as that goes.
func move(tasks []*os.File) (err error) {
	for _, file := range tasks {
		_, refused := file.WriteString("0")
		err = errors.Join(err, refused, file.Close())
	}
	return err
}

// start executes the program in a session of its own, so that no terminal's hang-up
// reaches it. Descriptors 0 to 2 are /dev/null, files follow from 3 on.
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
