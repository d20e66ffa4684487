package real

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// terminal is what a test types into and reads from.
type terminal struct {
	t      *testing.T
	file   *os.File
	seen   strings.Builder
	chunks chan string
	done   chan struct{}
}

// newTerminal reads file in the background until it is closed.
func newTerminal(t *testing.T, file *os.File) *terminal {
	term := &terminal{t: t, file: file, chunks: make(chan string, 1024), done: make(chan struct{})}
	go func() {
		defer close(term.done)
		defer close(term.chunks)
		buffer := make([]byte, 4096)
		for {
			n, err := file.Read(buffer)
			if n > 0 {
				term.chunks <- string(buffer[:n])
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(term.close)
	return term
}

// close hangs up: of several readers of one terminal each gets only a part.
func (term *terminal) close() {
	term.file.Close()
	for range term.chunks { // lets the reader end
	}
	<-term.done
}

// typed sends keys.
func (term *terminal) typed(keys string) {
	term.t.Helper()
	_, err := io.WriteString(term.file, keys)
	require.NoError(term.t, err)
}

// expect waits until text was shown and forgets all up to it.
func (term *terminal) expect(text string) string {
	term.t.Helper()
	late := time.After(patience)
	for {
		if before, after, found := strings.Cut(term.seen.String(), text); found {
			term.seen.Reset()
			term.seen.WriteString(after)
			return before
		}
		select {
		case chunk, open := <-term.chunks:
			if !open {
				require.FailNow(term.t, "the terminal hung up", "waiting for %q, seen: %q", text, term.seen.String())
			}
			term.seen.WriteString(chunk)
		case <-late:
			require.FailNow(term.t, "not shown", "waiting for %q, seen: %q", text, term.seen.String())
		}
	}
}

// attach opens the host's end of a running container's console directly.
func (m *machine) attach(name string, console int) *terminal {
	m.t.Helper()
	path := m.virsh("ttyconsole", name)
	if console > 0 {
		path = m.ttys(name)[console]
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	require.NoError(m.t, err, path)
	return newTerminal(m.t, os.NewFile(uintptr(fd), path))
}

// ttys are the host terminals of a running container's consoles.
func (m *machine) ttys(name string) (paths []string) {
	m.t.Helper()
	for _, part := range strings.Split(m.virsh("dumpxml", name), "<source path='")[1:] {
		path, _, _ := strings.Cut(part, "'")
		paths = append(paths, path)
	}
	return paths
}

// session is a virsh on a terminal of its own.
type session struct {
	*terminal
	command *exec.Cmd
}

// console starts virsh console on a new terminal.
func (m *machine) console(name string, flags ...string) *session {
	m.t.Helper()
	s := m.interactive(append([]string{"console", name}, flags...)...)
	s.expect("Connected to domain '" + name + "'")
	s.expect("(Ctrl + ])")
	m.eventually("virsh to take the terminal over", func() bool {
		mode, err := unix.IoctlGetTermios(int(s.file.Fd()), unix.TCGETS)
		return err == nil && mode.Lflag&unix.ICANON == 0 // what was typed before is thrown away
	})
	return s
}

// interactive starts a virsh on a new terminal.
func (m *machine) interactive(args ...string) *session {
	m.t.Helper()
	master, slave := newPTY(m.t)
	defer slave.Close()
	command := exec.Command("virsh", append([]string{"-c", m.uri(false)}, args...)...)
	command.Stdin, command.Stdout, command.Stderr = slave, slave, slave
	command.Env = append(os.Environ(), "LC_ALL=C", "TERM=dumb")
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(m.t, command.Start())
	s := &session{newTerminal(m.t, master), command}
	m.t.Cleanup(func() {
		if command.ProcessState == nil {
			_ = command.Process.Kill()
			_ = command.Wait()
		}
	})
	return s
}

// leave types the escape character and waits for virsh to end.
func (s *session) leave() {
	s.t.Helper()
	s.typed("\x1d")
	s.ended()
}

func (s *session) ended() {
	s.t.Helper()
	var exit *exec.ExitError
	if err := s.command.Wait(); err != nil && !errors.As(err, &exit) {
		require.NoError(s.t, err)
	}
}

func newPTY(t *testing.T) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	master = os.NewFile(uintptr(fd), "/dev/ptmx")
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	require.NoError(t, err)
	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	return master, slave
}
