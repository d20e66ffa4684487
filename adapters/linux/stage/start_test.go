package stage

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/launch/step"
	"virtlxcd/ports/hold"
)

// machine starts first processes for real, from the test's own binary.
type machine struct {
	*Kernel
	t     *testing.T
	root  string // of busybox alone
	files hold.Files
	out   *os.File // what init writes to descriptor 3
}

func newMachine(t *testing.T) *machine {
	needRoot(t)
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	image, err := unix.Open("/proc/self/exe", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	out, in, err := os.Pipe()
	require.NoError(t, err)
	passed, err := unix.FcntlInt(in.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	require.NoError(t, err)
	require.NoError(t, in.Close())
	m := &machine{Kernel: &Kernel{Null: null}, t: t, root: busyboxRoot(t), files: hold.NoFiles(), out: out}
	m.files.Image, m.files.Log, m.files.Passed = hold.FD(image), hold.FD(null), []hold.FD{hold.FD(passed)}
	t.Cleanup(func() {
		out.Close()
		unix.Close(null)
		m.files.Log = hold.None
		m.files.Each(func(fd hold.FD) { unix.Close(int(fd)) })
	})
	return m
}

func busyboxRoot(t *testing.T) string {
	t.Helper()
	busybox, err := exec.LookPath("busybox")
	require.NoError(t, err, "install busybox-static")
	content, err := os.ReadFile(busybox)
	require.NoError(t, err)
	root := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(root, "bin"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(root, "bin", "busybox"), content, 0o755))
	for _, name := range []string{"sh", "sleep", "ls", "grep", "cat", "hostname", "tty", "touch", "wc", "seq"} {
		require.NoError(t, os.Symlink("busybox", filepath.Join(root, "bin", name)))
	}
	return root
}

// script is the smallest start of a shell command, with more in its middle.
func (m *machine) script(command string, middle ...step.Op) *step.Script {
	enter := step.List{
		{Code: step.MakePrivate, Path: "/"}, {Code: step.Pivot}, {Code: step.Mount, Source: "proc", Path: "/proc"}, {Code: step.Forget},
	}
	enter = append(enter, middle...)
	enter = append(enter, step.Op{Code: step.Wait}, step.Op{Code: step.Files},
		step.Op{Code: step.Exec, Path: "/bin/sh", Words: []string{"sh", "-c", command}, Env: []string{"PATH=/bin", "A=b c"}})
	return &step.Script{
		Slots: 1, Prepare: step.List{{Code: step.OpenTree, Path: m.root}}, Enter: enter,
		Namespaces: step.Namespaces{IPC: true, UTS: true},
	}
}

// middle is the index of the first operation of the middle.
const middle = 4

// begin is Begin with the plan of script.
func (m *machine) begin(script *step.Script) (hold.Born, hold.Failure) {
	m.t.Helper()
	m.usePlan(script.Append(nil))
	return m.Begin(script, &m.files, hold.None)
}

func (m *machine) usePlan(encoded []byte) {
	m.t.Helper()
	plan, err := unix.MemfdCreate("plan", unix.MFD_CLOEXEC)
	require.NoError(m.t, err)
	_, err = unix.Write(plan, encoded)
	require.NoError(m.t, err)
	if m.files.Plan != hold.None {
		unix.Close(int(m.files.Plan))
	}
	m.files.Plan = hold.FD(plan)
}

// began is begin that must succeed; what is born ends with the test.
func (m *machine) began(script *step.Script) hold.Born {
	m.t.Helper()
	born, failure := m.begin(script)
	require.Equal(m.t, hold.Failure{}, failure)
	m.t.Cleanup(func() { m.end(&born) })
	return born
}

func (m *machine) end(born *hold.Born) {
	m.Kill(born.Process)
	m.ended(born)
	if born.Release != hold.None {
		unix.Close(int(born.Release))
	}
	closeAll([]int{int(born.Process), int(born.Outcome), int(born.Network)})
	for _, master := range born.Terminals {
		unix.Close(int(master))
	}
}

// ended waits for the end of a first process and takes its status.
func (m *machine) ended(born *hold.Born) int {
	m.t.Helper()
	require.True(m.t, readable(int(born.Process)), "it ends")
	status, ended := m.Reap(born.PID, born.Process)
	require.True(m.t, ended)
	return status
}

// readable waits until there is something, at most ten seconds.
func readable(fd int) bool {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10_000)
		if err != unix.EINTR {
			return err == nil && n == 1
		}
	}
}

func (m *machine) release(born *hold.Born) {
	m.Release(born.Release)
	born.Release = hold.None
}

// outcome reads all news; failure is that of Stuck.
func (m *machine) outcome(born *hold.Born) (all []hold.Progress, failure hold.Failure) {
	m.t.Helper()
	for {
		require.True(m.t, readable(int(born.Outcome)), "news comes")
		progress, told := m.Outcome(born.Outcome)
		if progress == hold.NoNews {
			continue
		}
		if progress == hold.Stuck {
			failure = told
		}
		if all = append(all, progress); progress == hold.Gone {
			return all, failure
		}
	}
}

// says runs a script to its end and returns what init wrote and its status.
func (m *machine) says(script *step.Script) (text string, status int) {
	m.t.Helper()
	born := m.began(script)
	m.release(&born)
	all, failure := m.outcome(&born)
	require.Equal(m.t, hold.Failure{}, failure)
	require.Equal(m.t, []hold.Progress{hold.Executing, hold.Gone}, all)
	status = m.ended(&born)
	m.closePassed()
	content, err := io.ReadAll(m.out)
	require.NoError(m.t, err)
	return string(content), status
}

// closePassed ends the pipe to m.out, when nobody else has it any more.
func (m *machine) closePassed() {
	for _, fd := range m.files.Passed {
		unix.Close(int(fd))
	}
	m.files.Passed = nil
}

// fails runs a script that must not reach init.
func (m *machine) fails(script *step.Script) hold.Failure {
	m.t.Helper()
	before := descriptors(m.t)
	born, failure := m.begin(script)
	if !failure.Failed() {
		m.release(&born)
		var all []hold.Progress
		all, failure = m.outcome(&born)
		assert.Contains(m.t, all, hold.Stuck)
		assert.Equal(m.t, 1<<8, m.ended(&born), "the stage ends with 1")
		m.end(&born)
	}
	assert.LessOrEqual(m.t, descriptors(m.t), before+1, "nothing is left open but the plan")
	_, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
	assert.Equal(m.t, unix.ECHILD, err, "no process is left")
	return failure
}
