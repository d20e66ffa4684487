package settings

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
)

// device makes another name of /dev/null, with the mode the host gives it: the tests are
// not to find out about the host's own.
func device(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vlx-null")
	if err := unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
		t.Skip("needs root: makes a device node")
	}
	require.NoError(t, os.Chmod(path, 0o666))
	return path
}

// TestPIDFileThatIsADevice: "--pid-file /dev/null" must not take the host's away from
// everybody.
func TestPIDFileThatIsADevice(t *testing.T) {
	path := device(t)
	_, err := AcquirePIDFile(path)
	require.ErrorIs(t, err, fault.InvalidArgument)
	assert.EqualError(t, err, "pid file '"+path+"' is not a regular file")
	info, err := os.Lstat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o666), info.Mode().Perm())
}

func TestPIDFileThatIsAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, unix.Mkfifo(path, 0o600))
	_, err := AcquirePIDFile(path) // and does not wait for a reader
	require.ErrorIs(t, err, fault.InvalidArgument)
}

// TestPIDFileOfTheNextDaemonStays: its own was removed by hand, so another daemon could
// make one.
func TestPIDFileOfTheNextDaemonStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vlx.pid")
	p, err := AcquirePIDFile(path)
	require.NoError(t, err)
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.WriteFile(path, []byte("4711"), 0o644))
	require.NoError(t, p.Close())
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "4711", string(text))
}

func TestPIDFileRemovedByHand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vlx.pid")
	p, err := AcquirePIDFile(path)
	require.NoError(t, err)
	require.NoError(t, os.Remove(path))
	require.NoError(t, p.Close(), "what is to be gone is gone")
	require.ErrorIs(t, p.Close(), fault.System, "but it is given up once")
}

func TestPIDFileInADeepDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "vlx.pid")
	p, err := AcquirePIDFile(path)
	require.NoError(t, err)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, strconv.Itoa(os.Getpid()), string(text))
	require.NoError(t, p.Close())

	_, err = AcquirePIDFile("/proc/nowhere/vlx.pid")
	require.ErrorIs(t, err, fault.System)
	assert.ErrorContains(t, err, "/proc/nowhere")
}
