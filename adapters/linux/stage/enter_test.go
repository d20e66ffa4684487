package stage

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/launch/step"
	"virtlxcd/ports/hold"
)

// spoken makes what init writes to its standard output come out, and init program.
func (m *machine) spoken(script *step.Script, program string, arguments ...string) *step.Script {
	m.files.Log = m.files.Passed[0]
	exec := &script.Enter[len(script.Enter)-1]
	exec.Path, exec.Words = "/bin/"+program, append([]string{program}, arguments...)
	return script
}

// TestInitIsBornClean looks at what is inherited over exec.
func TestInitIsBornClean(t *testing.T) {
	m := newMachine(t)
	text, _ := m.says(m.spoken(m.script("",
		step.Op{Code: step.Become, Data: "/", Value: 1<<unix.CAP_KILL | 1<<unix.CAP_CHOWN, Major: 63}), "cat", "/proc/self/status"))
	for _, line := range []string{
		"Umask:\t0022", "Pid:\t1", "NSpid:\t1", "Threads:\t1", "SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000",
		"SigCgt:\t0000000000000000", "CapInh:\t0000000000000000", "CapPrm:\t0000000000000021", "CapEff:\t0000000000000021",
		"CapBnd:\t0000000000000021", "NoNewPrivs:\t0", "Groups:\t ",
	} {
		assert.Contains(t, text, line+"\n")
	}
}

func TestWhatInitIsGiven(t *testing.T) {
	m := newMachine(t)
	text, status := m.says(m.script(`echo $$ $PWD "$A" $(hostname) $(ulimit -n) $(ulimit -Hn) $(cat /proc/self/oom_score_adj) >&3; ls -A / >&3; exit 3`,
		step.Op{Code: step.Hostname, Path: "vlxhost"},
		step.Op{Code: step.Limit, Value: unix.RLIMIT_NOFILE, Major: 100, Minor: 200}))
	assert.Equal(t, 3<<8, status)
	assert.Equal(t, "1 / b c vlxhost 100 200 0\nbin\nproc\n", text, "and nothing is left in the image")
}

func TestAUser(t *testing.T) {
	m := newMachine(t)
	require.NoError(t, os.Mkdir(m.root+"/etc", 0o755))
	require.NoError(t, os.WriteFile(m.root+"/etc/passwd", []byte("bob:x:1000:100::/:\n"), 0o644))
	require.NoError(t, os.WriteFile(m.root+"/etc/group", []byte("staff:x:50:bob\n"), 0o644))
	require.NoError(t, os.WriteFile(m.root+"/terminal", nil, 0o600))
	text, _ := m.says(m.script(`grep -E "^(Uid|Gid|Groups|Cap(Prm|Eff|Bnd))" /proc/$$/status >&3`,
		step.Op{Code: step.Become, Path: "bob", Source: "7", Data: "/terminal", Value: 1 << unix.CAP_KILL, Major: 40}))
	got := strings.Join(strings.Fields(text), " ")
	assert.Equal(t, "Uid: 1000 1000 1000 1000 Gid: 7 7 7 7 Groups: 50 100 "+
		"CapPrm: 0000000000000000 CapEff: 0000000000000000 CapBnd: 0000000000000020", got)
	var terminal unix.Stat_t
	require.NoError(t, unix.Stat(m.root+"/terminal", &terminal))
	assert.EqualValues(t, 1000, terminal.Uid)
}

func TestATerminal(t *testing.T) {
	m := newMachine(t)
	script := m.script("tty >&3; read line; echo got $line >&3",
		step.Op{Code: step.Attach, Slot: 1, Path: "/dev/pts"}, step.Op{Code: step.Session, Path: "/dev/pts/0"})
	script.Prepare = append(script.Prepare, step.Op{Code: step.NewMount, Source: "devpts", Data: "mode=0620,ptmxmode=0666", Slot: 1},
		step.Op{Code: step.OpenTerminal, Slot: 2, Value: 1, Mode: 0o620})
	script.Slots, script.Terminals = 3, []int{2}
	born := m.began(script)
	require.Len(t, born.Terminals, 1)
	_, err := unix.Write(int(born.Terminals[0]), []byte("typed\n"))
	require.NoError(t, err)
	m.release(&born)
	m.ended(&born)
	text := make([]byte, 100)
	n, err := m.out.Read(text)
	require.NoError(t, err)
	assert.Equal(t, "/dev/pts/0\ngot typed\n", string(text[:n]))
}

func TestStepsThatFail(t *testing.T) {
	m := newMachine(t)
	for name, content := range map[string]string{"file": "", "script": "#!/bin/absent\n", "garbage": "vlx", "plain": "#!/bin/sh\n"} {
		require.NoError(t, os.WriteFile(m.root+"/"+name, []byte(content), 0o755))
	}
	require.NoError(t, os.Chmod(m.root+"/plain", 0o644))
	for name, row := range map[string]struct {
		op   step.Op
		want unix.Errno
	}{
		"mount point that is a file":  {step.Op{Code: step.Mount, Source: "tmpfs", Path: "/file"}, unix.ENOTDIR},
		"mount point below a file":    {step.Op{Code: step.Mount, Source: "tmpfs", Path: "/file/x"}, unix.ENOTDIR},
		"unknown filesystem":          {step.Op{Code: step.Mount, Source: "vlxfs", Path: "/x"}, unix.ENODEV},
		"missing source":              {step.Op{Code: step.Bind, Source: "/missing", Path: "/x"}, unix.ENOENT},
		"directory on a file":         {step.Op{Code: step.Bind, Source: "/bin", Path: "/file"}, unix.ENOTDIR},
		"file on a directory":         {step.Op{Code: step.Bind, Source: "/file", Path: "/bin"}, unix.EISDIR},
		"protected, not mounted":      {step.Op{Code: step.Protect, Path: "/bin", Flags: step.ReadOnly}, unix.EINVAL},
		"private, not mounted":        {step.Op{Code: step.MakePrivate, Path: "/bin"}, unix.EINVAL},
		"link in a missing directory": {step.Op{Code: step.Link, Source: "x", Path: "/missing/link"}, unix.ENOENT},
		"name that is too long":       {step.Op{Code: step.Hostname, Path: strings.Repeat("x", 65)}, unix.EINVAL},
		"soft limit above the hard":   {step.Op{Code: step.Limit, Value: unix.RLIMIT_NOFILE, Major: 2, Minor: 1}, unix.EINVAL},
		"unknown limit":               {step.Op{Code: step.Limit, Value: 999}, unix.EINVAL},
		"missing terminal":            {step.Op{Code: step.Session, Path: "/dev/pts/0"}, unix.ENOENT},
		"no terminal":                 {step.Op{Code: step.Session, Path: "/file"}, unix.ENOTTY},
		"unknown user":                {step.Op{Code: step.Become, Path: "nobody"}, unix.ENOENT},
		"unknown group":               {step.Op{Code: step.Become, Source: "nobody"}, unix.ENOENT},
		"terminal of nobody":          {step.Op{Code: step.Become, Path: "5", Data: "/missing"}, unix.ENOENT},
		"missing directory":           {step.Op{Code: step.Directory, Path: "/missing"}, unix.ENOENT},
		"directory that is a file":    {step.Op{Code: step.Directory, Path: "/file"}, unix.ENOTDIR},
		"missing init":                {step.Op{Code: step.Exec, Path: "/missing"}, unix.ENOENT},
		"init of no format":           {step.Op{Code: step.Exec, Path: "/garbage"}, unix.ENOEXEC},
		"init without permission":     {step.Op{Code: step.Exec, Path: "/plain"}, unix.EACCES},
		"init that is a directory":    {step.Op{Code: step.Exec, Path: "/bin"}, unix.EACCES},
		"argument with a zero in it":  {step.Op{Code: step.Exec, Path: "/bin/sh", Words: []string{"a\x00b"}}, unix.EINVAL},
		"old root forgotten twice":    {step.Op{Code: step.Forget}, unix.EBADF},
		"an operation of Prepare":     {step.Op{Code: step.OpenTree, Path: "/"}, unix.ENOSYS},
		"an operation yet to be":      {step.Op{Code: step.Code(200)}, unix.ENOSYS},
	} {
		t.Run(name, func(t *testing.T) {
			m.t = t
			assert.Equal(t, hold.Failure{Entered: true, Index: middle, Errno: uint32(row.want)}, m.fails(m.script("", row.op)))
		})
	}
	m.t = t
	failure := m.fails(m.script("", step.Op{Code: step.Exec, Path: "/script"}))
	assert.Equal(t, hold.Failure{Entered: true, Index: middle, Errno: uint32(unix.ENOENT), Interpreter: true}, failure)
}

// TestRootsThatAreNone: what the definition names is not a directory.
func TestRootsThatAreNone(t *testing.T) {
	m := newMachine(t)
	m.root += "/bin/busybox"
	assert.Equal(t, hold.Failure{Entered: true, Index: 1, Errno: uint32(unix.ENOTDIR)}, m.fails(m.script("")))
	m.root += "/x"
	assert.Equal(t, hold.Failure{Index: 0, Errno: uint32(unix.ENOTDIR)}, m.fails(m.script("")))
}

// TestAnImageWhoseProcLeadsOut: "/.." is the host's root until Forget.
func TestAnImageWhoseProcLeadsOut(t *testing.T) {
	m := newMachine(t)
	target := t.TempDir()
	require.NoError(t, os.Symlink(".."+target, m.root+"/proc"))
	assert.Equal(t, hold.Failure{Entered: true, Index: 2, Errno: uint32(unix.ELOOP)}, m.fails(m.script("")))
}

func TestAReadOnlyRoot(t *testing.T) {
	m := newMachine(t)
	require.NoError(t, os.Mkdir(m.root+"/proc", 0o755))
	script := m.script("touch /x 2>&3; echo $? >&3")
	script.Prepare = append(script.Prepare, step.Op{Code: step.SetAttributes, Flags: step.ReadOnly})
	text, _ := m.says(script)
	assert.Contains(t, text, "Read-only file system\n1\n")

	again := newMachine(t)
	script = again.script("")
	script.Prepare = append(script.Prepare, step.Op{Code: step.SetAttributes, Flags: step.ReadOnly})
	assert.Equal(t, hold.Failure{Entered: true, Index: 2, Errno: uint32(unix.EROFS)}, again.fails(script), "no mount point, and none can be made")
}

// TestGroupsThatRefuse: the first operation, with descriptors of the first list.
func TestGroupsThatRefuse(t *testing.T) {
	m := newMachine(t)
	full, err := unix.Open("/dev/full", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	m.files.Tasks = []hold.FD{hold.FD(full)}
	script := m.script("")
	script.Enter = append(step.List{{Code: step.Join}}, script.Enter...)
	assert.Equal(t, hold.Failure{Entered: true, Errno: uint32(unix.ENOSPC)}, m.fails(script))
}

// TestManyFilesKeepTheirOrder: more than lie between the first numbers, so that
// the stage's own channels are in their way.
func TestManyFilesKeepTheirOrder(t *testing.T) {
	for _, count := range []int{0, 1, 2, 3, 4, 5, 20} {
		m := newMachine(t)
		for i := range count {
			fd, err := unix.MemfdCreate("vlx"+strconv.Itoa(i), unix.MFD_CLOEXEC)
			require.NoError(t, err)
			m.files.Passed = append(m.files.Passed, hold.FD(fd))
		}
		text, _ := m.says(m.spoken(m.script(""), "ls", "-l", "/proc/self/fd"))
		for i := range count {
			assert.Contains(t, text, fmt.Sprintf(" %d -> /memfd:vlx%d ", 4+i, i))
		}
		assert.Contains(t, text, " 3 -> pipe:")
		assert.Equal(t, 4+count, strings.Count(text, " -> "), "and no other")
	}
}
