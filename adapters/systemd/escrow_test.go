package systemd

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
	"virtlxcd/ports/porttest"
)

const (
	web = "01234567-89ab-cdef-0123-456789abcdef"
	db  = "ffffffff-89ab-cdef-0123-456789abcdef"
)

func uuidOf(t *testing.T, text string) container.UUID {
	t.Helper()
	uuid, err := container.ParseUUID(text)
	require.NoError(t, err)
	return uuid
}

// store is a manager that keeps what it is sent, as systemd does.
type store struct {
	manager
	files map[string]*os.File
	order []string // all messages
}

func newStore(t *testing.T) *store {
	s := &store{manager: manage(t, filepath.Join(t.TempDir(), "notify")), files: map[string]*os.File{}}
	t.Cleanup(func() {
		for _, file := range s.files {
			file.Close() // passed on files are closed already
		}
	})
	return s
}

// settle deals with all messages up to one that it sends itself.
func (s *store) settle(n *Notifier) {
	s.t.Helper()
	require.NoError(s.t, n.Status("settle"))
	for {
		message, file := s.next()
		if message == "STATUS=settle" {
			return
		}
		s.order = append(s.order, strings.ReplaceAll(message, "\n", " "))
		name, ok := strings.CutPrefix(message, "FDSTOREREMOVE=1\nFDNAME=")
		if ok {
			require.Nil(s.t, file)
			if s.files[name] != nil {
				require.NoError(s.t, s.files[name].Close())
			}
			delete(s.files, name)
			continue
		}
		name, ok = strings.CutPrefix(message, "FDSTORE=1\nFDNAME=")
		require.True(s.t, ok, message)
		name, ok = strings.CutSuffix(name, "\nFDPOLL=0")
		require.True(s.t, ok, message)
		require.NotNil(s.t, file, message)
		require.Nil(s.t, s.files[name], "two of one name")
		s.files[name] = file
	}
}

func (s *store) names() (names []string) {
	for name := range s.files {
		names = append(names, name)
	}
	return names
}

// restarted is what the next daemon receives: duplicates.
func (s *store) restarted() Stored {
	s.t.Helper()
	passed := make(Stored)
	for name, file := range s.files {
		fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		require.NoError(s.t, err)
		passed[name] = os.NewFile(uintptr(fd), name)
		s.t.Cleanup(func() { passed[name].Close() })
	}
	return passed
}

// sleeper is a process to hold, and its pidfd.
func sleeper(t *testing.T) (*exec.Cmd, *os.File) {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() }) // unless the test did
	fd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	require.NoError(t, err)
	pidfd := os.NewFile(uintptr(fd), "pidfd")
	t.Cleanup(func() { pidfd.Close() })
	return cmd, pidfd
}

func content(t *testing.T, text string) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "content")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	file, err := os.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { file.Close() })
	return file
}

// text reads from the start: the position is shared with other duplicates.
func text(t *testing.T, file *os.File) string {
	t.Helper()
	require.NotNil(t, file)
	b := make([]byte, 100)
	size, err := file.ReadAt(b, 0)
	if size == 0 {
		require.NoError(t, err)
	}
	return string(b[:size])
}

func closeHeld(held ports.Held) {
	for _, file := range append(append([]*os.File{held.Process, held.Network, held.Plan}, held.Terminals...), held.Hosts...) {
		if file != nil {
			file.Close() // no test looks at what it holds afterwards
		}
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// TestEscrowContract is about what any escrow does.
func TestEscrowContract(t *testing.T) {
	porttest.TestEscrow(t, func(t *testing.T) porttest.EscrowHarness {
		s := newStore(t)
		n := NewNotifier(quiet())
		return porttest.EscrowHarness{
			Escrow: NewEscrow(n, nil, quiet()),
			Again: func(t *testing.T) ports.Escrow {
				s.settle(n)
				return NewEscrow(n, s.restarted(), quiet())
			},
			Process: func(t *testing.T) ports.Held {
				cmd, pidfd := sleeper(t)
				return ports.Held{PID: cmd.Process.Pid, Start: startOf(t, cmd.Process.Pid), Process: pidfd}
			},
			File: func(t *testing.T) *os.File { return content(t, "content") },
			Same: func(t *testing.T, a, b *os.File) bool { return inode(t, a) == inode(t, b) },
		}
	})
}

// inode tells files apart, and since Linux 6.9 processes.
func inode(t *testing.T, file *os.File) [2]uint64 {
	t.Helper()
	var stat unix.Stat_t
	require.NoError(t, unix.Fstat(int(file.Fd()), &stat))
	return [2]uint64{stat.Dev, stat.Ino}
}

// TestEscrowSurvivesRestarts: all that was kept comes back, in its places, also
// to a daemon whose predecessor only looked.
func TestEscrowSurvivesRestarts(t *testing.T) {
	s := newStore(t)
	n := NewNotifier(quiet())
	before := NewEscrow(n, nil, quiet())
	process, pidfd := sleeper(t)
	require.NoError(t, before.Keep(uuidOf(t, web), ports.Held{
		PID: process.Process.Pid, Process: pidfd, Network: content(t, "network"), Plan: content(t, "plan"),
		Terminals: []*os.File{content(t, "guest 0"), content(t, "guest 1")}, Hosts: []*os.File{content(t, "host 0"), nil, content(t, "host 2"), nil},
	}))
	s.settle(n)
	assert.Equal(t, []string{"vlx-" + web}, s.names())
	assert.NoError(t, before.Close())
	s.settle(n)
	assert.Len(t, s.files, 1, "what is kept now stays when the daemon ends")

	for range 2 {
		after := NewEscrow(n, s.restarted(), quiet())
		held, ok := after.Kept(uuidOf(t, web))
		require.True(t, ok)
		defer closeHeld(held)
		assert.Equal(t, process.Process.Pid, held.PID)
		assert.Equal(t, startOf(t, process.Process.Pid), held.Start)
		require.NoError(t, pidfdSignal(held.Process, 0))
		assert.Equal(t, "network", text(t, held.Network))
		assert.Equal(t, "plan", text(t, held.Plan))
		require.Len(t, held.Terminals, 2)
		assert.Equal(t, "guest 0", text(t, held.Terminals[0]))
		assert.Equal(t, "guest 1", text(t, held.Terminals[1]))
		require.Len(t, held.Hosts, 4)
		assert.Equal(t, "host 0", text(t, held.Hosts[0]))
		assert.Nil(t, held.Hosts[1])
		assert.Equal(t, "host 2", text(t, held.Hosts[2]))
		assert.Nil(t, held.Hosts[3])
		for _, file := range []*os.File{held.Process, held.Network, held.Terminals[1], held.Hosts[2]} {
			flags, err := unix.FcntlInt(file.Fd(), unix.F_GETFD, 0)
			require.NoError(t, err)
			assert.Equal(t, unix.FD_CLOEXEC, flags, "children do not get it")
		}
		_, again := after.Kept(uuidOf(t, web))
		assert.False(t, again, "handed out once")
		require.NoError(t, after.Close())
		s.settle(n)
		assert.Len(t, s.files, 1, "what was handed out stays for the next daemon")
	}
}

// TestEscrowHoldsTerminals: a terminal whose only master is in the store lives.
func TestEscrowHoldsTerminals(t *testing.T) {
	s := newStore(t)
	n := NewNotifier(quiet())
	_, pidfd := sleeper(t)
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	require.NoError(t, err)
	require.NoError(t, NewEscrow(n, nil, quiet()).Keep(uuidOf(t, web), ports.Held{Process: pidfd, Hosts: []*os.File{master}}))
	s.settle(n)
	conn, err := master.SyscallConn()
	require.NoError(t, err)
	number := -1
	require.NoError(t, conn.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}))
	require.NoError(t, err)
	other, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	defer other.Close()
	require.NoError(t, master.Close())
	_, err = other.Write([]byte("still there\n"))
	require.NoError(t, err)

	held, ok := NewEscrow(n, s.restarted(), quiet()).Kept(uuidOf(t, web))
	require.True(t, ok)
	defer closeHeld(held)
	b := make([]byte, 100)
	size, err := held.Hosts[0].Read(b)
	require.NoError(t, err)
	assert.Equal(t, "still there\r\n", string(b[:size]))
}

func pidfdSignal(pidfd *os.File, signal unix.Signal) error {
	conn, err := pidfd.SyscallConn()
	if err != nil {
		return err
	}
	failed := conn.Control(func(fd uintptr) { err = unix.PidfdSendSignal(int(fd), signal, nil, 0) })
	return errors.Join(failed, err)
}

func startOf(t *testing.T, pid int) uint64 {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(t, err)
	start, err := startIn(stat)
	require.NoError(t, err)
	require.NotZero(t, start)
	return start
}

func TestEscrowDropsUnknown(t *testing.T) {
	s := newStore(t)
	n := NewNotifier(quiet())
	e := NewEscrow(n, nil, quiet())
	require.NoError(t, e.Drop(uuidOf(t, web)))
	_, ok := e.Kept(uuidOf(t, web))
	assert.False(t, ok)
	require.NoError(t, e.Close())
	s.settle(n)
	assert.Empty(t, s.order)
}

func TestEscrowWithoutManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	e := NewEscrow(NewNotifier(quiet()), nil, quiet())
	_, pidfd := sleeper(t)
	require.NoError(t, e.Keep(uuidOf(t, web), ports.Held{Process: pidfd}))
	assert.Empty(t, e.stored)
	require.NoError(t, e.Drop(uuidOf(t, web)))
}

func TestEscrowKeepsNothingOfClosedFiles(t *testing.T) {
	s := newStore(t)
	n := NewNotifier(quiet())
	e := NewEscrow(n, nil, quiet())
	_, pidfd := sleeper(t)
	gone := content(t, "gone")
	require.NoError(t, gone.Close())
	err := e.Keep(uuidOf(t, web), ports.Held{Process: pidfd, Plan: content(t, "plan"), Terminals: []*os.File{gone}})
	require.ErrorIs(t, err, fault.System)
	s.settle(n)
	assert.Empty(t, s.files)
}

// TestEscrowIsNeverTooFull: with more names the service could not be started.
func TestEscrowIsNeverTooFull(t *testing.T) {
	s := newStore(t)
	n := NewNotifier(quiet())
	var log record
	e := NewEscrow(n, nil, log.log())
	assert.Less(t, mostParcels*(len(storedName(uuidOf(t, web)))+1)+len("LISTEN_FDNAMES=")+4096, 128<<10)
	var uuid container.UUID
	for i := range mostParcels {
		uuid[0], uuid[1] = byte(i), byte(i>>8)
		e.stored[uuid] = true
	}
	_, pidfd := sleeper(t)
	require.NoError(t, e.Keep(uuidOf(t, db), ports.Held{Process: pidfd}), "as without a keeper")
	require.NoError(t, e.Keep(uuidOf(t, db), ports.Held{Process: pidfd}))
	s.settle(n)
	assert.Empty(t, s.files)
	assert.Equal(t, 1, strings.Count(log.String(), "level=WARN"), log.String())
	require.NoError(t, e.Keep(uuid, ports.Held{Process: pidfd}), "it has its place")
	require.NoError(t, e.Drop(uuid))
	require.NoError(t, e.Keep(uuidOf(t, db), ports.Held{Process: pidfd}))
	s.settle(n)
	assert.Equal(t, []string{"vlx-" + db}, s.names())
}

func TestEscrowOfManyConsoles(t *testing.T) {
	s := newStore(t)
	n := NewNotifier(quiet())
	e := NewEscrow(n, nil, quiet())
	_, pidfd := sleeper(t)
	one := content(t, "console")
	held := ports.Held{Process: pidfd}
	for range mostFiles - 1 {
		held.Hosts = append(held.Hosts, one)
	}
	require.NoError(t, e.Keep(uuidOf(t, web), held))
	s.settle(n)
	kept, ok := NewEscrow(n, s.restarted(), quiet()).Kept(uuidOf(t, web))
	require.True(t, ok)
	defer closeHeld(kept)
	assert.Len(t, kept.Hosts, mostFiles-1)

	held.Terminals = []*os.File{one}
	require.ErrorIs(t, e.Keep(uuidOf(t, web), held), fault.Failed)
	require.ErrorIs(t, e.Keep(uuidOf(t, web), ports.Held{Hosts: []*os.File{one}}), fault.Failed, "no process")
	s.settle(n)
	assert.Empty(t, s.files, "rather nothing than what is out of date")
}

// TestEscrowOfNonsense: what is stored is no parcel, or one of another version.
func TestEscrowOfNonsense(t *testing.T) {
	_, pidfd := sleeper(t)
	for name, parcel := range map[string]*os.File{
		"no socket": content(t, "x"), "nothing in it": message(t, ""), "no list": message(t, "", pidfd),
		"no process": message(t, "n", pidfd), "no descriptors": message(t, "p"), "too few": message(t, "pn", pidfd),
		"too many": message(t, "p", pidfd, pidfd), "unknown": message(t, "px", pidfd, pidfd), "two processes": message(t, "pp", pidfd, pidfd),
		"another order": message(t, "np", pidfd, pidfd), "not a process": message(t, "p", content(t, "x")),
		"long": message(t, "p"+strings.Repeat("G", longestList), pidfd),
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			n := NewNotifier(quiet())
			var log record
			e := NewEscrow(n, Stored{"vlx-" + web: parcel}, log.log())
			_, ok := e.Kept(uuidOf(t, web))
			assert.False(t, ok)
			assert.Contains(t, log.String(), web)
			assert.ErrorIs(t, parcel.Close(), os.ErrClosed)
			s.settle(n)
			assert.Equal(t, []string{"FDSTOREREMOVE=1 FDNAME=vlx-" + web}, s.order)
		})
	}
}

// message makes a parcel by hand; without text and files an empty one.
func message(t *testing.T, text string, files ...*os.File) *os.File {
	t.Helper()
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer unix.Close(ends[0])
	if text != "" || len(files) > 0 {
		require.NoError(t, numbers(files, func(fds []int) error {
			var rights []byte
			if len(fds) > 0 {
				rights = unix.UnixRights(fds...)
			}
			return unix.Sendmsg(ends[0], []byte(text), rights, nil, 0)
		}))
	}
	return os.NewFile(uintptr(ends[1]), "parcel")
}

func TestEscrowOfEndedProcesses(t *testing.T) {
	s := newStore(t)
	n := NewNotifier(quiet())
	cmd, pidfd := sleeper(t)
	require.NoError(t, NewEscrow(n, nil, quiet()).Keep(uuidOf(t, web), ports.Held{Process: pidfd}))
	s.settle(n)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	held, ok := NewEscrow(n, s.restarted(), quiet()).Kept(uuidOf(t, web))
	require.True(t, ok)
	defer closeHeld(held)
	assert.Zero(t, held.PID)
	assert.Zero(t, held.Start)
	assert.ErrorIs(t, pidfdSignal(held.Process, 0), unix.ESRCH)
}

func TestEscrowForgetsStrangers(t *testing.T) {
	for _, name := range []string{"vlx-", "vlx-what", "vlx-" + strings.ToUpper(web), "vlx-" + web + "-", "vlx-" + strings.ReplaceAll(web, "-", "")} {
		s := newStore(t)
		n := NewNotifier(quiet())
		var log record
		file := content(t, "x")
		NewEscrow(n, Stored{name: file}, log.log())
		s.settle(n)
		assert.Equal(t, []string{"FDSTOREREMOVE=1 FDNAME=" + name}, s.order)
		assert.Contains(t, log.String(), "name="+name)
		assert.ErrorIs(t, file.Close(), os.ErrClosed)
	}
}

// FuzzUnpack: whatever a list says, every descriptor has one place or none has.
func FuzzUnpack(f *testing.F) {
	f.Add([]byte("pnlgghH"), 6)
	f.Add([]byte("p"), 1)
	f.Fuzz(func(t *testing.T, list []byte, count int) {
		if count < 0 || count > mostFiles {
			return
		}
		files := make([]*os.File, count)
		for i := range files {
			files[i] = new(os.File) // only looked at
		}
		held, err := unpack(list, files)
		again, used := pack(held)
		if err != nil {
			assert.Empty(t, used)
			return
		}
		assert.Equal(t, list, again)
		assert.Equal(t, files, used)
	})
}

func FuzzStartIn(f *testing.F) {
	f.Add([]byte("1 (a) b) S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 42 1 1"))
	f.Fuzz(func(t *testing.T, stat []byte) {
		start, err := startIn(stat)
		if err != nil {
			assert.Zero(t, start)
		}
	})
}

func TestStartIn(t *testing.T) {
	start, err := startIn([]byte("1 (a) b) S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 42 1 1"))
	require.NoError(t, err)
	assert.EqualValues(t, 42, start)
	for _, bad := range []string{"", "1 (a", "1 (a) S 1", strings.Repeat("x ", 40)} {
		_, err := startIn([]byte(bad))
		assert.Error(t, err, bad)
	}
}
