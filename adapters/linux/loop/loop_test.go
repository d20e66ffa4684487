package loop

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/launch/step"
	"virtlxcd/ports/hold"
)

func newLoop(t *testing.T) *Loop {
	l, err := New(func(int) (*step.Script, bool) { return nil, false })
	require.NoError(t, err)
	t.Cleanup(func() { unix.Close(l.epoll); unix.Close(l.inotify) })
	return l
}

func pipe(t *testing.T) (read, write hold.FD) {
	var fds [2]int
	require.NoError(t, unix.Pipe2(fds[:], unix.O_CLOEXEC))
	t.Cleanup(func() { unix.Close(fds[0]); unix.Close(fds[1]) })
	return hold.FD(fds[0]), hold.FD(fds[1])
}

// rounds runs the loop until dispatch was called n times.
func rounds(t *testing.T, l *Loop, n int, dispatch func(hold.FD, hold.Happening)) {
	t.Helper()
	require.NoError(t, l.Run(func(fd hold.FD, happened hold.Happening) {
		n--
		dispatch(fd, happened)
	}, func() bool { return n > 0 }))
}

func TestTellsWhatIsReadable(t *testing.T) {
	l := newLoop(t)
	read, write := pipe(t)
	l.Watch(read, hold.Interest{Read: true})
	l.Write(write, []byte("x"))
	rounds(t, l, 1, func(fd hold.FD, happened hold.Happening) {
		assert.Equal(t, read, fd)
		assert.True(t, happened.Readable)
	})
	buffer := make([]byte, 8)
	n, _ := l.Read(read, buffer)
	assert.Equal(t, 1, n)
	n, again := l.Read(read, buffer)
	assert.Zero(t, n)
	assert.True(t, again, "what is watched does not block")
}

func TestForgottenInTheSameRound(t *testing.T) {
	l := newLoop(t)
	one, first := pipe(t)
	two, second := pipe(t)
	for _, fd := range []hold.FD{one, two} {
		l.Watch(fd, hold.Interest{Read: true})
	}
	l.Write(first, []byte("x"))
	l.Write(second, []byte("x"))
	told := map[hold.FD]int{}
	rounds(t, l, 1, func(fd hold.FD, _ hold.Happening) {
		told[fd]++
		l.Forget(one)
		l.Forget(two)
	})
	assert.Len(t, told, 1, "an event of one that was forgotten meanwhile is dropped")
}

// TestAnEdgeIsToldOnce: asking for the same again must not tell it again, or a
// terminal that is hung up would be told without end.
func TestAnEdgeIsToldOnce(t *testing.T) {
	l := newLoop(t)
	read, write := pipe(t)
	other, signal := pipe(t)
	l.Watch(read, hold.Interest{Read: true, Edge: true})
	l.Watch(other, hold.Interest{Read: true})
	l.Close(write)
	edges := 0
	rounds(t, l, 3, func(fd hold.FD, happened hold.Happening) {
		if fd == read {
			edges++
			assert.True(t, happened.HungUp)
			l.Watch(read, hold.Interest{Read: true, Edge: true})
			l.Write(signal, []byte("x")) // more rounds follow
		}
	})
	assert.Equal(t, 1, edges)
}

func TestATerminalThatIsOpened(t *testing.T) {
	l := newLoop(t)
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	master := hold.FD(fd)
	defer l.Close(master)
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	l.WatchOpens(master)
	assert.False(t, l.Attached(master))
	peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	require.Zero(t, errno)
	defer unix.Close(int(peer))
	l.Watch(master, hold.Interest{Read: true, Edge: true})
	rounds(t, l, 1, func(fd hold.FD, happened hold.Happening) {
		assert.Equal(t, master, fd)
	})
	assert.True(t, l.Attached(master))
	l.Forget(master)
	assert.Empty(t, l.opens)
}

func TestTellsWhatIsWritable(t *testing.T) {
	l := newLoop(t)
	read, write := pipe(t)
	l.Watch(write, hold.Interest{})
	chunk := make([]byte, 4096)
	for again := false; !again; {
		_, again = l.Write(write, chunk)
	}
	l.Watch(write, hold.Interest{Write: true}) // nothing to tell: it is full
	l.Watch(read, hold.Interest{Read: true})
	rounds(t, l, 1, func(fd hold.FD, happened hold.Happening) {
		assert.Equal(t, read, fd)
		for again := false; !again; {
			_, again = l.Read(read, chunk)
		}
	})
	rounds(t, l, 1, func(fd hold.FD, happened hold.Happening) {
		assert.Equal(t, write, fd)
		assert.Equal(t, hold.Happening{Writable: true}, happened)
	})
}

// TestAnInterestReplacesTheOneBefore: what is no longer asked for is not told.
func TestAnInterestReplacesTheOneBefore(t *testing.T) {
	l := newLoop(t)
	read, write := pipe(t)
	other, signal := pipe(t)
	l.Watch(read, hold.Interest{Read: true})
	l.Write(write, []byte("x"))
	l.Watch(read, hold.Interest{})
	l.Watch(other, hold.Interest{Read: true})
	l.Write(signal, []byte("x"))
	rounds(t, l, 2, func(fd hold.FD, _ hold.Happening) { assert.Equal(t, other, fd) })
}

// TestAHangUpIsToldUnasked: the kernel reports it whatever one waits for.
func TestAHangUpIsToldUnasked(t *testing.T) {
	l := newLoop(t)
	var ends [2]int
	require.NoError(t, unix.Pipe2(ends[:], unix.O_CLOEXEC))
	defer unix.Close(ends[1])
	l.Watch(hold.FD(ends[1]), hold.Interest{})
	unix.Close(ends[0])
	rounds(t, l, 1, func(_ hold.FD, happened hold.Happening) {
		assert.Equal(t, hold.Happening{HungUp: true}, happened)
	})
}

func TestReadingAndWritingAtTheEnd(t *testing.T) {
	l := newLoop(t)
	read, write := pipe(t)
	l.Close(hold.None) // fine
	for name, row := range map[string]struct {
		call  func() (int, bool)
		n     int
		again bool
	}{
		"no descriptor to read":  {func() (int, bool) { return l.Read(hold.None, make([]byte, 1)) }, 0, false},
		"no descriptor to write": {func() (int, bool) { return l.Write(hold.None, []byte("x")) }, 0, false},
		"wrong end":              {func() (int, bool) { return l.Write(read, []byte("x")) }, 0, false},
		"something":              {func() (int, bool) { return l.Write(write, []byte("xy")) }, 2, false},
	} {
		n, again := row.call()
		assert.Equal(t, row.n, n, name)
		assert.Equal(t, row.again, again, name)
	}
}

// TestForgetLeavesTheDescriptorOpen: it is the caller's, and can be watched again.
func TestForgetLeavesTheDescriptorOpen(t *testing.T) {
	l := newLoop(t)
	read, write := pipe(t)
	l.Watch(read, hold.Interest{Read: true})
	l.Forget(read)
	l.Forget(read)
	l.Write(write, []byte("x"))
	l.Watch(read, hold.Interest{Read: true})
	rounds(t, l, 1, func(fd hold.FD, _ hold.Happening) { assert.Equal(t, read, fd) })
	assert.Len(t, l.watched, 2, "it and inotify")
}

func TestRunEndsWithoutWaiting(t *testing.T) {
	require.NoError(t, newLoop(t).Run(nil, func() bool { return false }))
}

func TestRunFailsWithoutItsDescriptors(t *testing.T) {
	l := &Loop{epoll: -1}
	require.ErrorIs(t, l.Run(nil, func() bool { return true }), unix.EBADF)
}

func TestLoadPassesOn(t *testing.T) {
	want := new(step.Script)
	l, err := New(func(plan int) (*step.Script, bool) { return want, plan == 7 })
	require.NoError(t, err)
	defer func() { unix.Close(l.epoll); unix.Close(l.inotify) }()
	got, ok := l.Load(7)
	assert.Same(t, want, got)
	assert.True(t, ok)
	_, ok = l.Load(8)
	assert.False(t, ok)
}
