package controller_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// sockets are what a controller is started with: a listening socket at path, its
// end of a connection, and the daemon's.
func sockets(t *testing.T, path string) (listener, theirs, ours *os.File) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	require.NoError(t, err)
	require.NoError(t, unix.Bind(fd, &unix.SockaddrUnix{Name: path}))
	require.NoError(t, unix.Listen(fd, 1))
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	require.NoError(t, err)
	list := []*os.File{os.NewFile(uintptr(fd), "listener"), os.NewFile(uintptr(ends[0]), "theirs"), os.NewFile(uintptr(ends[1]), "ours")}
	t.Cleanup(func() {
		for _, file := range list {
			file.Close()
		}
	})
	return list[0], list[1], list[2]
}

// TestStartedByHand ends at once, says so, and leaves the file alone that it was
// given as its socket.
func TestStartedByHand(t *testing.T) {
	program := build(t)
	file := filepath.Join(t.TempDir(), "precious")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	null, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer null.Close()
	_, connected, _ := sockets(t, filepath.Join(t.TempDir(), "vlx.sock"))
	for name, row := range map[string]struct {
		arguments []string
		files     []*os.File
	}{
		"no arguments":        {nil, nil},
		"an option alone":     {[]string{"--socket"}, nil},
		"help":                {[]string{"--help"}, nil},
		"no descriptors":      {[]string{"--socket", file}, nil},
		"other descriptors":   {[]string{"--socket", file}, []*os.File{null, null}},
		"nobody who listens":  {[]string{"--socket", file}, []*os.File{connected, connected}},
		"too long a command":  {[]string{string(bytes.Repeat([]byte("x"), 5000)), "--socket", file}, nil},
		"an argument of none": {[]string{"", "--socket", ""}, nil},
	} {
		command := exec.Command(program, row.arguments...)
		command.ExtraFiles = row.files
		out, err := command.CombinedOutput()
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit, name)
		assert.Equal(t, 2, exit.ExitCode(), name)
		assert.Equal(t, "libvirt_lxc: started by virtlxcd, not by hand\n", string(out), name)
	}
	assert.FileExists(t, file)
}

// TestAStageByHand has nothing to do either.
func TestAStageByHand(t *testing.T) {
	command := exec.Command(build(t), "stage")
	var exit *exec.ExitError
	require.ErrorAs(t, command.Run(), &exit)
	assert.Equal(t, 1, exit.ExitCode())
}

// TestAControllerWithoutWork ends with its daemon, and takes its socket along.
func TestAControllerWithoutWork(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vlx.sock")
	listener, theirs, ours := sockets(t, path)
	command := exec.Command(build(t), "--socket", path)
	command.ExtraFiles = []*os.File{listener, theirs}
	require.NoError(t, command.Start())
	theirs.Close()
	assert.FileExists(t, path)
	require.NoError(t, ours.Close())
	require.NoError(t, command.Wait())
	assert.NoFileExists(t, path)
}
