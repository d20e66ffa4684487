package background

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
)

// TestMain is also the daemon that the tests put into the background.
func TestMain(m *testing.M) {
	reporter, err := Report()
	switch {
	case err != nil:
		fmt.Println("refused:", err)
	case reporter != nil:
		daemon(reporter, os.Args[1], os.Args[2:])
	default:
		goleak.VerifyTestMain(m)
	}
}

// daemon acts as it is told.
func daemon(reporter *Reporter, role string, arguments []string) {
	switch role {
	case "fail":
		reporter.Fail(errors.New(arguments[0]))
		reporter.Ready() // too late to count
	case "large":
		reporter.Fail(errors.New(strings.Repeat("x", 1<<20)))
	case "silent":
		// Its child must not keep the caller waiting.
		child := exec.Command("sleep", "600")
		if err := child.Start(); err != nil {
			panic(err)
		}
		note(arguments[0], child.Process.Pid)
	case "ready":
		note(arguments[0], surroundings())
		reporter.Ready()
		unix.Pause() // until it is killed
	case "terminal":
		stat := openTerminal()
		note(arguments[0], stat)
		reporter.Ready()
	}
}

func note(path string, what any) {
	text, err := json.Marshal(what)
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		panic(err)
	}
}

// state is what a daemon finds.
type state struct {
	PID, Parent, Session, Group int
	Name, Program, Directory    string
	Arguments                   []string
	Files                       map[string]string
	Environment                 []string
}

func surroundings() state {
	session, _ := unix.Getsid(0)
	s := state{
		PID: os.Getpid(), Parent: os.Getppid(), Session: session, Group: unix.Getpgrp(),
		Arguments: os.Args, Environment: os.Environ(), Files: map[string]string{},
	}
	s.Directory, _ = os.Getwd()
	s.Program, _ = os.Readlink("/proc/self/exe")
	name, _ := os.ReadFile("/proc/self/comm")
	s.Name = strings.TrimSpace(string(name))
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, entry := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + entry.Name()); err == nil {
			s.Files[entry.Name()] = to
		}
	}
	return s
}

// openTerminal opens one as careless code does, and tells the controlling
// terminal (proc_pid_stat(5), tty_nr) afterwards.
func openTerminal() string {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		return err.Error()
	}
	defer master.Close()
	fd := int(master.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		return err.Error()
	}
	slave, err := unix.Open("/dev/pts/"+strconv.Itoa(number), unix.O_RDWR, 0) // no O_NOCTTY
	if err != nil {
		return err.Error()
	}
	defer unix.Close(slave)
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return err.Error()
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return "terminal " + strings.Fields(after)[4]
}

// adopt makes orphans children of the test, which reaps them.
func adopt(t *testing.T) {
	t.Helper()
	require.NoError(t, unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
	t.Cleanup(func() {
		assert.NoError(t, unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0))
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		assert.ErrorIs(t, err, unix.ECHILD, "process %d is left", pid)
	})
}

// reap waits for any child.
func reap(t *testing.T) (pid int) {
	t.Helper()
	for {
		pid, err := unix.Wait4(-1, nil, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		require.NoError(t, err)
		return pid
	}
}

func read(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, into))
}

func TestReady(t *testing.T) {
	adopt(t)
	t.Setenv("VLX_KEPT", "yes")
	path := filepath.Join(t.TempDir(), "note")
	// What a careless parent left open is not passed on.
	stray, err := unix.FcntlInt(os.Stderr.Fd(), unix.F_DUPFD, 60)
	require.NoError(t, err)
	defer unix.Close(stray)
	require.NoError(t, Start([]string{"vlx-name", "ready", path}))
	var s state
	read(t, path, &s)
	require.NoError(t, unix.Kill(s.PID, 0), "it runs")
	require.NoError(t, unix.Kill(s.PID, unix.SIGKILL))
	assert.Equal(t, s.PID, reap(t), "the helper was reaped")

	own, err := os.Executable()
	require.NoError(t, err)
	assert.Equal(t, own, s.Program)
	assert.Equal(t, filepath.Base(own)[:15], (s.Name + "               ")[:15])
	assert.Equal(t, []string{"vlx-name", "ready", path}, s.Arguments)
	assert.Equal(t, "/", s.Directory)
	session, err := unix.Getsid(0)
	require.NoError(t, err)
	assert.NotEqual(t, session, s.Session)
	assert.NotEqual(t, s.PID, s.Session, "no leader of the session")
	assert.Equal(t, s.Session, s.Group)
	for _, standard := range []string{"0", "1", "2"} {
		assert.Equal(t, "/dev/null", s.Files[standard])
	}
	assert.Contains(t, s.Files["3"], "pipe:")
	assert.NotContains(t, s.Files, "60")
	assert.Contains(t, s.Environment, "VLX_KEPT=yes")
	assert.False(t, slices.ContainsFunc(s.Environment, func(v string) bool { return strings.HasPrefix(v, "VIRTLXCD_REPORT") }))
}

func TestFailure(t *testing.T) {
	adopt(t)
	err := Start([]string{"vlx-name", "fail", "no socket: 100% used"})
	require.ErrorIs(t, err, fault.Failed)
	assert.EqualError(t, err, "no socket: 100% used")
	reap(t)
	err = Start([]string{"vlx-name", "fail", ""})
	require.ErrorIs(t, err, fault.Failed)
	reap(t)
	err = Start([]string{"vlx-name", "large"})
	require.ErrorIs(t, err, fault.Failed)
	assert.Len(t, err.Error(), textLimit)
	reap(t)
}

// TestSilentEnd is noticed at once, whatever the daemon started meanwhile.
func TestSilentEnd(t *testing.T) {
	adopt(t)
	path := filepath.Join(t.TempDir(), "note")
	err := Start([]string{"vlx-name", "silent", path})
	require.ErrorIs(t, err, fault.Failed)
	assert.ErrorContains(t, err, "did not say why")
	var child int
	read(t, path, &child)
	require.NoError(t, unix.Kill(child, unix.SIGKILL), "it runs still")
	assert.Contains(t, []int{reap(t), reap(t)}, child)
}

// TestNoControllingTerminal: containers' terminals are opened later on.
func TestNoControllingTerminal(t *testing.T) {
	adopt(t)
	path := filepath.Join(t.TempDir(), "note")
	require.NoError(t, Start([]string{"vlx-name", "terminal", path}))
	reap(t)
	var found string
	read(t, path, &found)
	assert.Equal(t, "terminal 0", found)
}

func TestForeground(t *testing.T) {
	reporter, err := Report()
	require.NoError(t, err)
	require.Nil(t, reporter)
	reporter.Ready()
	reporter.Fail(errors.New("nobody is told"))
}

// TestForgedVariables: nothing is closed that is somebody else's.
func TestForgedVariables(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	null, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer null.Close()
	pipe, other, err := os.Pipe()
	require.NoError(t, err)
	defer pipe.Close()
	defer other.Close()
	for name, test := range map[string]struct {
		number, role string
		file         *os.File
	}{
		"no role": {"3", "", pipe}, "no number": {"", "daemon", pipe}, "another number": {"1", "daemon", pipe},
		"no pipe": {"3", "daemon", null}, "another role": {"3", "king", pipe}, "no number at all": {"x", "helper", pipe},
	} {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), pipeVariable+"="+test.number, roleVariable+"="+test.role)
		cmd.ExtraFiles = []*os.File{test.file}
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, name)
		assert.Contains(t, string(out), "refused: VIRTLXCD_REPORT_FD", name)
	}
}

// TestReplacedProgram still starts, though its path leads nowhere.
func TestReplacedProgram(t *testing.T) {
	assert.Equal(t, "/proc/self/exe", selfAt(filepath.Join(t.TempDir(), "gone")))
	assert.Equal(t, "/proc/self/exe", selfAt(os.DevNull))
	own, err := os.Executable()
	require.NoError(t, err)
	assert.Equal(t, own, selfAt(own))
}
