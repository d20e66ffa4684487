package login

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"virtlxcd/adapters/dbus/bus"
	"virtlxcd/adapters/dbus/bus/bustest"
	"virtlxcd/domain/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	within = 10 * time.Second
	often  = 5 * time.Millisecond
)

// fakeLogind gives out locks as the real one does: ends of pipes.
type fakeLogind struct {
	conn *dbus.Conn

	mu     sync.Mutex
	refuse bool
	down   bool
	asked  []string
	locks  []*os.File
}

func (f *fakeLogind) Inhibit(what, who, why, mode string) (dbus.UnixFD, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, strings.Join([]string{what, who, why, mode}, "|"))
	if f.refuse {
		return 0, dbus.NewError("org.freedesktop.DBus.Error.AccessDenied", []any{"refused by the test"})
	}
	var ends [2]int
	if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC); err != nil {
		return 0, dbus.MakeFailedError(err)
	}
	f.locks = append(f.locks, os.NewFile(uintptr(ends[0]), "lock"))
	// Sending makes a copy; this one stays until the test ends.
	f.locks = append(f.locks, os.NewFile(uintptr(ends[1]), "sent"))
	return dbus.UnixFD(ends[1]), nil
}

func (f *fakeLogind) Get(_, name string) (dbus.Variant, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch name {
	case "PreparingForShutdown":
		return dbus.MakeVariant(f.down), nil
	case "InhibitDelayMaxUSec":
		return dbus.MakeVariant(uint64(5_000_000)), nil
	}
	return dbus.Variant{}, dbus.NewError("org.freedesktop.DBus.Error.UnknownProperty", nil)
}

// held counts the locks that are not given back: those with a third descriptor
// beside the fake's own two.
func (f *fakeLogind) held() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	descriptors := map[string]int{}
	all, _ := os.ReadDir("/proc/self/fd")
	for _, fd := range all {
		link, _ := os.Readlink("/proc/self/fd/" + fd.Name())
		descriptors[link]++
	}
	n := 0
	for k := 0; k < len(f.locks); k += 2 {
		link, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.locks[k].Fd()))
		n += descriptors[link] - 2
	}
	return n
}

func (f *fakeLogind) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fakeLogind) asks() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.asked)
}

func (f *fakeLogind) boot(t *testing.T, d *bustest.Daemon) {
	t.Helper()
	f.conn = d.Connect(t)
	require.NoError(t, f.conn.Export(f, logindPath, manager))
	require.NoError(t, f.conn.Export(f, logindPath, "org.freedesktop.DBus.Properties"))
	bustest.Own(t, f.conn, logind)
}

func start(t *testing.T) (*fakeLogind, *bustest.Daemon, *Inhibitor) {
	t.Helper()
	d := bustest.Start(t)
	f := &fakeLogind{}
	f.boot(t, d)
	t.Cleanup(func() {
		f.set(func() {
			for _, file := range f.locks {
				_ = file.Close()
			}
		})
	})
	return f, d, open(t, d.Address)
}

func open(t *testing.T, address string) *Inhibitor {
	t.Helper()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	b := bus.New(bus.Options{Address: address}, quiet)
	i := New(b, quiet)
	t.Cleanup(func() {
		require.NoError(t, i.Close())
		require.NoError(t, b.Close())
	})
	return i
}

func TestHold(t *testing.T) {
	f, _, i := start(t)
	for range 100 {
		i.Hold()
	}
	require.Eventually(t, i.Held, within, often)
	f.set(func() {
		assert.Equal(t, []string{"shutdown|Libvirt LXC|LXC containers are running|delay"}, f.asked)
	})
	for range 100 {
		i.Release()
	}
	require.Eventually(t, func() bool { return !i.Held() && f.held() == 0 }, within, often)
	for range 100 {
		i.Hold()
		i.Release()
	}
	i.Hold()
	require.Eventually(t, func() bool { return i.Held() && f.held() == 1 }, within, often)
	require.NoError(t, i.Close())
	assert.Zero(t, f.held(), "closed with the daemon")
	i.Hold()
	assert.False(t, i.Held())
}

func TestLogindRestarts(t *testing.T) {
	f, d, i := start(t)
	i.Hold()
	require.Eventually(t, i.Held, within, often)
	require.NoError(t, f.conn.Close())
	f.boot(t, d)
	require.Eventually(t, func() bool { return f.asks() == 2 && f.held() == 1 }, within, often, "a new one, and the old one is gone")
	d.Stop(t)
	assert.True(t, i.Held(), "kept as long as there is no other")
	d.Run(t)
	f.boot(t, d)
	require.Eventually(t, func() bool { return f.asks() >= 3 && f.held() == 1 }, within, often)
}

func TestRefused(t *testing.T) {
	f, d, i := start(t)
	f.set(func() { f.refuse = true })
	i.Hold()
	require.Eventually(t, func() bool { return f.asks() >= 1 }, within, often)
	assert.False(t, i.Held())
	f.set(func() { f.refuse = false })
	require.NoError(t, f.conn.Close())
	f.boot(t, d)
	require.Eventually(t, i.Held, within, often)
}

func TestNobodyThere(t *testing.T) {
	i := open(t, "unix:path="+t.TempDir()+"/none")
	i.OnShutdown(func(bool) { t.Error("nobody said so") })
	i.Hold()
	i.Release()
	_, err := i.MaxDelay(t.Context())
	require.ErrorIs(t, err, fault.System)
	assert.False(t, i.Held())
}

func TestMaxDelay(t *testing.T) {
	_, _, i := start(t)
	delay, err := i.MaxDelay(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 5*time.Second, delay)
}

func TestShutdown(t *testing.T) {
	f, d, i := start(t)
	heard := make(chan bool, 10)
	i.Hold()
	i.OnShutdown(func(begin bool) {
		if begin {
			i.Release() // works from in there
			assert.Eventually(t, func() bool { return !i.Held() }, within, often)
		}
		heard <- begin
	})
	require.Eventually(t, i.Held, within, often)
	emit := func(begin bool) {
		f.set(func() { f.down = begin })
		require.NoError(t, f.conn.Emit(logindPath, manager+".PrepareForShutdown", begin))
	}
	emit(true)
	assert.True(t, <-heard)
	assert.Zero(t, f.held())
	emit(false)
	assert.False(t, <-heard)
	emit(false)

	forger := d.Connect(t)
	require.NoError(t, forger.Emit(logindPath, manager+".PrepareForShutdown", true))
	f.set(func() { f.down = true })
	d.Stop(t)
	d.Run(t)
	f.boot(t, d)
	require.NoError(t, f.conn.Emit(logindPath, manager+".PrepareForShutdown", true), "whether it is heard or asked for")
	assert.True(t, <-heard)
	assert.Empty(t, heard)
}

// Only the real one knows whether the lock counts.
func TestBoxLogind(t *testing.T) {
	if _, err := os.Stat("/run/systemd/system"); err != nil || os.Geteuid() != 0 {
		t.Skip("needs systemd as process 1 and root: takes a lock of the host's logind")
	}
	i := open(t, "")
	delay, err := i.MaxDelay(t.Context())
	require.NoError(t, err)
	assert.Positive(t, delay)
	listed := func() bool {
		out, err := exec.Command("systemd-inhibit", "--list", "--no-pager").CombinedOutput()
		return err == nil && strings.Contains(string(out), "LXC containers are running")
	}
	require.False(t, listed())
	i.Hold()
	require.Eventually(t, listed, within, often)
	if out, err := os.ReadFile("/run/systemd/container"); err == nil && strings.TrimSpace(string(out)) == "box" {
		require.NoError(t, exec.Command("systemctl", "restart", "systemd-logind").Run())
		require.Eventually(t, listed, within, often)
	}
	i.Release()
	require.Eventually(t, func() bool { return !listed() }, within, often)
}
