package pty

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
	"virtlxcd/ports"
	"virtlxcd/ports/porttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContract(t *testing.T) {
	porttest.TestTerminals(t, func(t *testing.T) porttest.TerminalsHarness {
		return porttest.TerminalsHarness{Terminals: New()}
	})
}

func open(t *testing.T) ports.Terminal {
	t.Helper()
	terminal, err := New().Open(context.Background())
	require.NoError(t, err)
	t.Cleanup(func() { terminal.Master.Close() })
	return terminal
}

func TestMasterDescriptor(t *testing.T) {
	master := open(t).Master
	fd := master.Fd() // as one does to pass it on
	flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
	require.NoError(t, err)
	assert.NotZero(t, flags&unix.O_NONBLOCK)
	flags, err = unix.FcntlInt(fd, unix.F_GETFD, 0)
	require.NoError(t, err)
	assert.NotZero(t, flags&unix.FD_CLOEXEC)
}

func TestNewTerminalShowsNoHangup(t *testing.T) {
	master := open(t).Master
	set := []unix.PollFd{{Fd: int32(master.Fd()), Events: unix.POLLIN}}
	n, err := unix.Poll(set, 0)
	require.NoError(t, err)
	assert.Zero(t, n, "revents %#x", set[0].Revents)
}

func TestSlaveIsRawForWhoeverOpensIt(t *testing.T) {
	terminal := open(t)
	slave, err := os.OpenFile(terminal.Path, os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	defer slave.Close()
	got, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	require.NoError(t, err)
	assert.Zero(t, got.Lflag&(unix.ECHO|unix.ICANON|unix.ISIG))
	assert.Zero(t, got.Oflag&unix.OPOST)
	assert.EqualValues(t, unix.CS8, got.Cflag&unix.CSIZE)
}

func TestAttachDoesNotBecomeControllingTerminal(t *testing.T) {
	stream, err := New().Attach(context.Background(), open(t).Path)
	require.NoError(t, err)
	defer stream.Close()
	fd := stream.(interface{ descriptor() uintptr }).descriptor()
	session, err := unix.IoctlGetInt(int(fd), unix.TIOCGSID)
	require.Error(t, err, "it is the terminal of session %d", session)
}

func (s *stream) descriptor() uintptr { return s.file.Fd() }

func TestReadAfterHangupIsEOF(t *testing.T) {
	terminal := open(t)
	stream, err := New().Attach(context.Background(), terminal.Path)
	require.NoError(t, err)
	defer stream.Close()
	require.NoError(t, terminal.Master.Close())
	for range 2 {
		_, err = stream.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
	}
	_, err = stream.Write([]byte("x"))
	require.ErrorIs(t, err, unix.EIO)
}

func TestWriteIntoFullTerminalEndsWithClose(t *testing.T) {
	stream, err := New().Attach(context.Background(), open(t).Path)
	require.NoError(t, err)
	ended := make(chan error)
	started := make(chan struct{})
	go func() {
		chunk := make([]byte, 64<<10)
		close(started)
		for {
			if _, err := stream.Write(chunk); err != nil {
				ended <- err
				return
			}
		}
	}()
	<-started
	require.NoError(t, stream.Close())
	select {
	case err := <-ended:
		require.ErrorIs(t, err, os.ErrClosed)
	case <-time.After(20 * time.Second):
		require.Fail(t, "write still waits")
	}
}

func TestAttachRefuses(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	require.NoError(t, unix.Mkfifo(fifo, 0o600))
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for path, kind := range map[string]fault.Kind{
		fifo: fault.UnsupportedConfig, file: fault.UnsupportedConfig, dir: fault.UnsupportedConfig,
		"/dev/null": fault.UnsupportedConfig, "/dev/ptmx": fault.UnsupportedConfig,
		filepath.Join(dir, "none"): fault.NotFound,
	} {
		_, err := New().Attach(context.Background(), path)
		require.ErrorIs(t, err, kind, path)
	}
}

func TestEndedContext(t *testing.T) {
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	late, cancel := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer cancel()
	path := open(t).Path
	for ctx, kind := range map[context.Context]fault.Kind{cancelled: fault.Aborted, late: fault.Timeout} {
		_, err := New().Open(ctx)
		require.ErrorIs(t, err, kind)
		_, err = New().Attach(ctx, path)
		require.ErrorIs(t, err, kind)
	}
}
