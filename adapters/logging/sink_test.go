package logging

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// listen is the other end of a datagram socket.
func listen(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	t.Cleanup(func() { conn.Close() })
	return conn
}

// next reads one datagram, or the file passed with an empty one, which must be
// sealed.
func next(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	text, control := make([]byte, 1<<20), make([]byte, 128)
	n, controls, _, _, err := conn.ReadMsgUnix(text, control)
	require.NoError(t, err)
	if controls == 0 {
		return string(text[:n])
	}
	assert.Zero(t, n)
	messages, err := unix.ParseSocketControlMessage(control[:controls])
	require.NoError(t, err)
	fds, err := unix.ParseUnixRights(&messages[0])
	require.NoError(t, err)
	file := os.NewFile(uintptr(fds[0]), "passed")
	defer file.Close()
	seals, err := unix.FcntlInt(file.Fd(), unix.F_GET_SEALS, 0)
	require.NoError(t, err)
	assert.Equal(t, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE|unix.F_SEAL_SEAL, seals)
	whole, err := io.ReadAll(io.NewSectionReader(file, 0, 1<<30))
	require.NoError(t, err)
	return string(whole)
}

// fieldsOf reads an entry as the journal does.
func fieldsOf(text string) (map[string]string, error) {
	fields := map[string]string{}
	for text != "" {
		line, rest, ended := strings.Cut(text, "\n")
		if !ended {
			return nil, io.ErrUnexpectedEOF
		}
		name, value, simple := strings.Cut(line, "=")
		if !simple {
			if len(rest) < 8 {
				return nil, io.ErrUnexpectedEOF
			}
			size := binary.LittleEndian.Uint64([]byte(rest[:8]))
			if rest = rest[8:]; size >= uint64(len(rest)) || rest[size] != '\n' {
				return nil, errors.New("bad length")
			}
			value, rest = rest[:size], rest[size+1:]
		}
		fields[name] = value
		text = rest
	}
	return fields, nil
}

func nextFields(t *testing.T, conn *net.UnixConn) map[string]string {
	t.Helper()
	fields, err := fieldsOf(next(t, conn))
	require.NoError(t, err)
	return fields
}

func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	conn := listen(t, path)
	l, _ := newTest(t, func(o *Options) { o.Journal = path; o.Outputs = "1:journald"; o.Banner = []string{"banner"} })
	log := slog.New(l).With("container", "web").WithGroup("start")
	log.Error("two\nlines", "took-ms", 12, "LIBVIRT_CODE", 42, slog.Group("", "LIBVIRT_DOMAIN", 64), "LIBVIRT_SOURCE", "x")

	assert.Equal(t, map[string]string{
		"MESSAGE": "banner", "PRIORITY": "6", "SYSLOG_FACILITY": "3", "SYSLOG_IDENTIFIER": "virtlxcd", "LIBVIRT_SOURCE": "util.log",
	}, without(nextFields(t, conn), "TID"))

	got := nextFields(t, conn)
	assert.Regexp(t, `/sink_test\.go$`, got["CODE_FILE"])
	assert.Regexp(t, `^\d+$`, got["CODE_LINE"])
	assert.Regexp(t, `^\d+$`, got["TID"])
	assert.Equal(t, map[string]string{
		"MESSAGE": "two\nlines container=web start.took-ms=12 start.LIBVIRT_SOURCE=x", "PRIORITY": "3", "SYSLOG_FACILITY": "3",
		"SYSLOG_IDENTIFIER": "virtlxcd", "LIBVIRT_SOURCE": "util.logging", "CODE_FUNC": "virtlxcd/adapters/logging.TestJournal",
		"VIRT_CONTAINER": "web", "VIRT_START_TOOK_MS": "12", "LIBVIRT_CODE": "42", "LIBVIRT_DOMAIN": "64", "VIRT_START_LIBVIRT_SOURCE": "x",
	}, without(got, "CODE_FILE", "CODE_LINE", "TID"))

	for level, want := range map[slog.Level]string{slog.LevelWarn: "4", slog.LevelInfo: "6", slog.LevelDebug: "7"} {
		l.SetLevel(slog.LevelDebug)
		slog.New(l).Log(t.Context(), level, "x")
		assert.Equal(t, want, nextFields(t, conn)["PRIORITY"])
	}
}

func without(fields map[string]string, names ...string) map[string]string {
	for _, name := range names {
		delete(fields, name)
	}
	return fields
}

func TestLargeEntriesArePassedAsFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	conn := listen(t, path)
	l, _ := newTest(t, func(o *Options) { o.Journal = path; o.Outputs = "1:journald" })
	before := openFiles(t)
	for _, size := range []int{1000, 1 << 19, 1 << 21} {
		text := strings.Repeat("x", size)
		slog.New(l).Error(text)
		assert.Equal(t, text, nextFields(t, conn)["MESSAGE"])
	}
	assert.Equal(t, before+1, openFiles(t), "only the connection")
}

func TestFieldName(t *testing.T) {
	for key, want := range map[string]string{
		"err": "VIRT_ERR", "a.b-c d": "VIRT_A_B_C_D", "": "VIRT_", "größe": "VIRT_GR__E", "X=1\nY": "VIRT_X_1_Y",
		"LIBVIRT_CODE": "LIBVIRT_CODE", "LIBVIRT_SOURCE": "VIRT_LIBVIRT_SOURCE", strings.Repeat("n", 99): "VIRT_" + strings.Repeat("N", 59),
	} {
		assert.Equal(t, want, fieldName("", key), key)
	}
}

func FuzzEntry(f *testing.F) {
	f.Add("text", "container", "web")
	f.Add("two\nlines", "=\n", "\n")
	f.Add("", "LIBVIRT_CODE", "1\nMESSAGE=forged")
	f.Fuzz(func(t *testing.T, text, key, value string) {
		e := &entry{priority: info, site: nowhere, text: text, fields: appendFields(nil, "", slog.String(key, value))}
		fields, err := fieldsOf(string(appendEntry(nil, e)))
		require.NoError(t, err)
		require.Equal(t, text, fields["MESSAGE"])
		if key != "" || value != "" {
			require.Equal(t, value, fields[fieldName("", key)])
			require.Len(t, fields, 7)
		}
	})
}

func TestSyslog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	conn := listen(t, path)
	l, _ := newTest(t, func(o *Options) { o.Syslog = path; o.Outputs = "1:syslog:me"; o.Banner = []string{"banner"} })
	slog.New(l).Error("text", "a", 1)
	stamp := `[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8} me\[` + strconv.Itoa(os.Getpid()) + `\]: \d+: `
	assert.Regexp(t, `^<30>`+stamp+`info : banner$`, next(t, conn))
	assert.Regexp(t, `^<27>`+stamp+`error : logging\.TestSyslog:\d+ : text a=1$`, next(t, conn))
	slog.New(l).Error(strings.Repeat("x", 1<<20))
	assert.Len(t, next(t, conn), longestSyslog)
}

// TestSocketsComeAndGo: what is lost meanwhile is told, once.
func TestSocketsComeAndGo(t *testing.T) {
	for kind, text := range map[string]func(*testing.T, *net.UnixConn) string{
		"syslog:me": next,
		"journald":  func(t *testing.T, conn *net.UnixConn) string { return nextFields(t, conn)["MESSAGE"] },
	} {
		t.Run(kind, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "socket")
			l, _ := newTest(t, func(o *Options) {
				o.Syslog, o.Journal, o.Outputs = path, path, "1:"+kind
				o.Banner = []string{"banner"}
			})
			log := slog.New(l)
			log.Error("nobody is there yet")
			conn := listen(t, path)
			log.Error("first")
			assert.Regexp(t, "banner$", text(t, conn), "was lost with the record")
			assert.Regexp(t, "1 records could not be written", text(t, conn))
			assert.Regexp(t, "first$", text(t, conn))

			require.NoError(t, conn.Close())
			log.Error("gone")
			log.Error("gone")
			require.NoError(t, os.RemoveAll(path))
			log.Error("gone")
			conn = listen(t, path)
			log.Error("back")
			assert.Regexp(t, "3 records could not be written", text(t, conn))
			assert.Regexp(t, "back$", text(t, conn))

			require.NoError(t, conn.Close())
			require.NoError(t, os.RemoveAll(path))
			conn = listen(t, path)
			log.Error("a restart alone")
			assert.Regexp(t, "a restart alone$", text(t, conn), "loses nothing")
		})
	}
}

// TestSleepersAreWaitedForOnce: a reader that does not read costs one wait, not
// one for every record.
func TestSleepersAreWaitedForOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	conn := listen(t, path)
	reader, end, err := os.Pipe()
	require.NoError(t, err)
	defer reader.Close()
	defer end.Close()
	for _, outputs := range []string{"1:journald", "1:stderr"} {
		t.Run(outputs, func(t *testing.T) {
			l, _ := newTest(t, func(o *Options) { o.Journal = path; o.Stderr = end; o.Outputs = outputs })
			log := slog.New(l)
			begun := time.Now()
			for range 5000 {
				log.Error("text")
			}
			assert.Less(t, time.Since(begun), patience+5*time.Second)
			assert.Positive(t, l.outputs.Load().list[0].lost.Load(), "and what does not fit is lost")
		})
	}
	assert.NotEmpty(t, next(t, conn))
	// The pipe: whole lines up to where it was full, then the notice.
	lines := bufio.NewReader(reader)
	line, err := lines.ReadString('\n')
	require.NoError(t, err)
	assert.Regexp(t, lineForm, line)
}

// TestPipesGetEverything as long as somebody reads, however slowly.
func TestPipesGetEverything(t *testing.T) {
	reader, end, err := os.Pipe()
	require.NoError(t, err)
	defer reader.Close()
	l, _ := newTest(t, func(o *Options) { o.Stderr = end })
	var text bytes.Buffer
	var group sync.WaitGroup
	group.Go(func() {
		_, err := io.Copy(&text, io.LimitReader(reader, 1<<30))
		assert.NoError(t, err)
	})
	long := strings.Repeat("x", 10000)
	for range 300 {
		slog.New(l).Error(long)
	}
	require.NoError(t, end.Close())
	group.Wait()
	assert.Equal(t, 300, strings.Count(text.String(), long+"\n"))
}

func TestBrokenPipe(t *testing.T) {
	reader, end, err := os.Pipe()
	require.NoError(t, err)
	defer end.Close()
	require.NoError(t, reader.Close())
	l, _ := newTest(t, func(o *Options) { o.Stderr = end })
	slog.New(l).Error("nobody")
	assert.Equal(t, int64(1), l.outputs.Load().list[0].lost.Load())
}

// TestFullDisk: a torn line is ended before the next one.
func TestFullDisk(t *testing.T) {
	d, err := openFile(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	defer d.Close()
	line := &entry{priority: info, site: nowhere, text: "text"}
	d.torn.Store(true)
	require.NoError(t, d.write([]*entry{line}, 0))
	text, err := os.ReadFile(d.file.Name())
	require.NoError(t, err)
	assert.Regexp(t, `^\n.* : text\n$`, string(text))

	full, err := openFile("/dev/full")
	require.NoError(t, err)
	defer full.Close()
	require.ErrorIs(t, full.write([]*entry{line}, 0), unix.ENOSPC)
	assert.False(t, full.torn.Load(), "nothing was written")
}

// TestFifoWithoutReader does not hold up the daemon.
func TestFifoWithoutReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, unix.Mkfifo(path, 0o600))
	_, err := openFile(path)
	require.ErrorIs(t, err, unix.ENXIO)
}

// failing is a sink that does what it is told.
type failing struct {
	err     error
	printed []string
	waits   []time.Duration
}

func (f *failing) write(batch []*entry, patience time.Duration) error {
	f.waits = append(f.waits, patience)
	if f.err != nil {
		return f.err
	}
	for _, e := range batch {
		f.printed = append(f.printed, e.text)
	}
	return nil
}

func (f *failing) Close() error { return nil }

func TestLossIsToldWhenItIsOver(t *testing.T) {
	sink := &failing{err: errStuck}
	o := newOutput(target{priority: debug}, sink, []string{"banner"})
	e := &entry{priority: info, site: nowhere, text: "text"}
	for range 3 {
		o.write(e)
	}
	sink.err = nil
	o.write(e)
	o.write(e)
	assert.Equal(t, []string{"banner", "3 records could not be written here and are lost", "text", "text"}, sink.printed)
	assert.Equal(t, []time.Duration{patience, 0, 0, 0, patience}, sink.waits)
}

// TestRealJournal asks the host's own journal.
func TestRealJournal(t *testing.T) {
	const socket = "/run/systemd/journal/socket"
	journalctl, err := exec.LookPath("journalctl")
	if err != nil || os.Geteuid() != 0 || unix.Access(socket, unix.W_OK) != nil {
		t.Skip("needs root, a running journal and journalctl")
	}
	l, _ := newTest(t, func(o *Options) { o.Journal = socket; o.Outputs = "1:journald" })
	mark := "vlx" + strconv.Itoa(os.Getpid())
	slog.New(l).Error("to the journal", "container", mark, "LIBVIRT_CODE", 42)
	large := strings.Repeat("y", 1<<19)
	slog.New(l).Error(large, "container", mark)
	require.NoError(t, exec.CommandContext(t.Context(), journalctl, "--sync").Run())
	out, err := exec.CommandContext(t.Context(), journalctl, "--all", "-o", "export", "VIRT_CONTAINER="+mark).Output()
	require.NoError(t, err)
	for _, want := range []string{
		"MESSAGE=to the journal container=" + mark, "PRIORITY=3", "SYSLOG_IDENTIFIER=virtlxcd", "LIBVIRT_SOURCE=util.logging",
		"LIBVIRT_CODE=42", "CODE_FUNC=virtlxcd/adapters/logging.TestRealJournal", "MESSAGE=" + large,
	} {
		assert.True(t, strings.Contains(string(out), want), "%.80s", want)
	}
}
