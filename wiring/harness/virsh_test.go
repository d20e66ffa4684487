package harness

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// needVirsh skips where the real client is not installed.
func needVirsh(t *testing.T) {
	t.Helper()
	needProgram(t, "virsh", "libvirt-clients")
}

func needProgram(t *testing.T, program, from string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("needs %s (Debian: %s)", program, from)
	}
}

// virsh speaks with one process per command line.
type virsh struct{ t *testing.T }

func (*virsh) name() string { return "virsh" }

func (*virsh) settle() {}

func (v *virsh) config() Config { return Config{Prefix: shortDir(v.t)} }

// shortDir is a directory whose name leaves room for that of a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "vlx")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	return dir
}

// environment keeps the processes from the files of whoever runs the tests.
func environment(home string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "XDG_CACHE_HOME=" + home, "XDG_RUNTIME_DIR=" + home,
		"XDG_CONFIG_HOME=" + home, "LC_ALL=C", "TERM=dumb", "TZ=UTC",
	}
}

// say runs one virsh. The word -r makes the connection read-only, --ro-socket
// takes the other socket.
func (v *virsh) say(m *Machine, dir string, words []string) string {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	socket := m.Socket(false)
	if words[0] == "--ro-socket" {
		socket, words = m.Socket(true), words[1:]
	}
	command := exec.CommandContext(ctx, "virsh", append([]string{"-c", uri(socket)}, words...)...)
	command.Dir, command.Env = dir, environment(dir)
	out, err := command.CombinedOutput()
	require.NoError(v.t, ctx.Err(), "virsh %v hangs after: %s", words, out)
	var status *exec.ExitError
	if err != nil && !errors.As(err, &status) {
		require.NoError(v.t, err)
	}
	return strings.ReplaceAll(string(out), socket, "SOCKET")
}

// escape leaves virsh's console.
const escape = "\x1d"

// console types on a terminal that script(1) makes, as virsh wants one.
func (v *virsh) console(m *Machine, name, text string) string {
	needProgram(v.t, "script", "bsdutils")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	line := "virsh -c '" + uri(m.Socket(false)) + "' console " + name
	command := exec.CommandContext(ctx, "script", "-qec", line, "/dev/null")
	command.Env = environment(v.t.TempDir())
	in, err := command.StdinPipe()
	require.NoError(v.t, err)
	out, err := command.StdoutPipe()
	require.NoError(v.t, err)
	before := m.Calls(OpenConsole)
	require.NoError(v.t, command.Start())
	d := dialogue{t: v.t, in: in, out: bufio.NewReader(out)}
	// The console is open some time after virsh says that it is, and until then
	// the terminal echoes what is typed and loses it.
	answer, banner := d.until("Escape character is")
	if banner {
		require.NoError(v.t, m.AwaitCalls(ctx, OpenConsole, before+1))
		answer = d.hold(text)
	}
	err = command.Wait()
	if _, refusal, found := strings.Cut(answer, "error: "); found {
		return "error: " + refusal // polkit may have had a word before
	}
	require.NoError(v.t, err, answer)
	return answer
}

// dialogue is the other side of a terminal.
type dialogue struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Reader
}

// until reads lines up to one that begins with word; found is false at the end.
func (d *dialogue) until(word string) (lines string, found bool) {
	for !found {
		line, err := d.out.ReadString('\n')
		lines += line
		if err != nil { // also EIO, the end of a terminal
			return lines, false
		}
		found = strings.HasPrefix(line, word)
	}
	return lines, true
}

// hold types a line, returns what comes up to the answer, and leaves.
func (d *dialogue) hold(text string) string {
	defer d.in.Close()
	_, err := io.WriteString(d.in, text+"\r")
	require.NoError(d.t, err)
	answer, found := d.until("got ")
	if found {
		_, err = io.WriteString(d.in, escape)
		require.NoError(d.t, err)
		_, _ = d.until("nothing more")
	}
	return answer
}

// watcher is a virsh that prints events as they come.
type watcher struct {
	t       *testing.T
	command *exec.Cmd
	lines   chan string // closed when it has ended
}

// watchEvents starts "virsh event" and returns when the daemon has taken its
// subscriptions: one per kind of event that virsh knows, or as --event says.
func watchEvents(t *testing.T, m *Machine, words []string) *watcher {
	t.Helper()
	needProgram(t, "stdbuf", "coreutils")
	kinds := 1
	if words[0] == "--all" {
		listed, err := exec.Command("virsh", "-q", "-c", uri(m.Socket(false)), "event", "--list").Output()
		require.NoError(t, err)
		kinds = strings.Count(string(listed), "\n")
	}
	before := m.Calls(Subscribe)
	w := &watcher{t: t, lines: make(chan string, 100)}
	args := append([]string{"-oL", "virsh", "-q", "-c", uri(m.Socket(false)), "event", "--loop"}, words...)
	w.command = exec.Command("stdbuf", args...)
	w.command.Env = environment(t.TempDir())
	out, err := w.command.StdoutPipe()
	require.NoError(t, err)
	w.command.Stderr = w.command.Stdout
	require.NoError(t, w.command.Start())
	go w.read(out)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, m.AwaitCalls(ctx, Subscribe, before+kinds))
	return w
}

func (w *watcher) read(out io.Reader) {
	defer close(w.lines)
	for scanner := bufio.NewScanner(out); scanner.Scan(); {
		w.lines <- scanner.Text()
	}
}

// take waits for n lines.
func (w *watcher) take(n int) string {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out strings.Builder
	for range n {
		select {
		case line, ok := <-w.lines:
			require.True(w.t, ok, "virsh event has ended after: %s", out.String())
			out.WriteString(line + "\n")
		case <-ctx.Done():
			require.Fail(w.t, "virsh event prints no more", "after: %s", out.String())
		}
	}
	return out.String()
}

// stop interrupts virsh, which then says how many events came.
func (w *watcher) stop() {
	require.NoError(w.t, w.command.Process.Signal(syscall.SIGINT))
	var rest []string
	for line := range w.lines {
		if line != "event loop interrupted" && !strings.HasPrefix(line, "events received: ") {
			rest = append(rest, line)
		}
	}
	assert.NoError(w.t, w.command.Wait(), rest)
	assert.Empty(w.t, rest, "events that no script looked at")
}

func TestShortDirLeavesRoomForSockets(t *testing.T) {
	m := New(Config{Prefix: filepath.Clean(shortDir(t))})
	assert.Less(t, len(m.Socket(true)), 107, strconv.Quote(m.Socket(true)))
}
