package process

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
)

// makePipe makes a fifo and holds it open for reading.
func makePipe(t *testing.T, path string) *os.File {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, unix.Mkfifo(path, 0o600))
	pipe, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	require.NoError(t, err)
	t.Cleanup(func() { pipe.Close() })
	return pipe
}

// drain reads what is in the pipe now.
func drain(t *testing.T, pipe *os.File) []byte {
	t.Helper()
	b := make([]byte, 1<<20)
	n, err := unix.Read(int(pipe.Fd()), b)
	require.NoError(t, err)
	return b[:n]
}

func TestInitPipes(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "initctl")
	outsidePipe := makePipe(t, outside)
	tests := map[string]struct {
		make func(t *testing.T, root string) (answered *os.File)
	}{
		"second place": {func(t *testing.T, root string) *os.File { return makePipe(t, root+"/dev/initctl") }},
		"third place":  {func(t *testing.T, root string) *os.File { return makePipe(t, root+"/etc/.initctl") }},
		"first of two": {func(t *testing.T, root string) *os.File {
			makePipe(t, root+"/dev/initctl")
			return makePipe(t, root+"/run/initctl")
		}},
		"first without a reader": {func(t *testing.T, root string) *os.File {
			makePipe(t, root+"/run/initctl").Close()
			return makePipe(t, root+"/dev/initctl")
		}},
		"first is a plain file": {func(t *testing.T, root string) *os.File {
			require.NoError(t, os.Mkdir(root+"/run", 0o755))
			require.NoError(t, os.WriteFile(root+"/run/initctl", nil, 0o600))
			return makePipe(t, root+"/dev/initctl")
		}},
		"first is a device": {func(t *testing.T, root string) *os.File {
			require.NoError(t, os.Mkdir(root+"/run", 0o755))
			require.NoError(t, unix.Mknod(root+"/run/initctl", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
			return makePipe(t, root+"/dev/initctl")
		}},
		"link out of the root": {func(t *testing.T, root string) *os.File {
			require.NoError(t, os.Mkdir(root+"/run", 0o755))
			require.NoError(t, os.Symlink(outside, root+"/run/initctl"))
			return nil
		}},
		"directory is a link out of the root": {func(t *testing.T, root string) *os.File {
			require.NoError(t, os.Symlink(filepath.Dir(outside), root+"/run"))
			return nil
		}},
		"only without a reader": {func(t *testing.T, root string) *os.File {
			makePipe(t, root+"/run/initctl").Close()
			return nil
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			needRoot(t)
			root := t.TempDir()
			answered := test.make(t, root)
			p := open(t, newProcesses(t), below(t, root).PID)
			err := p.RequestRunlevel('0')
			if answered == nil {
				require.ErrorIs(t, err, fault.UnsupportedOperation)
				assert.ErrorContains(t, err, "Container does not provide an initctl pipe")
			} else {
				require.NoError(t, err)
				got := drain(t, answered)
				require.Len(t, got, 384)
				assert.Equal(t, append([]byte{0x69, 0x19, 0x09, 0x03, 1, 0, 0, 0, '0'}, make([]byte, 375)...), got)
			}
			assert.Empty(t, drain(t, outsidePipe), "the host's pipe got nothing")
		})
	}
}

func TestFullInitPipeIsAnError(t *testing.T) {
	needRoot(t)
	root := t.TempDir()
	pipe := makePipe(t, root+"/run/initctl")
	p := open(t, newProcesses(t), below(t, root).PID)
	var err error
	for range 1000 {
		if err = p.RequestRunlevel('6'); err != nil {
			break
		}
	}
	require.ErrorIs(t, err, unix.EAGAIN)
	require.ErrorIs(t, err, fault.System)
	assert.Zero(t, len(drain(t, pipe))%384, "requests are whole")
	require.ErrorIs(t, p.RequestRunlevel('3'), fault.InvalidArgument)
}

// TestSharedPipeIsTheHostsOwn stands in for a container that shares the host's
// /run: initPipes on the host's side are the same files.
func TestSharedPipeIsTheHostsOwn(t *testing.T) {
	needRoot(t)
	root := t.TempDir()
	pipe := makePipe(t, root+"/run/initctl")
	old := initPipes
	initPipes = []string{"/run/initctl", root + "/run/initctl"}
	t.Cleanup(func() { initPipes = old })
	p := open(t, newProcesses(t), below(t, root).PID)
	require.ErrorIs(t, p.RequestRunlevel('0'), fault.UnsupportedOperation)
	assert.Empty(t, drain(t, pipe))
}
