package systemd

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
)

// record is a log that several goroutines may write.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *record) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(b)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func (r *record) log() *slog.Logger { return slog.New(slog.NewTextHandler(r, nil)) }

// manager is the service manager's end of NOTIFY_SOCKET.
type manager struct {
	t      *testing.T
	socket *net.UnixConn
}

// manage makes one, and the variable.
func manage(t *testing.T, address string) manager {
	t.Helper()
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { socket.Close() })
	t.Setenv("NOTIFY_SOCKET", address)
	return manager{t, socket}
}

// next is the next message and the descriptor that came with it.
func (m manager) next() (string, *os.File) {
	m.t.Helper()
	require.NoError(m.t, m.socket.SetReadDeadline(time.Now().Add(5*time.Second)))
	text, rights := make([]byte, 4096), make([]byte, 4096)
	size, more, _, _, err := m.socket.ReadMsgUnix(text, rights)
	require.NoError(m.t, err)
	messages, err := unix.ParseSocketControlMessage(rights[:more])
	require.NoError(m.t, err)
	if len(messages) == 0 {
		return string(text[:size]), nil
	}
	require.Len(m.t, messages, 1)
	fds, err := unix.ParseUnixRights(&messages[0])
	require.NoError(m.t, err)
	require.Len(m.t, fds, 1)
	unix.CloseOnExec(fds[0])
	return string(text[:size]), os.NewFile(uintptr(fds[0]), "received")
}

func TestNotifier(t *testing.T) {
	for _, address := range []string{filepath.Join(t.TempDir(), "notify"), "@vlx-notify-" + strconv.Itoa(os.Getpid())} {
		m := manage(t, address)
		n := NewNotifier(slog.New(slog.DiscardHandler))
		assert.Empty(t, os.Getenv("NOTIFY_SOCKET"), "children do not speak for the daemon")
		for _, test := range []struct {
			want string
			send func() error
		}{
			{"READY=1", n.Ready}, {"STOPPING=1", n.Stopping},
			{"STATUS=two containers READY=0", func() error { return n.Status("two containers\nREADY=0") }},
			{"EXTEND_TIMEOUT_USEC=1500000", func() error { return n.Extend(1500 * time.Millisecond) }},
		} {
			require.NoError(t, test.send())
			message, file := m.next()
			assert.Equal(t, test.want, message)
			assert.Nil(t, file)
		}
	}
}

// TestLastWords: a daemon that fails says why, though its notifier is gone already.
func TestLastWords(t *testing.T) {
	m := manage(t, filepath.Join(t.TempDir(), "notify"))
	tell := LastWords()
	NewNotifier(slog.New(slog.DiscardHandler))
	tell(errors.New("line 7:\nnonsense"))
	message, _ := m.next()
	assert.Equal(t, "STATUS=line 7: nonsense", message)
	t.Setenv("NOTIFY_SOCKET", "")
	LastWords()(errors.New("to nobody"))
}

// TestReloadingTellsTheTime: by the clock that the service manager compares with.
func TestReloadingTellsTheTime(t *testing.T) {
	m := manage(t, filepath.Join(t.TempDir(), "notify"))
	n := NewNotifier(slog.New(slog.DiscardHandler))
	now := func() int64 {
		var ts unix.Timespec
		require.NoError(t, unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts))
		return ts.Nano() / 1000
	}
	before := now()
	require.NoError(t, n.Reloading())
	after := now()
	message, _ := m.next()
	text, ok := strings.CutPrefix(message, "RELOADING=1\nMONOTONIC_USEC=")
	require.True(t, ok, message)
	told, err := strconv.ParseInt(text, 10, 64)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, told, before)
	assert.LessOrEqual(t, told, after)
}

func TestNotifierSendsDescriptors(t *testing.T) {
	m := manage(t, filepath.Join(t.TempDir(), "notify"))
	n := NewNotifier(slog.New(slog.DiscardHandler))
	read, write, err := os.Pipe()
	require.NoError(t, err)
	defer read.Close()
	require.NoError(t, n.send("FDSTORE=1", write))
	message, file := m.next()
	assert.Equal(t, "FDSTORE=1", message)
	require.NotNil(t, file)
	defer file.Close()
	_, err = file.Write([]byte("x"))
	require.NoError(t, err)
	b := make([]byte, 1)
	_, err = read.Read(b)
	require.NoError(t, err)
	assert.Equal(t, "x", string(b))

	require.NoError(t, write.Close())
	require.ErrorIs(t, n.send("FDSTORE=1", write), fault.Internal)
}

func TestNotifierWithoutManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	var log record
	n := NewNotifier(log.log())
	require.NoError(t, n.Ready())
	n.Watchdog(t.Context(), func(context.Context) error { panic("asked for nobody") })
	assert.Empty(t, log.String())
}

// TestNotifierWarnsOnce, until the service manager is back.
func TestNotifierWarnsOnce(t *testing.T) {
	address := filepath.Join(t.TempDir(), "notify")
	t.Setenv("NOTIFY_SOCKET", address)
	var log record
	n := NewNotifier(log.log())
	for range 3 {
		require.NoError(t, n.Ready())
	}
	assert.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
	assert.Contains(t, log.String(), "level=WARN")
	assert.Contains(t, log.String(), address)

	m := manage(t, address)
	require.NoError(t, n.Ready())
	require.NoError(t, n.Ready())
	message, _ := m.next()
	assert.Equal(t, "READY=1", message)
	assert.Equal(t, 1, strings.Count(log.String(), "can be reached again"), log.String())

	require.NoError(t, m.socket.Close())
	require.NoError(t, n.Ready())
	assert.Equal(t, 2, strings.Count(log.String(), "level=WARN"), log.String())
}

func TestNotifierWithUnusableSockets(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(dir+"/file", nil, 0o600))
	stream, err := net.Listen("unix", dir+"/stream")
	require.NoError(t, err)
	defer stream.Close()
	for _, address := range []string{dir + "/file", dir + "/stream", dir, strings.Repeat("x", 200), "vsock:2:1234"} {
		t.Setenv("NOTIFY_SOCKET", address)
		var log record
		require.NoError(t, NewNotifier(log.log()).Ready(), address)
		assert.Contains(t, log.String(), "level=WARN", address)
	}
}

func watched(t *testing.T, microseconds, pid string, log *slog.Logger) *Notifier {
	t.Helper()
	t.Setenv("WATCHDOG_USEC", microseconds)
	t.Setenv("WATCHDOG_PID", pid)
	n := NewNotifier(log)
	assert.Empty(t, os.Getenv("WATCHDOG_USEC")+os.Getenv("WATCHDOG_PID"))
	return n
}

// TestWatchdog feeds while the daemon is well, stops while not, and goes on.
func TestWatchdog(t *testing.T) {
	m := manage(t, filepath.Join(t.TempDir(), "notify"))
	var log record
	n := watched(t, "2000", strconv.Itoa(os.Getpid()), log.log())
	ctx, cancel := context.WithCancel(t.Context())
	answers := make(chan error)
	alive := func(ctx context.Context) error {
		select {
		case err := <-answers:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	var loop sync.WaitGroup
	loop.Go(func() { n.Watchdog(ctx, alive) })
	expect := func(want string) {
		t.Helper()
		message, _ := m.next()
		assert.Equal(t, want, message)
	}
	answers <- nil
	expect("WATCHDOG=1")
	answers <- nil
	expect("WATCHDOG=1")
	ill := errors.New("stuck")
	answers <- ill
	answers <- ill
	answers <- ill // so the second has been dealt with
	require.NoError(t, n.Status("sentinel"))
	expect("STATUS=sentinel")
	assert.Equal(t, 1, strings.Count(log.String(), "stuck"), log.String())
	answers <- nil
	expect("WATCHDOG=1")
	cancel()
	loop.Wait()
}

func TestWatchdogOfOthers(t *testing.T) {
	manage(t, filepath.Join(t.TempDir(), "notify"))
	never := func(context.Context) error { panic("asked for nobody") }
	for _, test := range []struct {
		microseconds, pid string
		warns             bool
	}{
		{"", "", false}, {"1000000", "1", false}, {"soon", "", true}, {"0", "", true}, {"-5", "", true},
		{"9223372036854775807", "", true}, {"1000000", "me", true},
		{"2305843009213693952", "", true}, {"2305843009213693953", "", true}, // times 1000 they wrap to 0 and 1000
		{"", "1", false}, {"99999999999999999999", "", true},
	} {
		var log record
		n := watched(t, test.microseconds, test.pid, log.log())
		n.Watchdog(t.Context(), never)
		assert.Equal(t, test.warns, strings.Contains(log.String(), "level=WARN"), "%v: %s", test, log.String())
	}
}

// A service manager that does not read holds up what is not urgent never, and the
// rest once.
func TestManagerThatDoesNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(t, err)
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	n := NewNotifier(slog.New(slog.DiscardHandler))
	const many = 10000 // would take a day if each waited
	for range many {
		require.NoError(t, n.Status("busy"))
	}
	assert.False(t, n.lost.Load(), "a status that is missed is no loss")
	n.lost.Store(true) // as after the one that waited
	for range many {
		require.NoError(t, n.Ready())
	}
	message := make([]byte, 100)
	length, err := socket.Read(message)
	require.NoError(t, err)
	assert.Equal(t, "STATUS=busy", string(message[:length]))
	require.NoError(t, n.Ready())
	assert.False(t, n.lost.Load(), "it reads again")
}
