package loop

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/ports/hold"
)

// terminal opens a master whose slave can be opened.
func terminal(t *testing.T) hold.FD {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	return hold.FD(fd)
}

// openSlave opens the other end, as a client would.
func openSlave(t *testing.T, master hold.FD) (slave hold.FD) {
	t.Helper()
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	require.Zero(t, errno)
	return hold.FD(fd)
}

// openings runs the loop until n openings were told, and returns of which.
func openings(t *testing.T, l *Loop, n int) []hold.FD {
	t.Helper()
	var told []hold.FD
	rounds(t, l, n, func(fd hold.FD, happened hold.Happening) {
		assert.Equal(t, hold.Happening{Opened: true}, happened)
		told = append(told, fd)
	})
	return told
}

func TestEveryOpeningIsTold(t *testing.T) {
	l := newLoop(t)
	one, two := terminal(t), terminal(t)
	l.WatchOpens(one)
	l.WatchOpens(two)
	assert.False(t, l.Attached(one), "opening it once to settle the state leaves nobody attached")
	for _, master := range []hold.FD{one, two, one} {
		slave := openSlave(t, master)
		assert.Equal(t, []hold.FD{master}, openings(t, l, 1))
		assert.True(t, l.Attached(master))
		l.Close(slave)
		assert.False(t, l.Attached(master))
	}
}

func TestWatchingTwiceIsOneWatch(t *testing.T) {
	l := newLoop(t)
	master, other := terminal(t), terminal(t)
	l.WatchOpens(master)
	l.WatchOpens(master)
	l.WatchOpens(other)
	// The second watch opened the slave once more; that is told, and is the last of it.
	defer l.Close(openSlave(t, master))
	defer l.Close(openSlave(t, other))
	told := openings(t, l, 2)
	for told[len(told)-1] != other {
		told = append(told, openings(t, l, 1)...)
	}
	assert.Len(t, l.opens, 2)
	l.Forget(master)
	assert.Len(t, l.opens, 1)
}

func TestWhatIsNoTerminalIsNotWatched(t *testing.T) {
	l := newLoop(t)
	read, _ := pipe(t)
	for _, fd := range []hold.FD{read, hold.None} {
		l.WatchOpens(fd)
		assert.Empty(t, l.opens)
		assert.NotPanics(t, func() { l.Forget(fd) })
	}
}

// TestTheEndOfAWatchIsNoOpening: the node goes with its terminal, and inotify says so.
func TestTheEndOfAWatchIsNoOpening(t *testing.T) {
	l := newLoop(t)
	path := filepath.Join(t.TempDir(), "node")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	watch, err := unix.InotifyAddWatch(l.inotify, path, unix.IN_OPEN)
	require.NoError(t, err)
	l.opens[int32(watch)] = 77
	require.NoError(t, os.Remove(path))
	read, write := pipe(t)
	l.Watch(read, hold.Interest{Read: true})
	l.Write(write, []byte("x"))
	rounds(t, l, 1, func(fd hold.FD, happened hold.Happening) {
		assert.Equal(t, read, fd, "%+v", happened)
	})
}

// event is one struct inotify_event.
func event(watch int32, mask uint32, name string) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(watch))
	b = binary.NativeEndian.AppendUint32(b, mask)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = binary.NativeEndian.AppendUint32(b, uint32(len(name)))
	return append(b, name...)
}

func TestTell(t *testing.T) {
	for name, row := range map[string]struct {
		events []byte
		told   []hold.FD
	}{
		"none":                 {nil, nil},
		"one":                  {event(1, unix.IN_OPEN, ""), []hold.FD{11}},
		"two, the first named": {slices.Concat(event(2, unix.IN_OPEN, "name\x00\x00\x00\x00"), event(1, unix.IN_OPEN, "")), []hold.FD{12, 11}},
		"unknown":              {slices.Concat(event(9, unix.IN_OPEN, ""), event(1, unix.IN_OPEN, "")), []hold.FD{11}},
		"over":                 {event(1, unix.IN_IGNORED, ""), nil},
		"unmounted":            {event(2, unix.IN_UNMOUNT, ""), nil},
		"something left out":   {event(-1, unix.IN_Q_OVERFLOW, ""), []hold.FD{11, 12}},
		"cut in the head":      {event(1, unix.IN_OPEN, "")[:15], nil},
		"cut in the name":      {event(1, unix.IN_OPEN, "12345678")[:20], []hold.FD{11}},
		"cut in the second":    {slices.Concat(event(2, unix.IN_OPEN, ""), event(1, unix.IN_OPEN, "")[:8]), []hold.FD{12}},
	} {
		t.Run(name, func(t *testing.T) {
			l := &Loop{opens: map[int32]hold.FD{1: 11, 2: 12}}
			var told []hold.FD
			l.tell(row.events, func(fd hold.FD, happened hold.Happening) {
				assert.Equal(t, hold.Happening{Opened: true}, happened)
				told = append(told, fd)
			})
			if row.told != nil && len(row.events) == eventSize { // in no order when all are told
				slices.Sort(told)
			}
			assert.Equal(t, row.told, told)
		})
	}
}

// TestForgottenWhileAllAreTold: whoever hears of one terminal may let go of another.
func TestForgottenWhileAllAreTold(t *testing.T) {
	l := newLoop(t)
	one, two := terminal(t), terminal(t)
	l.WatchOpens(one)
	l.WatchOpens(two)
	told := 0
	l.tell(event(-1, unix.IN_Q_OVERFLOW, ""), func(hold.FD, hold.Happening) {
		told++
		l.Forget(one)
		l.Forget(two)
	})
	assert.Equal(t, 1, told)
}

func FuzzTell(f *testing.F) {
	f.Add(event(1, unix.IN_OPEN, ""))
	f.Add(event(-1, unix.IN_Q_OVERFLOW, ""))
	f.Add(slices.Concat(event(2, unix.IN_OPEN, "name"), event(1, unix.IN_IGNORED, "")))
	f.Add(binary.NativeEndian.AppendUint32(event(1, unix.IN_OPEN, "")[:12], 1<<32-1))
	f.Fuzz(func(t *testing.T, events []byte) {
		hear := func(events []byte) (told int) {
			l := &Loop{opens: map[int32]hold.FD{1: 11, 2: 12}}
			l.tell(events, func(fd hold.FD, happened hold.Happening) {
				told++
				assert.Contains(t, []hold.FD{11, 12}, fd)
				assert.True(t, happened.Opened)
			})
			return told
		}
		all := hear(events)
		assert.LessOrEqual(t, all, 2*(len(events)/eventSize), "at most both for each event")
		assert.LessOrEqual(t, hear(events[:len(events)/2]), all, "less is never more")
	})
}
