package process

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
	"virtlxcd/ports"
	"virtlxcd/ports/porttest"
)

// Child modes of the test binary, see childMain.
const (
	modeEnv = "VLX_PROCESS_CHILD"
	rootEnv = "VLX_PROCESS_ROOT"
)

func TestMain(m *testing.M) {
	if mode := os.Getenv(modeEnv); mode != "" {
		childMain(mode)
		return
	}
	goleak.VerifyTestMain(m)
}

// childMain sleeps until its input ends: below another root, in as many groups as
// there can be, or ignoring a signal.
func childMain(mode string) {
	switch mode {
	case "chroot":
		if err := syscall.Chroot(os.Getenv(rootEnv)); err != nil {
			fmt.Println(err)
			return
		}
	case "groups":
		groups := make([]int, 65536)
		for i := range groups {
			groups[i] = 1<<32 - 2 - i
		}
		if err := syscall.Setgroups(groups); err != nil {
			fmt.Println(err)
			return
		}
	case "ignore":
		signal.Ignore(syscall.SIGHUP)
	}
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
}

func newProcesses(t *testing.T) *Processes {
	t.Helper()
	ps, err := New()
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, ps.Close()) })
	return ps
}

// spawn starts cmd, waits until it says that it is ready, and has it reaped.
func spawn(t *testing.T, cmd *exec.Cmd) porttest.Child {
	t.Helper()
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", line)
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", cmd.Process.Pid))
	require.NoError(t, err)
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
	require.NoError(t, err)
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+2:]))
	start, err := strconv.ParseUint(fields[19], 10, 64)
	require.NoError(t, err)

	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cmd.Wait() // killed by most tests
	}()
	end := func() {
		cmd.Process.Kill()
		<-ended
		in.Close()
	}
	t.Cleanup(end)
	return porttest.Child{PID: cmd.Process.Pid, Start: start, Program: program, Ended: ended, End: end}
}

// shell handles exactly the given signals, which no Go program does.
func shell(t *testing.T, catches ...int) porttest.Child {
	t.Helper()
	traps := ""
	for _, signum := range catches {
		traps += fmt.Sprintf("trap : %d; ", signum)
	}
	return spawn(t, exec.Command("sh", "-c", traps+"echo ready; while :; do read _; done"))
}

func child(t *testing.T, mode string, env ...string) porttest.Child {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(append(os.Environ(), modeEnv+"="+mode), env...)
	return spawn(t, cmd)
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to give a process another root directory")
	}
}

// below starts a child whose root is dir.
func below(t *testing.T, dir string) porttest.Child {
	t.Helper()
	needRoot(t)
	return child(t, "chroot", rootEnv+"="+dir)
}

func TestContract(t *testing.T) {
	porttest.TestProcesses(t, func(t *testing.T) porttest.ProcessesHarness {
		return porttest.ProcessesHarness{
			Processes: newProcesses(t),
			Start:     shell,
			NoFifo:    func(t *testing.T) porttest.Child { return below(t, t.TempDir()) },
			Fifo: func(t *testing.T) (porttest.Child, func() []byte) {
				root := t.TempDir()
				pipe := makePipe(t, filepath.Join(root, "run", "initctl"))
				return below(t, root), func() []byte { return drain(t, pipe) }
			},
		}
	})
}

func open(t *testing.T, ps *Processes, pid int) ports.Process {
	t.Helper()
	p, err := ps.Open(context.Background(), pid, 0)
	require.NoError(t, err)
	return p
}

func TestZombieCountsAsEnded(t *testing.T) {
	ps := newProcesses(t)
	cmd := exec.Command("sleep", "1000")
	require.NoError(t, cmd.Start())
	defer cmd.Wait()
	p := open(t, ps, cmd.Process.Pid)
	require.NoError(t, cmd.Process.Kill()) // and not reaped yet
	<-p.Done()
	require.ErrorIs(t, p.Signal(0), fault.NotFound)
	_, err := p.Program()
	require.ErrorIs(t, err, fault.NotFound)
	_, err = p.Namespaces()
	require.ErrorIs(t, err, fault.NotFound)
	_, err = p.Catches(1)
	require.ErrorIs(t, err, fault.NotFound)
	require.ErrorIs(t, p.RequestRunlevel('0'), fault.NotFound)
	_, err = ps.Open(context.Background(), cmd.Process.Pid, 0)
	require.ErrorIs(t, err, fault.NotFound)
}

func TestOpenRefuses(t *testing.T) {
	ps := newProcesses(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := ps.Open(ctx, os.Getpid(), 0)
	require.ErrorIs(t, err, fault.Aborted)
	late, cancel := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer cancel()
	_, err = ps.Open(late, os.Getpid(), 0)
	require.ErrorIs(t, err, fault.Timeout)
	for _, pid := range []int{0, -1} {
		_, err = ps.Open(context.Background(), pid, 0)
		require.ErrorIs(t, err, fault.InvalidArgument)
	}
	_, err = ps.Open(context.Background(), otherThread(t), 0)
	require.ErrorIs(t, err, fault.NotFound, "a thread is no process")
	require.NoError(t, ps.Close())
	_, err = ps.Open(context.Background(), os.Getpid(), 0)
	require.ErrorIs(t, err, fault.Aborted)
}

// otherThread returns the number of a thread that does not lead the process.
func otherThread(t *testing.T) int {
	t.Helper()
	tids := make(chan int)
	stay := make(chan struct{})
	t.Cleanup(func() { close(stay) })
	for range 2 { // of two locked threads at most one is the leader
		go func() {
			runtime.LockOSThread()
			tids <- unix.Gettid()
			<-stay
		}()
	}
	first, second := <-tids, <-tids
	if first == os.Getpid() {
		return second
	}
	return first
}

func TestCloseLeavesTheProcessAndEndsTheWait(t *testing.T) {
	ps := newProcesses(t)
	c := shell(t)
	p := open(t, ps, c.PID)
	require.NoError(t, p.Close())
	require.NoError(t, p.Close(), "twice is harmless")
	require.ErrorIs(t, p.Signal(0), fault.NotFound)
	require.NoError(t, syscall.Kill(c.PID, 0))
	select {
	case <-p.Done():
		assert.Fail(t, "it did not end")
	default:
	}
	assert.Empty(t, ps.open)
}

func TestManyProcesses(t *testing.T) {
	ps, err := New()
	require.NoError(t, err)
	first := shell(t)
	for range 200 {
		open(t, ps, first.PID)
	}
	second := shell(t)
	ending := open(t, ps, second.PID)
	second.End()
	<-ending.Done()
	require.NoError(t, ps.Close())
	assert.Empty(t, ps.open)
}

func TestSignalRefusesWhatIsNone(t *testing.T) {
	p := open(t, newProcesses(t), shell(t).PID)
	for _, signum := range []int{-1, 65, 1000} {
		require.ErrorIs(t, p.Signal(signum), fault.InvalidArgument, "%d", signum)
	}
	for _, signum := range []int{-1, 0, 65} {
		_, err := p.Catches(signum)
		require.ErrorIs(t, err, fault.InvalidArgument, "%d", signum)
	}
}

func TestIgnoredSignalIsNotCaught(t *testing.T) {
	p := open(t, newProcesses(t), child(t, "ignore").PID)
	catches, err := p.Catches(int(syscall.SIGHUP))
	require.NoError(t, err)
	assert.False(t, catches)
	catches, err = p.Catches(int(syscall.SIGTERM))
	require.NoError(t, err)
	assert.True(t, catches, "the runtime handles it")
}
