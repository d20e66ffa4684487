package systemd

import (
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"virtlxcd/domain/fault"
)

func TestMain(m *testing.M) {
	if names := os.Getenv("VLX_ACTIVATED"); names != "" {
		activated(strings.Split(names, ","))
		return
	}
	goleak.VerifyTestMain(m)
}

func TestNotifier(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(t, err)
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	n := NewNotifier()
	for want, send := range map[string]func() error{
		"READY=1": n.Ready, "STOPPING=1": n.Stopping,
		"STATUS=two containers READY=0": func() error { return n.Status("two containers\nREADY=0") },
	} {
		require.NoError(t, send())
		b := make([]byte, 256)
		size, err := socket.Read(b)
		require.NoError(t, err)
		assert.Equal(t, want, string(b[:size]))
	}
}

func TestNotifierWithoutManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	require.NoError(t, NewNotifier().Ready())
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, NewNotifier().Ready(), fault.System)
}

// activated is the daemon as the service manager starts it: it prints what it
// was given, and answers one client of each socket.
func activated(names []string) {
	os.Setenv("LISTEN_PID", os.Getenv("VLX_LISTEN_PID"))
	if os.Getenv("LISTEN_PID") == "self" {
		os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
	}
	listeners, err := Listeners(names...)
	if err != nil {
		fmt.Println("error", fault.KindOf(err), err)
		return
	}
	fmt.Println("environment", os.Getenv("LISTEN_FDS")+os.Getenv("LISTEN_PID")+os.Getenv("LISTEN_FDNAMES"))
	for _, name := range names {
		for _, l := range listeners[name] {
			fmt.Println(name, filepath.Base(l.Addr().String()))
			l.Close()
		}
	}
}

// activate runs it with the files from descriptor 3 on.
func activate(t *testing.T, pid, fdnames, wanted string, files ...*os.File) string {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "VLX_ACTIVATED="+wanted, "VLX_LISTEN_PID="+pid,
		"LISTEN_FDS="+strconv.Itoa(len(files)), "LISTEN_FDNAMES="+fdnames)
	cmd.ExtraFiles = files
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

func socketFile(t *testing.T, path string) *os.File {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	file, err := l.File()
	require.NoError(t, err)
	t.Cleanup(func() { file.Close() })
	return file
}

func TestActivation(t *testing.T) {
	dir := t.TempDir()
	rw, ro, second := socketFile(t, dir+"/rw"), socketFile(t, dir+"/ro"), socketFile(t, dir+"/rw2")
	plain, err := os.Open("/dev/null")
	require.NoError(t, err)
	defer plain.Close()
	datagrams, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: dir + "/dgram", Net: "unixgram"})
	require.NoError(t, err)
	defer datagrams.Close()
	dgram, err := datagrams.File()
	require.NoError(t, err)
	defer dgram.Close()

	assert.Equal(t, "environment \na rw\na rw2\nb ro\n", activate(t, "self", "a:b:a", "a,b", rw, ro, second))
	assert.Equal(t, "environment \n", activate(t, "1", "a", "a", rw), "meant for another process")
	assert.Equal(t, "environment \n", activate(t, "self", "", "a"), "none")
	for what, out := range map[string]string{
		"unknown name": activate(t, "self", "a:x", "a", rw, ro), "no names": activate(t, "self", "", "a", rw),
		"no socket": activate(t, "self", "a", "a", plain), "datagrams": activate(t, "self", "a", "a", dgram),
	} {
		assert.Contains(t, out, "error invalid argument", what)
	}
	for _, path := range []string{"/rw", "/ro", "/rw2"} {
		assert.Equal(t, fs.ModeSocket, fileMode(t, dir+path).Type(), "an inherited socket is not unlinked")
	}
}

func fileMode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	require.NoError(t, err)
	return info.Mode()
}

func listenAt(t *testing.T, path string, mode os.FileMode) *Listener {
	t.Helper()
	l, err := Listen(path, mode)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

func TestListenServes(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	dir := filepath.Join(t.TempDir(), "run", "libvirt")
	for _, mode := range []os.FileMode{0o777, 0o666, 0o700} {
		path := filepath.Join(dir, fmt.Sprintf("sock-%o", mode))
		l := listenAt(t, path, mode)
		assert.Equal(t, mode, fileMode(t, path).Perm())
		assert.EqualValues(t, 0o755, fileMode(t, dir).Perm())
		assert.Equal(t, path, l.Addr().String())

		client, err := net.Dial("unix", path)
		require.NoError(t, err)
		served, err := l.AcceptUnix()
		require.NoError(t, err)
		_, err = served.Write([]byte("hi"))
		require.NoError(t, err)
		require.NoError(t, served.Close())
		text, err := io.ReadAll(client)
		require.NoError(t, err)
		assert.Equal(t, "hi", string(text))
		require.NoError(t, client.Close())

		require.NoError(t, l.Close())
		assert.NoFileExists(t, path)
		assert.ErrorIs(t, l.Close(), net.ErrClosed)
	}
}

func TestListenDoesNotStealALiveSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	first := listenAt(t, path, 0o700)
	_, err := Listen(path, 0o700)
	require.ErrorIs(t, err, fault.Busy)
	assert.ErrorContains(t, err, path)
	assert.ErrorContains(t, err, "process "+strconv.Itoa(os.Getpid()))
	client, err := net.Dial("unix", path)
	require.NoError(t, err, "it still works")
	require.NoError(t, client.Close())
	require.NoError(t, first.Close())
}

func TestListenReplacesAStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	stale.SetUnlinkOnClose(false)
	require.NoError(t, stale.Close())
	require.FileExists(t, path)
	l := listenAt(t, path, 0o600)
	assert.EqualValues(t, 0o600, fileMode(t, path).Perm())
	require.NoError(t, l.Close())
}

func TestListenLeavesOtherThingsAlone(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, []byte("precious"), 0o600))
	link := filepath.Join(dir, "link")
	require.NoError(t, os.Symlink("/nowhere", link))
	for _, path := range []string{file, link, dir} {
		_, err := Listen(path, 0o600)
		require.ErrorIs(t, err, fault.Failed, path)
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, "precious", string(text))

	datagrams, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: dir + "/dgram", Net: "unixgram"})
	require.NoError(t, err)
	defer datagrams.Close()
	_, err = Listen(dir+"/dgram", 0o600)
	require.ErrorIs(t, err, fault.Busy)

	_, err = Listen(file+"/sock", 0o600)
	require.ErrorIs(t, err, fault.System)
}

func TestListenChecksTheLength(t *testing.T) {
	dir := t.TempDir()
	name := func(length int) string { return dir + "/" + strings.Repeat("s", length-len(dir)-1) }
	listenAt(t, name(maxPath), 0o600)
	_, err := Listen(name(maxPath+1), 0o600)
	require.ErrorIs(t, err, fault.InvalidArgument)
	assert.ErrorContains(t, err, "108 bytes")
}

func TestCloseUnlinksOnlyItsOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	first := listenAt(t, path, 0o600)
	require.NoError(t, os.Remove(path))
	second := listenAt(t, path, 0o600)
	require.NoError(t, first.Close())
	client, err := net.Dial("unix", path)
	require.NoError(t, err, "the successor is reachable")
	require.NoError(t, client.Close())
	require.NoError(t, second.Close())
	assert.NoFileExists(t, path)
}

func TestCloseEndsAccept(t *testing.T) {
	l := listenAt(t, filepath.Join(t.TempDir(), "sock"), 0o600)
	ended := make(chan error)
	go func() {
		_, err := l.Accept()
		ended <- err
	}()
	require.NoError(t, l.Close())
	require.ErrorIs(t, <-ended, net.ErrClosed)
}
