package stage

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/launch/step"
	"virtlxcd/ports/hold"
)

// nowhere is a failure that belongs to no operation, whatever list it is looked
// up in: an error must not blame the first one.
func nowhere(errno unix.Errno) hold.Failure {
	return hold.Failure{Entered: true, Index: noOperation, Errno: uint32(errno)}
}

func TestProcessesThatCannotBeMade(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*machine, *step.Script)
		want   unix.Errno
	}{
		"ids that overlap": {func(_ *machine, s *step.Script) {
			s.Namespaces.User = true
			s.Users = []step.Range{{Inside: 0, Outside: 1000, Count: 10}, {Inside: 5, Outside: 2000, Count: 10}}
			s.Groups = s.Users[:1]
		}, unix.EINVAL},
		"an image that is no program": {func(m *machine, _ *step.Script) {
			unix.Close(int(m.files.Image))
			null, err := unix.MemfdCreate("vlx", 0)
			require.NoError(m.t, err)
			m.files.Image = hold.FD(null)
		}, unix.ENOEXEC},
		"a group that is none": {func(m *machine, _ *step.Script) {
			fd, err := unix.MemfdCreate("vlx", unix.MFD_CLOEXEC)
			require.NoError(m.t, err)
			m.files.Unified = hold.FD(fd)
		}, unix.EBADF},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			script := m.script("")
			row.change(m, script)
			assert.Equal(t, nowhere(row.want), m.fails(script))
		})
	}
}

// TestPlansThatAStageCannotRead: the controller has read the same one, so this
// is about another release, or memory that was not sealed.
func TestPlansThatAStageCannotRead(t *testing.T) {
	for name, plan := range map[string][]byte{"nothing": nil, "garbage": []byte("vlx"), "cut": {1, 3, 'v'}} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.usePlan(plan)
			born, failure := m.Begin(m.script(""), &m.files, hold.None)
			if !failure.Failed() {
				_, failure = m.outcome(&born)
				m.end(&born)
			}
			assert.Equal(t, nowhere(unix.EBADMSG), failure)
		})
	}
}

// TestPrepareThatFailsTakesTheProcessAlong: it was made first.
func TestPrepareThatFailsTakesTheProcessAlong(t *testing.T) {
	m := newMachine(t)
	script := m.script("")
	script.Prepare = append(script.Prepare, step.Op{Code: step.OpenTree, Path: "/vlx/missing", Slot: 1})
	script.Slots = 2
	assert.Equal(t, hold.Failure{Index: 1, Errno: uint32(unix.ENOENT)}, m.fails(script))
}

// TestAStageThatDoesNotListenHasSaidWhy: slots that cannot be sent are not the reason.
func TestAStageThatDoesNotListenHasSaidWhy(t *testing.T) {
	k := &Kernel{}
	var pipe [2]int
	require.NoError(t, unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK))
	defer unix.Close(pipe[0])
	born := &hold.Born{Outcome: hold.FD(pipe[0])}
	assert.Equal(t, nowhere(unix.EPIPE), k.deaf(born, unix.EPIPE), "it said nothing")
	why := hold.Failure{Entered: true, Index: 7, Errno: uint32(unix.ENOSPC)}
	report := encode(why)
	_, err := unix.Write(pipe[1], report[:])
	require.NoError(t, err)
	assert.Equal(t, why, k.deaf(born, unix.EPIPE))
	unix.Close(pipe[1])
	assert.Equal(t, nowhere(unix.EPIPE), k.deaf(born, unix.EPIPE), "it died")
}

// TestAControllerThatGivesUp: its end of the channel closes, as when it dies.
func TestAControllerThatGivesUp(t *testing.T) {
	m := newMachine(t)
	born := m.began(m.script("echo ran >&3"))
	unix.Close(int(born.Release))
	born.Release = hold.None
	all, failure := m.outcome(&born)
	assert.Equal(t, []hold.Progress{hold.Stuck, hold.Gone}, all)
	assert.Equal(t, hold.Failure{Entered: true, Index: middle, Errno: uint32(unix.ECANCELED)}, failure)
	assert.Equal(t, 1<<8, m.ended(&born))
}

// TestSlotsAreNotTheGoAhead: a script whose steps before Wait use no slot.
func TestSlotsAreNotTheGoAhead(t *testing.T) {
	m := newMachine(t)
	script := m.script("")
	script.Enter = step.List{{Code: step.Wait}, {Code: step.Exec, Path: "/vlx/missing"}}
	born := m.began(script)
	unix.Close(int(born.Release)) // never let go
	born.Release = hold.None
	_, failure := m.outcome(&born)
	assert.Equal(t, hold.Failure{Entered: true, Index: 0, Errno: uint32(unix.ECANCELED)}, failure)
}

func TestAStageThatIsKilled(t *testing.T) {
	m := newMachine(t)
	born := m.began(m.script(""))
	_, ended := m.Reap(born.PID, born.Process)
	assert.False(t, ended)
	m.Kill(born.Process)
	all, _ := m.outcome(&born)
	assert.Equal(t, []hold.Progress{hold.Gone}, all, "it announced nothing")
	assert.Equal(t, int(unix.SIGKILL), m.ended(&born))
	m.Kill(born.Process) // it is dead already
	m.release(&born)     // and so is who would read it
}

func TestAnIDMap(t *testing.T) {
	m := newMachine(t)
	require.NoError(t, os.Chmod(m.root, 0o755))
	require.NoError(t, os.Chown(m.root, 100000, 200000))
	script := m.script(`{ cat /proc/self/uid_map /proc/self/gid_map; stat -c "%u %g" /; id -u; } >&3`)
	script.Namespaces.User = true
	script.Users, script.Groups = []step.Range{{Outside: 100000, Count: 1000}}, []step.Range{{Outside: 200000, Count: 7}}
	require.NoError(t, os.Symlink("busybox", m.root+"/bin/stat"))
	require.NoError(t, os.Symlink("busybox", m.root+"/bin/id"))
	text, _ := m.says(script)
	assert.Equal(t, "0 100000 1000 0 200000 7 0 0 0", strings.Join(strings.Fields(text), " "))
}

// TestNetworks: a new one is opened for the daemon, one that is given is joined.
func TestNetworks(t *testing.T) {
	m := newMachine(t)
	script := m.script("readlink /proc/self/ns/net >&3", step.Op{Code: step.LoopbackUp})
	require.NoError(t, os.Symlink("busybox", m.root+"/bin/readlink"))
	assert.Equal(t, hold.None, networkOf(script, os.Getpid(), -1), "not asked for")
	script.Namespaces.Net = true
	first := m.began(script)
	require.NotEqual(t, hold.None, first.Network)
	own, err := os.Readlink("/proc/self/ns/net")
	require.NoError(t, err)
	name := namespaceOf(t, first.Network)
	assert.NotEqual(t, own, name)

	second, failure := m.Begin(script, &m.files, first.Network)
	require.Equal(t, hold.Failure{}, failure)
	t.Cleanup(func() { m.end(&second) })
	assert.NotEqual(t, first.Network, second.Network, "a descriptor of its own")
	assert.Equal(t, name, namespaceOf(t, second.Network))
	m.release(&second)
	m.ended(&second)
	text := make([]byte, 100)
	n, err := m.out.Read(text)
	require.NoError(t, err)
	assert.Equal(t, name+"\n", string(text[:n]))
}

// namespaceOf is its name: "net:[4026531840]".
func namespaceOf(t *testing.T, fd hold.FD) string {
	t.Helper()
	name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(fd)))
	require.NoError(t, err)
	return name
}

// TestReapOfAStranger: the child of another process, as after Restore.
func TestReapOfAStranger(t *testing.T) {
	needRoot(t)
	shell := exec.Command("/bin/sh", "-c", "(read line; exit 5) <&3 & echo $!; read line; wait $!; echo waited; read line; exit 0")
	own, gate, err := os.Pipe()
	require.NoError(t, err)
	defer gate.Close()
	shell.ExtraFiles = []*os.File{own}
	in, err := shell.StdinPipe()
	require.NoError(t, err)
	out, err := shell.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, shell.Start())
	defer func() { in.Close(); assert.NoError(t, shell.Wait()) }()
	own.Close()
	text := make([]byte, 100)
	n, err := out.Read(text)
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	require.NoError(t, err)
	pidfd, err := unix.PidfdOpen(pid, 0)
	require.NoError(t, err)
	defer unix.Close(pidfd)

	k := &Kernel{}
	_, ended := k.Reap(pid, hold.FD(pidfd))
	assert.False(t, ended)
	gate.Close()
	require.True(t, readable(pidfd))
	status, ended := k.Reap(pid, hold.FD(pidfd))
	assert.True(t, ended)
	assert.Equal(t, 5<<8, status, "a zombie tells")
	_, err = in.Write([]byte("\n"))
	require.NoError(t, err)
	_, err = out.Read(text) // "waited"
	require.NoError(t, err)
	status, ended = k.Reap(pid, hold.FD(pidfd))
	assert.True(t, ended, "its parent has waited for it")
	if _, told := rememberedExit(pidfd); told { // Linux 6.15
		assert.Equal(t, 5<<8, status)
	}
}

func TestLoad(t *testing.T) {
	dir, err := unix.Open("/", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	defer unix.Close(dir)
	huge, err := unix.MemfdCreate("vlx", unix.MFD_CLOEXEC)
	require.NoError(t, err)
	defer unix.Close(huge)
	require.NoError(t, unix.Ftruncate(huge, maxScript+1))
	for _, fd := range []int{-1, dir, huge} {
		_, ok := Load(fd)
		assert.False(t, ok)
	}
	script := &step.Script{Name: "vlx"}
	require.NoError(t, unix.Ftruncate(huge, 0))
	_, err = unix.Write(huge, script.Append(nil)) // its position is at the end now
	require.NoError(t, err)
	for range 2 {
		loaded, ok := Load(huge)
		require.True(t, ok, "however often it is read")
		assert.Equal(t, script, loaded)
	}
}

func TestIntroduce(t *testing.T) {
	for name, want := range map[string]string{
		"vlxa":                    "libvirt_lxc\x00--name\x00vlxa\x00--socket\x00/run/vlx.sock\x00",
		strings.Repeat("x", 2000): "libvirt_lxc\x00--name\x00" + strings.Repeat("x", 100),
	} {
		command := exec.Command("/proc/self/exe", "introduce", strings.Repeat(" ", 300))
		command.Env = append(os.Environ(), "VLX_NAME="+name)
		out, err := command.Output()
		require.NoError(t, err)
		line, err := strconv.Unquote(string(out))
		require.NoError(t, err)
		assert.True(t, strings.HasPrefix(line, want), "%q", line)
		assert.True(t, strings.HasSuffix(line, "\x00"), "%q", line)
		assert.Equal(t, len("/proc/self/exe\x00introduce\x00")+301, len(line), "its length cannot change")
	}
}
