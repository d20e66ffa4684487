package real

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// patience bounds every wait: far longer than anything takes, so that running
// into it is a failure also on a busy host.
const patience = 30 * time.Second

// machine is one daemon with everything that is its own.
type machine struct {
	t      *testing.T
	prefix string
	root   string // of containers: busybox alone
	netns  *os.File
	wrap   []string // put before the daemon's command line
	args   []string // of the daemon; nil: --verbose
	env    []string // for the daemon, beyond our own
	dir    string   // the daemon's working directory; empty: ours
	notify *manager

	daemon *exec.Cmd
	log    *output
}

// output collects what the daemons of a machine print.
type output struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// newMachine starts a daemon. When the test ends it must have left nothing.
func newMachine(t *testing.T) *machine {
	t.Helper()
	m := prepared(t)
	m.start()
	return m
}

// prepared is a machine whose daemon has yet to be started.
func prepared(t *testing.T) *machine {
	t.Helper()
	need(t)
	prefix, err := os.MkdirTemp("/tmp", "vlx") // not t.TempDir: socket paths are short
	require.NoError(t, err)
	m := &machine{t: t, prefix: prefix, log: &output{}}
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(prefix)) })
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the daemon said:\n%s", m.log)
		}
	})
	m.netns = newNetns(t)
	m.notify = newManager(t, prefix)
	m.root = m.makeRoot("root")
	t.Cleanup(m.end)
	return m
}

// start starts the daemon and waits until it serves.
func (m *machine) start() {
	m.t.Helper()
	m.launch()
	m.ready()
}

// launch starts the daemon without waiting for it.
func (m *machine) launch() {
	m.t.Helper()
	m.daemon = m.prepare()
	m.daemon.Stdout, m.daemon.Stderr = m.log, m.log
	m.inNetns(func() { require.NoError(m.t, m.daemon.Start()) })
}

// prepare is the daemon's command, not started.
func (m *machine) prepare() *exec.Cmd {
	args := m.args
	if args == nil {
		args = []string{"--verbose"}
	}
	line := append(append(append([]string{}, m.wrap...), program("virtlxcd"), "--prefix", m.prefix), args...)
	command := exec.Command(line[0], line[1:]...)
	command.Dir = m.dir
	command.Env = append(append(os.Environ(), "NOTIFY_SOCKET="+filepath.Join(m.prefix, "notify")), m.env...)
	return command
}

// ready waits for the daemon's word that it serves.
func (m *machine) ready() {
	m.t.Helper()
	require.True(m.t, m.notify.await("READY=1", m.gone), "the daemon did not become ready:\n%s", m.log)
}

// gone says whether the daemon has ended and nobody has waited for it.
func (m *machine) gone() bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(m.pid()) + "/stat")
	return err != nil || strings.Contains(string(stat), ") Z ")
}

// kill ends the daemon the hard way.
func (m *machine) kill() {
	m.t.Helper()
	if m.daemon == nil {
		return
	}
	require.NoError(m.t, m.daemon.Process.Kill())
	_ = m.daemon.Wait() // killed: an error by definition
	m.daemon = nil
}

// stop ends the daemon politely.
func (m *machine) stop() {
	m.t.Helper()
	if m.daemon == nil {
		return
	}
	require.NoError(m.t, m.daemon.Process.Signal(syscall.SIGTERM))
	assert.NoError(m.t, m.daemon.Wait(), "the daemon's exit")
	m.daemon = nil
}

// pid of the daemon itself.
func (m *machine) pid() int { return m.daemon.Process.Pid }

// uri addresses the daemon; readOnly by its other socket.
func (m *machine) uri(readOnly bool) string {
	socket := "virtlxcd-sock"
	if readOnly {
		socket += "-ro"
	}
	return "lxc:///system?socket=" + filepath.Join(m.prefix, "run/libvirt", socket)
}

// command prepares a virsh.
func (m *machine) command(ctx context.Context, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, "virsh", append([]string{"-q", "-c", m.uri(false)}, args...)...)
	command.Env = append(os.Environ(), "LC_ALL=C")
	command.WaitDelay = time.Second
	return command
}

// try runs a virsh and returns all it printed.
func (m *machine) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	out, err := m.command(ctx, args...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// virsh runs a command that must succeed and returns what it printed.
func (m *machine) virsh(args ...string) string {
	m.t.Helper()
	out, err := m.try(args...)
	require.NoError(m.t, err, "virsh %s: %s", strings.Join(args, " "), out)
	return out
}

// refused runs a command that must fail and returns what it printed.
func (m *machine) refused(args ...string) string {
	m.t.Helper()
	out, err := m.try(args...)
	require.Error(m.t, err, "virsh %s succeeded: %s", strings.Join(args, " "), out)
	return out
}

// batch runs many commands in one virsh.
func (m *machine) batch(commands ...string) string {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*patience)
	defer cancel()
	command := m.command(ctx)
	command.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\nquit\n")
	out, err := command.CombinedOutput()
	require.NoError(m.t, err, "%s", out)
	require.NotContains(m.t, string(out), "error:")
	return string(out)
}

// start pid of init and id of a container.
func (m *machine) identity(name string) (id, init int) {
	m.t.Helper()
	id, err := strconv.Atoi(m.virsh("domid", name))
	require.NoError(m.t, err)
	return id, m.initOf(name)
}

// groupBase is the name below which the daemon's control groups are.
func (m *machine) groupBase() string {
	sum := sha256.Sum256([]byte(m.prefix))
	return "vlx-" + hex.EncodeToString(sum[:4])
}

// newNetns makes a network namespace that lives as long as the test.
func newNetns(t *testing.T) *os.File {
	t.Helper()
	type result struct {
		file *os.File
		err  error
	}
	made := make(chan result)
	go func() {
		runtime.LockOSThread() // for good: the thread must not serve others
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			made <- result{err: err}
			return
		}
		file, err := os.Open("/proc/thread-self/ns/net")
		made <- result{file, err}
	}()
	r := <-made
	require.NoError(t, r.err)
	t.Cleanup(func() { r.file.Close() })
	return r.file
}

// inNetns calls f on a thread in the machine's network namespace.
func (m *machine) inNetns(f func()) {
	m.t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good, as above
		err := unix.Setns(int(m.netns.Fd()), unix.CLONE_NEWNET)
		if err == nil {
			f()
		}
		done <- err
	}()
	require.NoError(m.t, <-done)
}

// ip runs ip(8) in the machine's network namespace.
func (m *machine) ip(args ...string) string {
	m.t.Helper()
	var out []byte
	var err error
	m.inNetns(func() { out, err = exec.Command("ip", args...).CombinedOutput() })
	require.NoError(m.t, err, "ip %v: %s", args, out)
	return string(out)
}

// eventually waits for what no event tells the test.
func (m *machine) eventually(what string, holds func() bool) {
	m.t.Helper()
	require.Eventually(m.t, holds, patience, 2*time.Millisecond, what)
}
