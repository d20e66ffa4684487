package logging

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// tinyLog opens a log and a second file on a disk of 64 KiB that nobody else sees: the
// mounts of a thread that has ended (mount_namespaces(7)). Both stay of use without it.
func tinyLog(t *testing.T) (l *Log, log, other *os.File) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a small file system")
	}
	dir := t.TempDir()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with its namespace
		err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err == nil {
			err = unix.Mount("vlxtiny", dir, "tmpfs", 0, "size=64k")
		}
		if err == nil {
			l, err = Open(Options{Outputs: "3:file:" + dir + "/log", Level: slog.LevelWarn})
		}
		if err == nil {
			var first, second error
			log, first = os.Open(dir + "/log")
			other, second = os.Create(dir + "/other")
			err = errors.Join(first, second)
		}
		done <- err
	}()
	require.NoError(t, <-done)
	t.Cleanup(func() { assert.NoError(t, errors.Join(l.Close(), log.Close(), other.Close())) })
	return l, log, other
}

// TestADiskThatFillsUp: the daemon works on, what was lost is told as soon as there is
// room, and all lines but the torn one are whole.
func TestADiskThatFillsUp(t *testing.T) {
	l, file, other := tinyLog(t)
	log := slog.New(l)
	log.Warn("before")
	_, err := other.Write(make([]byte, 48<<10)) // the log has three pages, of which one is used
	require.NoError(t, err)
	for range 5 {
		log.Warn(strings.Repeat("x", 6<<10))
	}
	lost := l.outputs.Load().list[0].lost.Load()
	require.Positive(t, lost)
	require.NoError(t, other.Truncate(0))
	log.Warn("after")
	log.Warn("and so on")
	text, err := io.ReadAll(file)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	for _, line := range lines {
		assert.Regexp(t, lineForm, line)
	}
	last := lines[len(lines)-3:]
	assert.Contains(t, last[0], "records could not be written here and are lost")
	assert.Contains(t, last[1], " : after")
	assert.Contains(t, last[2], " : and so on")
	assert.Contains(t, lines[0], " : before")
	whole := 0
	for _, line := range lines[1 : len(lines)-3] {
		if strings.HasSuffix(line, strings.Repeat("x", 6<<10)) {
			whole++
		}
	}
	assert.EqualValues(t, 5, lost+int64(whole), "each is there or counted as lost")
}
