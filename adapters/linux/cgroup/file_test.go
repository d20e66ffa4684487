package cgroup

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestReadListTakesAllOrNothing: a number that was cut would be another process's.
func TestReadListTakesAllOrNothing(t *testing.T) {
	path := t.TempDir() + "/cgroup.procs"
	long := strings.Repeat("4194304\n", 3<<10) // more than one read
	require.NoError(t, os.WriteFile(path, []byte(long), 0o600))
	text, err := readList(path)
	require.NoError(t, err)
	assert.Equal(t, long, text)

	require.NoError(t, os.Truncate(path, maxList))
	text, err = readList(path)
	require.NoError(t, err)
	assert.Len(t, text, maxList)
	require.NoError(t, os.Truncate(path, maxList+1))
	text, err = readList(path)
	require.ErrorIs(t, err, unix.EFBIG)
	assert.Empty(t, text)
}

func TestFilesThatAreNoFiles(t *testing.T) {
	dir := t.TempDir()
	var buf [8]byte
	for name, call := range map[string]func(path string) error{
		"small": func(path string) error { _, err := readSmall(path, buf[:]); return err },
		"value": func(path string) error { _, err := readValue(path); return err },
		"list":  func(path string) error { _, err := readList(path); return err },
		"write": func(path string) error { return writeValue(path, "1") },
		"swap":  func(path string) error { _, err := swapValue(path, "1"); return err },
	} {
		assert.ErrorIs(t, call(dir), unix.EISDIR, name)
		assert.ErrorIs(t, call(dir+"/none"), unix.ENOENT, name)
		assert.NoFileExists(t, dir+"/none", "nothing is ever created")
	}
}

func TestSwapValueGivesWhatWasThere(t *testing.T) {
	path := t.TempDir() + "/memory.max"
	require.NoError(t, os.WriteFile(path, []byte("max\n"), 0o600))
	for _, step := range [][2]string{{"4096", "max"}, {"8192", "4096"}, {"8192", "8192"}} {
		before, err := swapValue(path, step[0])
		require.NoError(t, err)
		assert.Equal(t, step[1], before)
	}
}

func TestAgainGoesOnAfterSignals(t *testing.T) {
	calls := 0
	n, err := again(func() (int, error) {
		if calls++; calls < 4 {
			return -1, unix.EINTR
		}
		return 7, unix.EIO
	})
	assert.Equal(t, 4, calls)
	assert.Equal(t, 7, n)
	assert.ErrorIs(t, err, unix.EIO)
}
