package hooks

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

func TestMain(m *testing.M) {
	// What the test was started with is not the daemon's, which does the same.
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// site is a directory of hook scripts.
type site struct {
	t   *testing.T
	dir string
	log bytes.Buffer
}

func newSite(t *testing.T) *site { return &site{t: t, dir: t.TempDir()} }

// script writes one; $D is the site's directory.
func (s *site) script(name, body string) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	require.NoError(s.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(s.t, os.WriteFile(path, []byte("#!/bin/sh\nD="+s.dir+"\n"+body+"\n"), 0o755))
}

func (s *site) hooks() *Hooks { return New(s.dir, slog.New(slog.NewTextHandler(&s.log, nil))) }

// out is what scripts wrote into a file of the directory.
func (s *site) out(name string) string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	require.NoError(s.t, err)
	return string(text)
}

var call = ports.HookCall{Container: "web", Operation: "prepare", Phase: "begin", Extra: "-", Document: "<domain/>\n"}

func TestArgumentsAndDocument(t *testing.T) {
	s := newSite(t)
	s.script("lxc", `echo "$0 $# $1 $2 $3 $4" >$D/out; cat >>$D/out; echo not passed on`)
	h := s.hooks()
	require.True(t, h.Present())
	require.NoError(t, h.Run(t.Context(), call))
	assert.Equal(t, s.dir+"/lxc 4 web prepare begin -\n<domain/>\n", s.out("out"))

	require.NoError(t, h.Run(t.Context(), ports.HookCall{Container: "a b", Operation: "stopped", Phase: "end"}))
	assert.Equal(t, s.dir+"/lxc 4 a b stopped end -\n", s.out("out"), "no document: nothing to read")
}

func TestOrder(t *testing.T) {
	s := newSite(t)
	note := `cat >/dev/null; echo $(basename $0) >>$D/out`
	for _, name := range []string{"lxc.d/20-b", "lxc.d/10-z", "lxc.d/9", "lxc", "qemu", "lxc.d/10-a"} {
		s.script(name, note)
	}
	require.NoError(t, s.hooks().Run(t.Context(), call))
	assert.Equal(t, "lxc\n10-a\n10-z\n20-b\n9\n", s.out("out"))
}

// TestFirstFailureEnds also shows that every program gets the whole document.
func TestFirstFailureEnds(t *testing.T) {
	s := newSite(t)
	s.script("lxc", `cat >$D/first`)
	s.script("lxc.d/1", `cat >$D/second; echo "not today" >&2; exit 3`)
	s.script("lxc.d/2", `echo called >$D/third`)
	err := s.hooks().Run(t.Context(), call)
	require.ErrorIs(t, err, fault.HookFailed)
	assert.EqualError(t, err, "internal error: Child process ("+s.dir+"/lxc.d/1 web prepare begin -) unexpected exit status 3: not today")
	assert.Equal(t, "<domain/>\n", s.out("first"))
	assert.Equal(t, "<domain/>\n", s.out("second"))
	assert.NoFileExists(t, s.dir+"/third")
}

func TestFailures(t *testing.T) {
	for name, test := range map[string]struct{ body, want string }{
		"silent":       {`exit 1`, "unexpected exit status 1: "},
		"signal":       {`kill -9 $$`, "unexpected fatal signal 9: "},
		"several":      {`echo one >&2; echo two >&2; exit 255`, "unexpected exit status 255: one\ntwo"},
		"not text":     {`printf 'a\377b\000c\n' >&2; exit 1`, "unexpected exit status 1: a\uFFFDb\uFFFDc"},
		"only errors":  {`echo quiet; echo loud >&2; exit 1`, "unexpected exit status 1: loud"},
		"no such word": {`vlx-no-such-program 2>/dev/null`, "unexpected exit status 127: "},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.script("lxc", test.body)
			err := s.hooks().Run(t.Context(), call)
			require.ErrorIs(t, err, fault.HookFailed)
			assert.True(t, strings.HasSuffix(err.Error(), test.want), err.Error())
			var exit *exec.ExitError
			assert.ErrorAs(t, err, &exit)
		})
	}
}

func TestComplaintIsBounded(t *testing.T) {
	s := newSite(t)
	s.script("lxc", `head -c 5000000 /dev/zero | tr '\0' x >&2; exit 1`)
	err := s.hooks().Run(t.Context(), call)
	require.ErrorIs(t, err, fault.HookFailed)
	assert.Equal(t, complaintLimit, strings.Count(err.Error(), "x")-strings.Count(s.dir+"/lxc unexpected exit", "x"))
	s.script("lxc", `head -c 5000000 /dev/zero >&2`)
	require.NoError(t, s.hooks().Run(t.Context(), call))
}

func TestNoScripts(t *testing.T) {
	s := newSite(t)
	h := New(filepath.Join(s.dir, "none"), slog.New(slog.NewTextHandler(&s.log, nil)))
	assert.False(t, h.Present())
	require.NoError(t, h.Run(t.Context(), call))
	require.NoError(t, h.Daemon(t.Context(), "start", "-", "start"))
	require.NoError(t, h.Refresh())
	assert.Empty(t, s.log.String())
}

func TestWhatIsNoProgramIsIgnored(t *testing.T) {
	s := newSite(t)
	s.script("lxc", `exit 1`)
	require.NoError(t, os.Chmod(s.dir+"/lxc", 0o644))
	require.NoError(t, os.MkdirAll(s.dir+"/lxc.d/directory", 0o755))
	require.NoError(t, os.Symlink("/nowhere", s.dir+"/lxc.d/dangling"))
	require.NoError(t, syscall.Mkfifo(s.dir+"/lxc.d/fifo", 0o755))
	h := s.hooks()
	assert.False(t, h.Present())
	require.NoError(t, h.Run(t.Context(), call))
	for _, name := range []string{"/lxc", "/lxc.d/directory", "/lxc.d/fifo"} {
		assert.Contains(t, s.log.String(), "path="+s.dir+name)
	}
	assert.Equal(t, 3, strings.Count(s.log.String(), "level=WARN"), s.log.String())

	s.script("real/script", `cat >$D/out`)
	require.NoError(t, os.Symlink(s.dir+"/real/script", s.dir+"/lxc.d/link"))
	require.NoError(t, h.Refresh())
	require.NoError(t, h.Run(t.Context(), call))
	assert.Equal(t, "<domain/>\n", s.out("out"))
}

func TestPresenceIsRefreshed(t *testing.T) {
	s := newSite(t)
	h := s.hooks()
	s.script("lxc", `echo ran >>$D/out`)
	assert.False(t, h.Present())
	require.NoError(t, h.Run(t.Context(), call))
	assert.NoFileExists(t, s.dir+"/out")
	require.NoError(t, h.Refresh())
	assert.True(t, h.Present())
	require.NoError(t, h.Run(t.Context(), call))
	assert.Equal(t, "ran\n", s.out("out"))

	require.NoError(t, os.Remove(s.dir+"/lxc"))
	assert.True(t, h.Present(), "some time old")
	require.NoError(t, h.Run(t.Context(), call), "as if it had never been there")
	require.NoError(t, h.Refresh())
	assert.False(t, h.Present())
}

func TestUnreadableDirectory(t *testing.T) {
	s := newSite(t)
	s.script("lxc", `exit 0`)
	h := s.hooks()
	require.True(t, h.Present())
	require.NoError(t, os.WriteFile(s.dir+"/daemon.d", nil, 0o600))
	require.ErrorIs(t, h.Refresh(), fault.System)
	assert.True(t, h.Present(), "as it was")
	assert.False(t, s.hooks().Present())
	assert.Contains(t, s.log.String(), "level=ERROR")
	assert.Contains(t, s.log.String(), "daemon.d")
}

func TestDaemonScripts(t *testing.T) {
	s := newSite(t)
	s.script("lxc", `exit 1`)
	note := `echo "$0 $# $*" >>$D/out; cat >>$D/out`
	s.script("daemon", note)
	s.script("daemon.d/more", note)
	h := s.hooks()
	require.NoError(t, h.Daemon(t.Context(), "start", "-", "start"))
	require.NoError(t, h.Daemon(t.Context(), "reload", "begin", "SIGHUP"))
	a, b := s.dir+"/daemon 4 - ", s.dir+"/daemon.d/more 4 - "
	assert.Equal(t, a+"start - start\n"+b+"start - start\n"+a+"reload begin SIGHUP\n"+b+"reload begin SIGHUP\n", s.out("out"))

	s.script("daemon", `exit 7`)
	require.ErrorIs(t, h.Daemon(t.Context(), "shutdown", "-", "shutdown"), fault.HookFailed)
}

// TestSurroundings: what a program finds is always the same.
func TestSurroundings(t *testing.T) {
	s := newSite(t)
	s.script("lxc", `env | sort >$D/env; umask >$D/umask; pwd >$D/pwd; ls /proc/self/fd >$D/fd
cat /proc/self/status >$D/status; cut -d' ' -f5 /proc/$$/stat >$D/group; echo $$ >$D/pid; cat /proc/$$/cgroup >$D/cgroup
exec 3>&1; readlink /proc/self/fd/3 >$D/stdout`)
	for _, name := range []string{"PATH", "HOME", "USER", "LOGNAME", "TMPDIR"} {
		t.Setenv(name, map[string]string{"PATH": os.Getenv("PATH")}[name]+"/vlx")
	}
	t.Setenv("NOTIFY_SOCKET", "/secret")
	t.Setenv("LC_ALL", "de_DE.UTF-8")
	require.NoError(t, os.Unsetenv("USER"))
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	require.NoError(t, s.hooks().Run(t.Context(), call))
	assert.Equal(t, 0o077, syscall.Umask(0o077), "the daemon's own stays")

	var names []string
	for line := range strings.Lines(s.out("env")) {
		name, _, _ := strings.Cut(line, "=")
		names = append(names, name)
	}
	// The shell adds PWD, some add more of theirs.
	assert.Subset(t, append(names, "OLDPWD", "SHLVL", "_"), []string{"HOME", "LC_ALL", "LOGNAME", "PATH", "TMPDIR"})
	assert.Subset(t, []string{"HOME", "LC_ALL", "LOGNAME", "PATH", "TMPDIR", "PWD", "OLDPWD", "SHLVL", "_"}, names)
	assert.Contains(t, s.out("env"), "LC_ALL=C\n")
	assert.Equal(t, "0022\n", s.out("umask"))
	assert.Equal(t, "/\n", s.out("pwd"))
	assert.Equal(t, "0\n1\n2\n3\n", s.out("fd"), "3 is the directory that is listed")
	assert.Equal(t, s.out("pid"), s.out("group"))
	assert.Equal(t, "/dev/null\n", s.out("stdout"))
	own, err := os.ReadFile("/proc/self/cgroup")
	require.NoError(t, err)
	assert.Equal(t, string(own), s.out("cgroup"))
	for _, mask := range []string{"SigBlk", "SigIgn"} {
		assert.Equal(t, signals(t, "/proc/self/status", mask), signals(t, filepath.Join(s.dir, "status"), mask), "as this process was started")
	}
}

// signals returns one mask of a process's status: of this one's, the runtime's own
// changes are left out, because a plain child is asked.
func signals(t *testing.T, file, mask string) string {
	t.Helper()
	out, err := exec.Command("grep", "^"+mask, file).Output()
	require.NoError(t, err)
	return string(out)
}

// large does not fit into a pipe.
var large = strings.Repeat("<large/>\n", 1<<17)

func TestLargeDocuments(t *testing.T) {
	s := newSite(t)
	s.script("lxc", `cat >$D/out`)
	big := call
	big.Document = large
	require.NoError(t, s.hooks().Run(t.Context(), big))
	assert.Equal(t, len(large), len(s.out("out")))
}

func TestUnreadDocuments(t *testing.T) {
	big := call
	big.Document = large
	for _, body := range []string{`exit 0`, `exec <&-; echo on >$D/out`, `head -c 1 >/dev/null`} {
		s := newSite(t)
		s.script("lxc", body)
		require.NoError(t, s.hooks().Run(t.Context(), big), body)
	}
}

// TestBackgroundChildren may hold everything open: nobody waits for them.
func TestBackgroundChildren(t *testing.T) {
	big := call
	big.Document = large
	for name, test := range map[string]struct {
		end string
		ok  bool
	}{"success": {`exit 0`, true}, "failure": {`echo bad >&2; exit 4`, false}} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.script("lxc", `sleep 600 & echo $! >$D/pid; `+test.end)
			begin := time.Now()
			err := s.hooks().Run(t.Context(), big)
			assert.Less(t, time.Since(begin), time.Minute)
			left, convErr := strconv.Atoi(strings.TrimSpace(s.out("pid")))
			require.NoError(t, convErr)
			require.NoError(t, unix.Kill(left, unix.SIGKILL), "it is left alone")
			if test.ok {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, fault.HookFailed)
			assert.True(t, strings.HasSuffix(err.Error(), "exit status 4: bad"), err.Error())
		})
	}
}

// TestEndOfContext kills the program with what it waits for.
func TestEndOfContext(t *testing.T) {
	s := newSite(t)
	require.NoError(t, syscall.Mkfifo(s.dir+"/ready", 0o600))
	s.script("lxc", `sleep 600 & echo $! >$D/ready; wait`)
	s.script("lxc.d/next", `echo ran >$D/out`)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.hooks().Run(ctx, call) }()
	pid, err := os.ReadFile(s.dir + "/ready")
	require.NoError(t, err)
	child, err := strconv.Atoi(strings.TrimSpace(string(pid)))
	require.NoError(t, err)
	pidfd, err := unix.PidfdOpen(child, 0)
	require.NoError(t, err)
	defer unix.Close(pidfd)
	cancel()
	err = <-ended
	require.ErrorIs(t, err, fault.Aborted)
	require.ErrorIs(t, err, context.Canceled)
	assert.ErrorContains(t, err, s.dir+"/lxc web prepare begin -) was ended")
	polled := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	count, err := unix.Poll(polled, 20_000)
	require.NoError(t, err)
	assert.Equal(t, 1, count, "the child was killed too")
	assert.NoFileExists(t, s.dir+"/out")
	require.ErrorIs(t, s.hooks().Run(ctx, call), fault.Aborted)
}

func TestWhatCannotBeExecuted(t *testing.T) {
	s := newSite(t)
	require.NoError(t, os.WriteFile(s.dir+"/lxc", []byte("#!/vlx/no/such/interpreter\n"), 0o755))
	err := s.hooks().Run(t.Context(), call)
	require.ErrorIs(t, err, fault.HookFailed)
	require.ErrorIs(t, err, fs.ErrNotExist)
	assert.ErrorContains(t, err, "internal error: cannot execute binary "+s.dir+"/lxc")

	require.NoError(t, os.WriteFile(s.dir+"/lxc", []byte("\x01\x02"), 0o755))
	require.ErrorIs(t, s.hooks().Run(t.Context(), call), unix.ENOEXEC)

	s.script("lxc", "exit 0")
	bad := call
	bad.Container = "a\x00b"
	require.ErrorIs(t, s.hooks().Run(t.Context(), bad), fault.HookFailed)
}

func TestSideBySide(t *testing.T) {
	s := newSite(t)
	s.script("lxc", `cat >$D/$1; umask >>$D/$1`)
	h := s.hooks()
	var calls sync.WaitGroup
	for i := range 16 {
		calls.Go(func() {
			mine := call
			mine.Container, mine.Document = fmt.Sprintf("c%d", i), fmt.Sprintf("document %d\n", i)
			assert.NoError(t, h.Run(t.Context(), mine))
			assert.NoError(t, h.Refresh())
		})
	}
	calls.Wait()
	for i := range 16 {
		assert.Equal(t, fmt.Sprintf("document %d\n0022\n", i), s.out(fmt.Sprintf("c%d", i)))
	}
}
