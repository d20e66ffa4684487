package store

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
)

// holdLock is the other daemon: it holds the lock until its input ends.
func holdLock(dir string) {
	s, err := New(pathsBelow(dir), jsonCodec{}, slog.New(slog.DiscardHandler))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("locked")
	io.Copy(io.Discard, os.Stdin)
	if os.Getenv("VLX_STORE_CRASH") == "" {
		s.Close()
	}
}

// otherDaemon starts one on dir and returns its pid and what ends it.
func otherDaemon(t *testing.T, dir string, env ...string) (pid int, end func()) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(append(os.Environ(), "VLX_STORE_LOCK="+dir), env...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	ended := false
	end = func() {
		if !ended {
			ended = true
			in.Close()
			assert.NoError(t, cmd.Wait())
		}
	}
	t.Cleanup(end)
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "locked\n", line)
	return cmd.Process.Pid, end
}

func TestSecondDaemonIsRefusedAndToldWhoHolds(t *testing.T) {
	dir := t.TempDir()
	pid, end := otherDaemon(t, dir)
	_, err := New(pathsBelow(dir), jsonCodec{}, slog.New(slog.DiscardHandler))
	require.ErrorIs(t, err, fault.Busy)
	assert.ErrorContains(t, err, "process "+strconv.Itoa(pid))
	path := filepath.Join(dir, "run", "lxc", driverPID)
	assert.Equal(t, strconv.Itoa(pid), read(t, path))
	end()
	assert.NoFileExists(t, path)
	openStore(t, dir)
	assert.Equal(t, strconv.Itoa(os.Getpid()), read(t, path))
}

func TestLockOfADeadDaemonIsTakenOver(t *testing.T) {
	dir := t.TempDir()
	_, end := otherDaemon(t, dir, "VLX_STORE_CRASH=1")
	end()
	path := filepath.Join(dir, "run", "lxc", driverPID)
	require.FileExists(t, path)
	require.NoError(t, os.WriteFile(path, []byte("99999999999\n"), 0o600))
	openStore(t, dir)
	assert.Equal(t, strconv.Itoa(os.Getpid()), read(t, path), "nothing of the longer number stays")
	assert.EqualValues(t, 0o644, mode(t, path))
}

func TestLockThatLostItsNameIsNotTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), driverPID)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	require.NoError(t, err)
	defer f.Close()
	l := &lock{file: f, path: path}
	require.NoError(t, os.Remove(path))
	current, err := l.take()
	require.NoError(t, err)
	assert.False(t, current, "removed")
	touch(t, path)
	current, err = l.take()
	require.NoError(t, err)
	assert.False(t, current, "replaced")
	assert.Empty(t, read(t, path))
}

func TestNewOnUnusableDirectories(t *testing.T) {
	file := touch(t, filepath.Join(t.TempDir(), "file"))
	_, err := New(pathsBelow(file), jsonCodec{}, slog.New(slog.DiscardHandler))
	require.ErrorIs(t, err, fault.System)

	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "run", "lxc", driverPID), 0o755))
	_, err = New(pathsBelow(dir), jsonCodec{}, slog.New(slog.DiscardHandler))
	require.ErrorIs(t, err, fault.System)
}
