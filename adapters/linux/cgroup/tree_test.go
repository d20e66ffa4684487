package cgroup

import (
	"os"
	"path"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// nest makes one directory in another, each with the longest name, until no path
// leads to the innermost, and puts what is given into that.
func nest(t *testing.T, dir string, leaf func(at int)) {
	t.Helper()
	at, err := openDir(unix.AT_FDCWD, dir)
	require.NoError(t, err)
	name := strings.Repeat("n", 250)
	for range unix.PathMax/len(name) + 2 {
		require.NoError(t, unix.Mkdirat(at, name, 0o755))
		below, err := openDir(at, name)
		require.NoError(t, err)
		require.NoError(t, unix.Close(at))
		at = below
	}
	leaf(at)
	require.NoError(t, unix.Close(at))
}

// TestBeyondAnyPath: a container may nest its groups as deep as it likes.
func TestBeyondAnyPath(t *testing.T) {
	dir := t.TempDir() + "/group"
	require.NoError(t, os.Mkdir(dir, 0o755))
	write(t, dir+"/cgroup.procs", "1\n")
	nest(t, dir, func(at int) {
		list, err := unix.Openat(at, "cgroup.procs", unix.O_CREAT|unix.O_WRONLY, 0o644)
		require.NoError(t, err)
		_, err = unix.Write(list, []byte("7\n"))
		require.NoError(t, err)
		require.NoError(t, unix.Close(list))
	})
	pids, err := members(dir)
	require.NoError(t, err)
	assert.Equal(t, []int{1, 7}, pids)
	require.ErrorIs(t, removeTree(dir), unix.ENOTEMPTY, "the innermost is in use")
	require.NoError(t, walkTree(dir, func(dir string) error {
		return unlessVanished(unix.Unlink(dir + "/cgroup.procs"))
	}, nil))
	require.NoError(t, removeTree(dir))
	assert.NoDirExists(t, dir)
}

// TestBeyondAnyPathInTheKernel: the same with the kernel's own groups, with a process in
// the innermost.
func TestBeyondAnyPathInTheKernel(t *testing.T) {
	g := create(t, realHost(t), "vlxdeep")
	pid := spawn(t, g, "exec sleep 100").Process.Pid
	dir := g.dirs[g.processes()]
	nest(t, dir, func(at int) { require.NoError(t, writeValue(alias(at)+"/cgroup.procs", strconv.Itoa(pid))) })
	pids, err := members(dir)
	require.NoError(t, err)
	assert.Equal(t, []int{pid}, pids)
	require.NoError(t, g.Kill(within(t)))
	require.NoError(t, g.Remove(within(t)))
	assert.NoDirExists(t, dir)
}

// TestWalkVisitsInOrder: before what is inside, after it, and not after the top.
func TestWalkVisitsInOrder(t *testing.T) {
	dir := t.TempDir()
	for _, inside := range []string{"a/b", "a/c", "d"} {
		require.NoError(t, os.MkdirAll(dir+"/"+inside, 0o755))
	}
	var visits []string
	name := func(dir string) string {
		real, err := os.Readlink(dir)
		if err != nil { // not an open directory but one in it
			real, err = os.Readlink(path.Dir(dir))
			require.NoError(t, err)
			real = path.Join(real, path.Base(dir))
		}
		return real
	}
	note := func(how string) func(string) error {
		return func(at string) error {
			visits = append(visits, how+strings.TrimPrefix(name(at), dir))
			return nil
		}
	}
	require.NoError(t, walkTree(dir, note("+"), note("-")))
	assert.Equal(t, "+ +/a +/a/b -/a/b +/a/c -/a/c -/a +/d -/d", strings.Join(visits, " "))
}

// TestWalkPassesOverWhatVanishes: groups go while their neighbours are visited.
func TestWalkPassesOverWhatVanishes(t *testing.T) {
	require.NoError(t, walkTree(t.TempDir()+"/gone", nil, nil))
	dir := t.TempDir()
	for _, inside := range []string{"a", "b"} {
		require.NoError(t, os.MkdirAll(dir+"/"+inside, 0o755))
	}
	visits := 0
	require.NoError(t, walkTree(dir, func(string) error {
		visits++
		return unlessVanished(unix.Rmdir(dir + "/b"))
	}, nil))
	assert.Equal(t, 2, visits, "the top and a")
	require.ErrorIs(t, walkTree(dir, nil, func(string) error { return unix.EPERM }), unix.EPERM)
}
