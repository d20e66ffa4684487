package systemd

import (
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
)

func fileMode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	require.NoError(t, err)
	return info.Mode()
}

func listenAt(t *testing.T, path string, mode os.FileMode) *Listener {
	t.Helper()
	l, err := Listen(path, ListenOptions{Mode: mode, MakeDir: true})
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
	_, err := Listen(path, ListenOptions{Mode: 0o700})
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
		_, err := Listen(path, ListenOptions{Mode: 0o600})
		require.ErrorIs(t, err, fault.Failed, path)
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, "precious", string(text))

	datagrams, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: dir + "/dgram", Net: "unixgram"})
	require.NoError(t, err)
	defer datagrams.Close()
	_, err = Listen(dir+"/dgram", ListenOptions{Mode: 0o600})
	require.ErrorIs(t, err, fault.Busy)

	_, err = Listen(file+"/sock", ListenOptions{Mode: 0o600})
	require.ErrorIs(t, err, fault.System)
}

func TestListenChecksTheLength(t *testing.T) {
	dir := t.TempDir()
	name := func(length int) string { return dir + "/" + strings.Repeat("s", length-len(dir)-1) }
	listenAt(t, name(maxPath), 0o600)
	_, err := Listen(name(maxPath+1), ListenOptions{Mode: 0o600})
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

func TestListenInAMissingDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	_, err := Listen(dir+"/sock", ListenOptions{Mode: 0o700})
	require.ErrorIs(t, err, fault.System)
	require.ErrorIs(t, err, fs.ErrNotExist)
	assert.ErrorContains(t, err, dir+"/sock")
	assert.NoDirExists(t, dir)
}

func TestListenRefusesPaths(t *testing.T) {
	for _, path := range []string{"", "sock", "@sock", "\x00sock", "/tmp/a\x00b"} {
		_, err := Listen(path, ListenOptions{Mode: 0o700})
		require.ErrorIs(t, err, fault.InvalidArgument, "%q", path)
	}
}

func TestListenGivesTheSocketToItsGroup(t *testing.T) {
	needRoot(t, "changing the group of a file")
	dir := t.TempDir()
	for group, id := range map[string]uint32{"daemon": 1, "54321": 54321, "": uint32(os.Getegid())} {
		path := filepath.Join(dir, "sock"+group)
		l, err := Listen(path, ListenOptions{Mode: 0o660, Group: group})
		require.NoError(t, err)
		info, err := os.Lstat(path)
		require.NoError(t, err)
		assert.Equal(t, id, info.Sys().(*syscall.Stat_t).Gid, group)
		assert.EqualValues(t, 0o660, info.Mode().Perm())
		assert.EqualValues(t, 0, info.Sys().(*syscall.Stat_t).Uid)
		require.NoError(t, l.Close())
	}
}

func TestListenWithAnUnknownGroup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	for _, group := range []string{"vlx-no-such-group", "-1", "4294967295"} {
		_, err := Listen(path, ListenOptions{Mode: 0o660, Group: group})
		require.ErrorIs(t, err, fault.InvalidArgument, group)
		assert.ErrorContains(t, err, "'"+group+"'")
		assert.NoFileExists(t, path)
	}
}

// waiting counts how many connect before anybody accepts.
func waiting(t *testing.T, path string) (count int) {
	t.Helper()
	for range 64 {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		require.NoError(t, err)
		t.Cleanup(func() { unix.Close(fd) })
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
		if err == unix.EAGAIN {
			return count
		}
		require.NoError(t, err)
		count++
	}
	return count
}

func TestBacklog(t *testing.T) {
	dir := t.TempDir()
	small, err := Listen(dir+"/small", ListenOptions{Mode: 0o600, Backlog: 3})
	require.NoError(t, err)
	defer small.Close()
	// The kernel lets one more wait than was said.
	assert.Equal(t, 4, waiting(t, dir+"/small"))
	require.NoError(t, small.SetBacklog(9))
	assert.Equal(t, 6, waiting(t, dir+"/small"), "the others wait still")
	require.NoError(t, small.SetBacklog(0))
	assert.Equal(t, 64, waiting(t, dir+"/small"))

	large, err := Listen(dir+"/large", ListenOptions{Mode: 0o600})
	require.NoError(t, err)
	assert.Equal(t, 64, waiting(t, dir+"/large"))
	require.NoError(t, large.Close())
	require.ErrorIs(t, large.SetBacklog(1), fault.System)
}

func needRoot(t *testing.T, what string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skipf("needs root for %s", what)
	}
}
