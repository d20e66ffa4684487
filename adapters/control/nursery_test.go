package control

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// writable opens files that stand for the tasks files of groups.
func writable(t *testing.T, paths ...string) (list []*os.File) {
	t.Helper()
	for _, path := range paths {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		require.NoError(t, err)
		list = append(list, file)
	}
	return list
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

// TestTheThreadJoinsAndLeaves: "0" stands for who writes it (cgroups(7)).
func TestTheThreadJoinsAndLeaves(t *testing.T) {
	dir := t.TempDir()
	one, two, home := filepath.Join(dir, "one"), filepath.Join(dir, "two"), filepath.Join(dir, "home")
	tasks, back := writable(t, one, two), writable(t, home)
	n := newNursery(Options{
		Group: func(context.Context) (*os.File, []*os.File, error) { return nil, tasks, nil },
		Home:  func() ([]*os.File, error) { return back, nil },
	}, slog.New(slog.DiscardHandler))
	_, err := n.start(t.Context(), birth{program: "/vlx/missing"})
	require.ErrorIs(t, err, os.ErrNotExist)
	assert.Equal(t, "0", content(t, one))
	assert.Equal(t, "0", content(t, two))
	assert.Empty(t, content(t, home), "not before the end")
	n.close()
	assert.Equal(t, "0", content(t, home))
	for _, file := range append(tasks, back...) {
		assert.ErrorIs(t, file.Close(), os.ErrClosed, "what it was given is closed")
	}
	_, err = n.start(t.Context(), birth{})
	assert.ErrorIs(t, err, os.ErrClosed)
}

// TestGroupsThatCannotBeJoined: controllers are started all the same, where the
// daemon is, and the log says what that means.
func TestGroupsThatCannotBeJoined(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "second")
	tasks := append([]*os.File{full}, writable(t, path)...)
	for _, group := range []func(context.Context) (*os.File, []*os.File, error){
		func(context.Context) (*os.File, []*os.File, error) { return nil, nil, unix.EROFS },
		func(context.Context) (*os.File, []*os.File, error) { return nil, tasks, nil },
	} {
		var log bytes.Buffer
		c := house(t, idle, func(o *Options) { o.Group = group })
		n := newNursery(Options{Group: group}, slog.New(slog.NewTextHandler(&log, nil)))
		n.close()
		assert.Contains(t, log.String(), "controllers stay in the daemon's control groups")
		assert.NotNil(t, launched(t, c))
	}
	assert.Contains(t, content(t, path), "0", "the others are joined")
}

// TestGivingUpTheWaitForTheThread when another start takes its time.
func TestGivingUpTheWaitForTheThread(t *testing.T) {
	n := &nursery{births: make(chan birth), done: make(chan struct{})} // nobody takes births
	_, err := n.start(canceled(t), birth{})
	assert.ErrorIs(t, err, context.Canceled)
}

// TestDuplicates are all made, or none.
func TestDuplicates(t *testing.T) {
	good := memory(t, "good")
	copies, err := duplicates([]*os.File{good, good})
	require.NoError(t, err)
	assert.Equal(t, inode(t, descriptor(good)), inode(t, descriptor(copies[1])))
	assert.NotEqual(t, descriptor(copies[0]), descriptor(copies[1]))
	closeFiles(append(copies, nil))

	closed := memory(t, "closed")
	require.NoError(t, closed.Close())
	_, err = duplicates([]*os.File{good, closed})
	assert.ErrorIs(t, err, unix.EBADF)
	assert.Equal(t, -1, descriptor(closed))
}
