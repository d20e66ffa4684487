package pty

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
)

// FuzzBytesPassAsTheyAre in both directions: no echo, no line ends, no flow control.
func FuzzBytesPassAsTheyAre(f *testing.F) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	f.Add(every)
	f.Add([]byte("line\r\n\x03\x04\x11\x13\x1a\x7f\xff\xff"))
	f.Add([]byte{0xff, 0, 0})
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) == 0 || len(text) > 2048 { // what fits into its buffer in one go
			return
		}
		terminal, err := New().Open(context.Background())
		require.NoError(t, err)
		defer terminal.Master.Close()
		stream, err := New().Attach(context.Background(), terminal.Path)
		require.NoError(t, err)
		defer stream.Close()
		for _, way := range []struct {
			from io.Writer
			to   io.Reader
		}{{stream, terminal.Master}, {terminal.Master, stream}} {
			_, err := way.from.Write(text)
			require.NoError(t, err)
			got := make([]byte, len(text))
			_, err = io.ReadFull(way.to, got)
			require.NoError(t, err)
			require.Equal(t, text, got)
		}
	})
}

// TestAttachToWhatIsGone, or not open to anybody yet.
func TestAttachToWhatIsGone(t *testing.T) {
	terminal := open(t)
	held, err := New().Attach(context.Background(), terminal.Path) // nobody else gets the number
	require.NoError(t, err)
	defer held.Close()
	require.NoError(t, terminal.Master.Close())
	_, err = New().Attach(context.Background(), terminal.Path)
	require.ErrorIs(t, err, fault.NotFound)
	assert.ErrorContains(t, err, terminal.Path)

	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	defer unix.Close(fd)
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	require.NoError(t, err)
	_, err = New().Attach(context.Background(), "/dev/pts/"+strconv.Itoa(number))
	require.ErrorIs(t, err, unix.EIO, "it is locked")
	require.ErrorIs(t, err, fault.NotFound)
}

func TestAttachFollowsNoWayToAnotherKind(t *testing.T) {
	dir := t.TempDir()
	for name, target := range map[string]string{"null": "/dev/null", "loop": "loop", "directory": "/dev/pts"} {
		link := filepath.Join(dir, name)
		require.NoError(t, os.Symlink(target, link))
		_, err := New().Attach(context.Background(), link)
		require.Error(t, err, name)
		assert.ErrorContains(t, err, link)
	}
}

func TestSlavesByNumber(t *testing.T) {
	for major, want := range map[uint32]bool{1: false, 5: false, 128: false, 135: false, 136: true, 143: true, 144: false, 136 + 256: false} {
		assert.Equal(t, want, isSlave(unix.Mkdev(major, 7)), "%d", major)
	}
}

// TestEveryTerminalIsItsOwn, however many are opened at once.
func TestEveryTerminalIsItsOwn(t *testing.T) {
	const many = 16
	paths := make(chan string, many)
	var group sync.WaitGroup
	for range many {
		group.Go(func() {
			terminal, err := New().Open(context.Background())
			if assert.NoError(t, err) {
				t.Cleanup(func() { terminal.Master.Close() })
				paths <- terminal.Path
			}
		})
	}
	group.Wait()
	close(paths)
	seen := map[string]bool{}
	for path := range paths {
		assert.False(t, seen[path], path)
		seen[path] = true
		assert.FileExists(t, path)
	}
}

// TestClosedStream: closing wakes who reads, and there is nothing to read any more.
func TestClosedStream(t *testing.T) {
	stream, err := New().Attach(context.Background(), open(t).Path)
	require.NoError(t, err)
	read := make(chan error)
	go func() {
		_, err := stream.Read(make([]byte, 1))
		read <- err
	}()
	require.NoError(t, stream.Close())
	require.ErrorIs(t, <-read, os.ErrClosed)
	require.ErrorIs(t, stream.Close(), os.ErrClosed)
	_, err = stream.Write([]byte("x"))
	require.ErrorIs(t, err, os.ErrClosed)
}
