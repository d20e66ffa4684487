package cgroup

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"virtlxcd/domain/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: writes to the control group hierarchies")
	}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// realHost gives the host's hierarchies below a base of the test's own, which
// must be empty and removable in the end.
func realHost(t testing.TB) *Cgroups {
	t.Helper()
	needRoot(t)
	random := make([]byte, 4)
	_, err := rand.Read(random)
	require.NoError(t, err)
	c, err := New(Options{Base: "/vlx-" + hex.EncodeToString(random)}, quiet())
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, c.Close())
		for _, h := range c.all {
			require.NoDirExists(t, h.root+c.base)
		}
	})
	return c
}

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// ended is a context that has ended already.
func ended(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func create(t testing.TB, c *Cgroups, name string) *Group {
	t.Helper()
	made, err := c.Create(within(t), "/machine", name)
	require.NoError(t, err)
	g := made.(*Group)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		require.NoError(t, g.Kill(ctx))
		require.NoError(t, g.Remove(ctx))
	})
	return g
}

// child is a shell that enters a group before it does anything.
type child struct {
	*exec.Cmd
	out    *bufio.Reader
	in     io.WriteCloser
	waited bool
}

// spawn starts a shell in the group the way real processes enter: the shell
// itself writes to the lists it inherited.
func spawn(t testing.TB, g *Group, script string) *child {
	t.Helper()
	enter := ""
	for i, h := range g.all {
		file := "/tasks"
		if h.unified {
			file = "/cgroup.procs"
		}
		enter += "echo $$ > '" + g.dirs[i] + file + "' || exit 99\n"
	}
	cmd := exec.Command("/bin/sh", "-c", enter+"echo entered\n"+script)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	c := &child{Cmd: cmd, out: bufio.NewReader(out), in: in}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		if g.unified() {
			_ = g.Thaw(context.Background())
		}
		c.end()
	})
	require.Equal(t, "entered\n", c.line(t))
	return c
}

func (c *child) line(t testing.TB) string {
	t.Helper()
	line, err := c.out.ReadString('\n')
	require.NoError(t, err)
	return line
}

// end waits for the process, once.
func (c *child) end() {
	if !c.waited {
		c.waited = true
		_ = c.Wait()
	}
}

func ptr[T any](v T) *T { return &v }

func defaultLimits() policy.Limits {
	return policy.Limits{MemoryHard: ptr(uint64(128 << 10)), CPUShares: ptr(uint64(512))}
}
