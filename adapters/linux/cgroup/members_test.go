package cgroup

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
)

func TestMembersBelow(t *testing.T) {
	dir := t.TempDir() + "/group"
	pids, err := members(dir)
	require.NoError(t, err)
	assert.Empty(t, pids, "a group that is gone")
	write(t, dir+"/cgroup.procs", "3\n0\n")
	write(t, dir+"/a/cgroup.procs", "")
	write(t, dir+"/a/deep/cgroup.procs", "7\n5\n")
	require.NoError(t, os.MkdirAll(dir+"/vanishing", 0o755)) // its list went first
	pids, err = members(dir)
	require.NoError(t, err)
	slices.Sort(pids)
	assert.Equal(t, []int{3, 5, 7}, pids)
	require.NoError(t, os.Mkdir(dir+"/vanishing/cgroup.procs", 0o755))
	_, err = members(dir)
	require.ErrorIs(t, err, unix.EISDIR, "what cannot be read is not empty")
	_, err = populated(dir + "/vanishing")
	require.ErrorIs(t, err, fault.System)
	assert.ErrorContains(t, err, dir+"/vanishing")
}

func TestPopulated(t *testing.T) {
	for name, row := range map[string]struct {
		files map[string]string
		want  bool
	}{
		"gone":                    {nil, false},
		"event":                   {map[string]string{"cgroup.events": "populated 1\nfrozen 0\n"}, true},
		"event, below":            {map[string]string{"cgroup.events": "populated 1\n", "cgroup.procs": ""}, true},
		"the event is the answer": {map[string]string{"cgroup.events": "populated 0\n", "cgroup.procs": "1\n"}, false},
		"list":                    {map[string]string{"cgroup.procs": "1\n"}, true},
		"list, below":             {map[string]string{"cgroup.procs": "", "a/cgroup.procs": "", "a/b/cgroup.procs": "1\n"}, true},
		"a foreign namespace's":   {map[string]string{"cgroup.procs": "0\n"}, true},
		"empty":                   {map[string]string{"cgroup.procs": "", "a/cgroup.procs": ""}, false},
	} {
		dir := t.TempDir() + "/group"
		for file, text := range row.files {
			write(t, dir+"/"+file, text)
		}
		got, err := populated(dir)
		require.NoError(t, err, name)
		assert.Equal(t, row.want, got, name)
	}
}

// TestListsWithNumbersOfNobody: between the listing and the look a process may end
// and its number may go to a thread.
func TestListsWithNumbersOfNobody(t *testing.T) {
	g := fakeGroup(t, fakeHost(t, "", oldHost...), nil)
	thread, stop := otherThread(t)
	defer stop()
	cmd := exec.Command("true")
	require.NoError(t, cmd.Run())
	write(t, g.dirs[g.processes()]+"/cgroup.procs", fmt.Sprintf("%d\n%d\n", cmd.Process.Pid, thread))
	require.NoError(t, g.Signal(within(t), 0))
	for _, pid := range []int{thread, cmd.Process.Pid} {
		require.NoError(t, waitProcess(within(t), pid), "nothing to wait for")
	}
}

// otherThread is the number of a thread that does not lead this process.
func otherThread(t *testing.T) (tid int, stop func()) {
	t.Helper()
	tids, stay := make(chan int), make(chan struct{})
	for range 2 { // at most one of two is the leader
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			tids <- unix.Gettid()
			<-stay
		}()
	}
	first, second := <-tids, <-tids
	if first == os.Getpid() {
		first = second
	}
	return first, func() { close(stay) }
}

// TestSignalBatchSparesStrangers: who is not in the second list has left, or is
// another with the same number.
func TestSignalBatchSparesStrangers(t *testing.T) {
	dir := t.TempDir()
	inside, stranger := exec.Command("sleep", "1000"), exec.Command("sleep", "1000")
	for _, cmd := range []*exec.Cmd{inside, stranger} {
		require.NoError(t, cmd.Start())
		defer func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}()
	}
	write(t, dir+"/cgroup.procs", fmt.Sprintf("%d\n", inside.Process.Pid))
	require.NoError(t, signalBatch(dir, []int{inside.Process.Pid, stranger.Process.Pid}, unix.SIGTERM))
	require.Error(t, inside.Wait())
	require.NoError(t, stranger.Process.Signal(unix.Signal(0)))
	require.NoError(t, signalBatch(dir, []int{inside.Process.Pid}, unix.SIGTERM), "gone by now")
}

// TestSignalReachesBatches: more processes than are held at a time.
func TestSignalReachesBatches(t *testing.T) {
	c := realHost(t)
	g := create(t, c, "lxc-1-a")
	p := spawn(t, g, fmt.Sprintf(`exec 2>&-; i=0; while [ $i -lt %d ]; do sleep 1000 & i=$((i+1)); done; echo up; wait; echo all; read x`, batch+9))
	require.Equal(t, "up\n", p.line(t))
	reached, err := g.signalAll(within(t), 0)
	require.NoError(t, err)
	assert.Equal(t, batch+10, reached, "with the shell")
	require.NoError(t, g.Kill(within(t)))
	reached, err = g.signalAll(within(t), 0)
	require.NoError(t, err)
	assert.Zero(t, reached)
	p.end()
}

func TestSignalRefusesWhatIsNone(t *testing.T) {
	g := create(t, realHost(t), "lxc-1-a")
	spawn(t, g, "read x")
	err := g.Signal(within(t), 1000)
	require.ErrorIs(t, err, unix.EINVAL)
	assert.ErrorContains(t, err, g.short())
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, g.Signal(gone, 0), fault.Aborted)
}

func TestWaitProcessEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, waitProcess(ctx, os.Getpid()), fault.Aborted)
	late, stop := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer stop()
	err := waitProcess(late, os.Getpid())
	require.ErrorIs(t, err, fault.Timeout)
	assert.ErrorContains(t, err, fmt.Sprint(os.Getpid()))
}

func TestWaitEvents(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, waitEvents(t.Context(), dir+"/gone", "populated", false))
	write(t, dir+"/cgroup.events", "populated 0\n")
	require.NoError(t, waitEvents(t.Context(), dir, "populated", false), "as wished already")
	err := waitEvents(t.Context(), dir, "populated", true)
	require.ErrorIs(t, err, fault.System, "a file that never tells")
	assert.ErrorContains(t, err, dir)
}

func TestWaitEventsOnAGroup(t *testing.T) {
	c := realHost(t)
	if !c.unified() {
		t.Skip("needs a version 2 tree, for its events")
	}
	g := create(t, c, "lxc-1-a")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, waitEvents(ctx, g.dirs[0], "populated", true), fault.Aborted)
	removed := make(chan error, 1)
	go func() { removed <- waitEvents(within(t), g.dirs[0], "populated", true) }()
	require.NoError(t, g.Remove(within(t)))
	require.NoError(t, <-removed, "a group that goes wakes nobody, and is waited for no longer")
}
