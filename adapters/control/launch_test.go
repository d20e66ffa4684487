package control

import (
	"context"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
)

// house is where controllers of a role live.
func house(t *testing.T, role string, change ...func(*Options)) *Controllers {
	t.Helper()
	dir := t.TempDir()
	own, err := os.Executable()
	require.NoError(t, err)
	program := filepath.Join(dir, role)
	require.NoError(t, os.Symlink(own, program))
	options := Options{Program: program, State: filepath.Join(dir, "a[b", "state"), Log: filepath.Join(dir, "log")}
	for _, do := range change {
		do(&options)
	}
	c, err := New(options, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() {
		select {
		case <-c.nursery.quit: // closed by the test
		default:
			assert.NoError(t, c.Close())
		}
	})
	return c
}

// launched is one of them; it is dead when the test is over.
func launched(t *testing.T, c *Controllers) *Controller {
	t.Helper()
	one, err := c.Launch(t.Context(), container.Identity{Name: "vlxa", UUID: uuid})
	require.NoError(t, err)
	controller := one.(*Controller)
	pidfd, err := unix.PidfdOpen(controller.ref.PID, 0)
	require.NoError(t, err)
	_ = controller.Acknowledge(0) // it has its task now; one that is dead does not
	t.Cleanup(func() {
		_ = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
		assert.True(t, ends(pidfd))
		unix.Close(pidfd)
		controller.Close()
	})
	return controller
}

// ends waits for the end of a process.
func ends(pidfd int) bool {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(patience.Milliseconds()))
		if err != unix.EINTR {
			return n == 1
		}
	}
}

func TestAControllerAsItIsStarted(t *testing.T) {
	c := house(t, holds)
	one := launched(t, c)
	ref := one.Ref()
	assert.Equal(t, startTime(ref.PID), ref.Start)
	line, err := os.ReadFile("/proc/" + strconv.Itoa(ref.PID) + "/cmdline")
	require.NoError(t, err)
	words := strings.Split(string(line), "\x00")
	assert.Equal(t, []string{c.options.Program, "--socket", ref.Socket}, words[:3])
	assert.GreaterOrEqual(t, len(line), room, "there is room for a name")
	dir, err := os.Readlink("/proc/" + strconv.Itoa(ref.PID) + "/cwd")
	require.NoError(t, err)
	assert.Equal(t, "/", dir)
	session, err := unix.Getsid(ref.PID)
	require.NoError(t, err)
	assert.Equal(t, ref.PID, session, "no terminal's hang-up reaches it")
	info, err := os.Stat(ref.Socket)
	require.NoError(t, err)
	assert.Equal(t, os.ModeSocket|0o700, info.Mode())
	info, err = os.Stat(filepath.Join(c.options.Log, "vlxa.log"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode())
	assert.ErrorIs(t, one.Proceed(canceled(t), uuid), fault.Aborted, "it does not answer this")
}

func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestAdopt(t *testing.T) {
	c := house(t, holds)
	one := launched(t, c)
	ref := one.Ref()
	for name, wrong := range map[string]container.Controller{
		"no number":     {Start: ref.Start},
		"negative":      {PID: -1, Start: ref.Start},
		"another start": {PID: ref.PID, Start: ref.Start + 1},
		"no socket":     {PID: ref.PID, Start: ref.Start, Socket: filepath.Join(c.options.State, "missing.sock")},
	} {
		_, err := c.Adopt(t.Context(), wrong)
		assert.ErrorIs(t, err, fault.NotFound, name)
	}
	require.NoError(t, one.Close())
	again, err := c.Adopt(t.Context(), ref)
	require.NoError(t, err)
	_, err = again.Reclaim(t.Context(), uuid)
	assert.ErrorIs(t, err, fault.NotFound, "it answers")
	require.NoError(t, again.Close())

	bad := filepath.Join(c.options.State, "file.sock")
	require.NoError(t, os.WriteFile(bad, nil, 0o600))
	_, err = c.Adopt(t.Context(), container.Controller{PID: ref.PID, Start: ref.Start, Socket: bad})
	assert.ErrorIs(t, err, fault.NotFound, "nobody has that socket")
	assert.NoFileExists(t, bad)
}

func TestAControllerThatDiesAtOnce(t *testing.T) {
	c := house(t, dies)
	one := launched(t, c)
	_, open := <-one.Reports()
	assert.False(t, open)
	_, err := one.Begin(t.Context(), orderFor(t))
	assert.ErrorIs(t, err, fault.NotFound)
	assert.NoFileExists(t, one.ref.Socket)
}

// TestASpareThatDied is not handed out.
func TestASpareThatDied(t *testing.T) {
	c := house(t, holds)
	c.spare.work.Wait()
	spare := c.spare.ready
	require.NotNil(t, spare)
	require.NoError(t, unix.Kill(spare.ref.PID, unix.SIGKILL))
	_, open := <-spare.Reports()
	require.False(t, open)
	one := launched(t, c)
	assert.NotEqual(t, spare.ref, one.ref)
	if spare.network != nil {
		assert.Fail(t, "its namespace is kept")
	}
}

// TestSweep ends what holds nothing and leaves the others.
func TestSweep(t *testing.T) {
	c := house(t, unheard)
	lost, mine := launched(t, c), launched(t, c)
	require.NoError(t, lost.Close())
	stale := filepath.Join(c.options.State, "stale.sock")
	other := filepath.Join(c.options.State, "other.txt")
	listener, err := c.listen("stale.sock")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	require.NoError(t, os.WriteFile(other, nil, 0o600))
	asked := 0
	ended, err := c.Sweep(t.Context(), func(socket string) bool { asked++; return socket == mine.ref.Socket })
	require.NoError(t, err)
	assert.Equal(t, 3, asked, "the spare one is out of the question")
	assert.Equal(t, []string{lost.ref.Socket}, ended)
	assert.NoFileExists(t, stale)
	assert.FileExists(t, other)
	assert.FileExists(t, mine.ref.Socket)
	assert.False(t, mine.isGone())
}

func TestSweepLeavesWhatIsHeld(t *testing.T) {
	c := house(t, holds)
	one := launched(t, c)
	require.NoError(t, one.Close())
	ended, err := c.Sweep(t.Context(), func(string) bool { return false })
	require.NoError(t, err)
	assert.Empty(t, ended)
	assert.FileExists(t, one.ref.Socket)
	_, err = c.Sweep(canceled(t), func(string) bool { return false })
	assert.ErrorIs(t, err, context.Canceled)
	require.NoError(t, os.RemoveAll(c.options.State))
	_, err = c.Sweep(t.Context(), func(string) bool { return false })
	assert.ErrorContains(t, err, c.options.State)
}

func TestLaunchFails(t *testing.T) {
	c := house(t, idle)
	_, err := c.Launch(t.Context(), container.Identity{Name: "vlx/a"})
	assert.ErrorIs(t, err, fault.System)
	assert.ErrorContains(t, err, "vlx/a.log")

	c.options.Shared = func() (*os.File, error) { return nil, unix.EMFILE }
	_, err = c.Launch(t.Context(), container.Identity{Name: "vlxa"})
	assert.ErrorIs(t, err, unix.EMFILE)
	c.options.Shared = nil

	require.NoError(t, c.Close())
	_, err = c.Launch(t.Context(), container.Identity{Name: "vlxa"})
	assert.ErrorIs(t, err, fault.System, "after Close")
}

func TestAProgramThatCannotBeExecuted(t *testing.T) {
	program := filepath.Join(t.TempDir(), "program")
	require.NoError(t, os.WriteFile(program, []byte("vlx"), 0o755))
	c := house(t, idle, func(o *Options) { o.Program = program })
	_, err := c.Launch(t.Context(), container.Identity{Name: "vlxa"})
	assert.ErrorIs(t, err, unix.ENOEXEC)
	c.spare.work.Wait() // it was tried for the spare one as well
	entries, err := os.ReadDir(c.options.State)
	require.NoError(t, err)
	assert.Empty(t, entries, "no socket is left")
}

func TestNewFails(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, row := range []struct {
		options Options
		want    string
	}{
		{Options{Program: filepath.Join(dir, "missing")}, "cannot read the controller program '" + filepath.Join(dir, "missing") + "'"},
		{Options{Program: file, State: filepath.Join(file, "x"), Log: dir}, "cannot make directory '" + filepath.Join(file, "x") + "'"},
		{Options{Program: file, State: dir, Log: filepath.Join(file, "y")}, "cannot make directory '" + filepath.Join(file, "y") + "'"},
	} {
		_, err := New(row.options, slog.New(slog.DiscardHandler))
		assert.ErrorIs(t, err, fault.System)
		assert.ErrorContains(t, err, row.want)
	}
}

// TestCloseWaitsForThoseThatEnd, and for nobody else.
func TestCloseWaitsForThoseThatEnd(t *testing.T) {
	c := house(t, idle)
	leaving := launched(t, c)
	require.NoError(t, leaving.Close())
	require.NoError(t, c.Close())
	assert.True(t, isEnding(leaving.ref.PID, leaving.ref.Start))

	c = house(t, holds)
	staying := launched(t, c)
	staying.held[uuid] = true
	require.NoError(t, staying.Close())
	require.NoError(t, c.Close())
	assert.False(t, isEnding(staying.ref.PID, staying.ref.Start))
}

func TestProcessesByNumberAndStart(t *testing.T) {
	own := os.Getpid()
	assert.False(t, isEnding(own, startTime(own)))
	assert.True(t, isEnding(own, startTime(own)+1), "another process")
	assert.True(t, isEnding(math.MaxInt32, 0), "none")
	assert.Zero(t, startTime(math.MaxInt32))
	file, err := open(own, startTime(own))
	require.NoError(t, err)
	require.NoError(t, file.Close())
}

// TestSealedCopies cannot be changed: containers execute one, through /proc/self/exe.
func TestSealedCopies(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	require.NoError(t, os.WriteFile(path, []byte("content"), 0o755))
	file, err := sealedCopy(path)
	require.NoError(t, err)
	defer file.Close()
	content := make([]byte, 7)
	_, err = file.ReadAt(content, 0)
	require.NoError(t, err)
	assert.Equal(t, "content", string(content))
	for _, change := range []error{file.Truncate(1), file.Truncate(100)} {
		assert.ErrorIs(t, change, unix.EPERM)
	}
	_, err = file.WriteAt([]byte("x"), 0)
	assert.ErrorIs(t, err, unix.EPERM)
	_, err = unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, 0)
	assert.ErrorIs(t, err, unix.EPERM, "not even its seals")
	_, err = sealedCopy(filepath.Dir(path))
	assert.Error(t, err, "a directory")
}
