package systemd

import (
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

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
	if os.Getenv("VLX_INHERITS") != "" {
		inherits()
		return
	}
	goleak.VerifyTestMain(m)
}

// activated is the daemon as the service manager starts it: it prints what it
// was given, and answers one client of each socket.
func activated(names []string) {
	os.Setenv("LISTEN_PID", os.Getenv("VLX_LISTEN_PID"))
	if os.Getenv("LISTEN_PID") == "self" {
		os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
	}
	received, err := Receive(slog.New(slog.NewTextHandler(os.Stdout, nil)), names...)
	if err != nil {
		fmt.Println("error", fault.KindOf(err), err)
		return
	}
	defer received.Close()
	fmt.Println("environment", os.Getenv("LISTEN_FDS")+os.Getenv("LISTEN_PID")+os.Getenv("LISTEN_FDNAMES"))
	for _, name := range names {
		for _, l := range received.Sockets[name] {
			fmt.Println(name, filepath.Base(l.Addr().String()), l.SetBacklog(7))
		}
	}
	for name, file := range received.Stored {
		text, err := io.ReadAll(file)
		flags, _ := unix.FcntlInt(file.Fd(), unix.F_GETFD, 0)
		fmt.Println(name, string(text), err, flags == unix.FD_CLOEXEC)
	}
}

// activate runs it with the files from descriptor 3 on; further variables
// replace those that a service manager would set.
func activate(t *testing.T, pid, fdnames, wanted string, files []*os.File, variables ...string) string {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "VLX_ACTIVATED="+wanted, "VLX_LISTEN_PID="+pid,
		"LISTEN_FDS="+strconv.Itoa(len(files)), "LISTEN_FDNAMES="+fdnames)
	cmd.Env = append(cmd.Env, variables...)
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
	assert.Equal(t, "environment \na rw <nil>\na rw2 <nil>\nb ro <nil>\n",
		activate(t, "self", "a:b:a", "a,b", []*os.File{rw, ro, second}))
	assert.Equal(t, "environment \n", activate(t, "self", "", "a", nil), "none")
	assert.Equal(t, "environment \n", activate(t, "", "", "a", nil, "LISTEN_FDS="), "not set")
	other := activate(t, "1", "a", "a", []*os.File{rw})
	assert.Contains(t, other, "level=INFO")
	assert.Contains(t, other, "pid=1")
	assert.Contains(t, other, "environment \n")
	assert.NotContains(t, other, "\na rw", "meant for another process")
	for _, path := range []string{"/rw", "/ro", "/rw2"} {
		assert.Equal(t, fs.ModeSocket, fileMode(t, dir+path).Type(), "an inherited socket is not unlinked")
	}
}

func TestActivationRefuses(t *testing.T) {
	dir := t.TempDir()
	rw, ro := socketFile(t, dir+"/rw"), socketFile(t, dir+"/ro")
	plain, err := os.Open("/dev/null")
	require.NoError(t, err)
	defer plain.Close()
	datagrams, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: dir + "/dgram", Net: "unixgram"})
	require.NoError(t, err)
	defer datagrams.Close()
	dgram, err := datagrams.File()
	require.NoError(t, err)
	defer dgram.Close()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer tcp.Close()
	internet, err := tcp.(*net.TCPListener).File()
	require.NoError(t, err)
	defer internet.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer unix.Close(pair[1])
	connected := os.NewFile(uintptr(pair[0]), "connected")
	defer connected.Close()

	only := func(files ...*os.File) []*os.File { return files }
	for what, refused := range map[string]struct{ out, why string }{
		"unknown name":   {activate(t, "self", "a:x", "a", only(rw, ro)), "unclaimed activation socket 'x': expected a"},
		"no names":       {activate(t, "self", "", "a", only(rw)), "0 names for 1 descriptors"},
		"few names":      {activate(t, "self", "a", "a", only(rw, ro)), "1 names for 2 descriptors"},
		"many names":     {activate(t, "self", "a:a", "a", only(rw)), "2 names for 1 descriptors"},
		"only names":     {activate(t, "self", "a", "a", nil), "1 names for 0 descriptors"},
		"large count":    {activate(t, "self", "a", "a", only(rw), "LISTEN_FDS=2147483647"), "1 names for 2147483647 descriptors"},
		"negative count": {activate(t, "self", "a", "a", only(rw), "LISTEN_FDS=-1"), "LISTEN_FDS '-1' is not"},
		"bad count":      {activate(t, "self", "a", "a", only(rw), "LISTEN_FDS=one"), "LISTEN_FDS 'one' is not"},
		"no process":     {activate(t, "", "a", "a", only(rw)), "LISTEN_PID '' is not"},
		"bad process":    {activate(t, "me", "a", "a", only(rw)), "LISTEN_PID 'me' is not"},
		"not passed":     {activate(t, "self", strings.Repeat("a:", 99)+"a", "a", only(rw), "LISTEN_FDS=100"), "'a', was announced and not passed"},
		"no socket":      {activate(t, "self", "a", "a", only(plain)), "'a' is not a socket"},
		"datagrams":      {activate(t, "self", "a", "a", only(dgram)), "'a' is not a stream socket"},
		"internet":       {activate(t, "self", "a", "a", only(internet)), "'a' is not a local one"},
		"connected":      {activate(t, "self", "a", "a", only(connected)), "'a' does not listen"},
	} {
		assert.Contains(t, refused.out, "error invalid argument", what)
		assert.Contains(t, refused.out, refused.why, what)
	}
}

// TestActivationHandsOverWhatWasStored: in the same environment as sockets.
func TestActivationHandsOverWhatWasStored(t *testing.T) {
	dir := t.TempDir()
	rw := socketFile(t, dir+"/rw")
	require.NoError(t, os.WriteFile(dir+"/plan", []byte("the plan"), 0o600))
	plan, err := os.Open(dir + "/plan")
	require.NoError(t, err)
	defer plan.Close()
	out := activate(t, "self", "vlx-x-plan:a:vlx-x-plan", "a", []*os.File{plan, rw, plan})
	assert.Contains(t, out, "environment \na rw <nil>\nvlx-x-plan the plan <nil> true\n")
	assert.Contains(t, out, "two descriptors of one name")
	_, err = plan.Seek(0, io.SeekStart) // children share the position
	require.NoError(t, err)
	assert.Contains(t, activate(t, "self", "vlx-x-plan", "a", []*os.File{plan}), "environment \nvlx-x-plan the plan")
}

// TestInheritedDescriptorsArePassedToNobody: not even those nobody told of.
func TestInheritedDescriptorsArePassedToNobody(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	read, write, err := os.Pipe()
	require.NoError(t, err)
	defer read.Close()
	defer write.Close()
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "VLX_INHERITS=yes")
	cmd.ExtraFiles = []*os.File{nil, nil, read, write} // 5 and 6
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Equal(t, "true true\n", string(out))
}

// inherits is a daemon that was started with descriptors 5 and 6 open.
func inherits() {
	if _, err := Receive(slog.New(slog.DiscardHandler)); err != nil {
		fmt.Println(err)
	}
	five, _ := unix.FcntlInt(5, unix.F_GETFD, 0)
	six, _ := unix.FcntlInt(6, unix.F_GETFD, 0)
	fmt.Println(five == unix.FD_CLOEXEC, six == unix.FD_CLOEXEC)
}
