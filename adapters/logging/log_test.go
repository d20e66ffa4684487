package logging

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
)

// newTest opens a log on a buffer, with nothing of the host.
func newTest(t *testing.T, change func(*Options)) (*Log, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	options := Options{
		Level: slog.LevelWarn, Stderr: &out, File: filepath.Join(t.TempDir(), "sub", "default.log"),
		Journal: filepath.Join(t.TempDir(), "journal"), Syslog: filepath.Join(t.TempDir(), "log"),
		Terminal: func() bool { return true },
	}
	if change != nil {
		change(&options)
	}
	l, err := Open(options)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, l.Close()) })
	return l, &out
}

func shownOutputs(l *Log) string {
	text, n := l.Outputs()
	return fmt.Sprintf("%d %s", n, text)
}

func shownFilters(l *Log) string {
	text, n := l.Filters()
	return fmt.Sprintf("%d %s", n, text)
}

func TestLogPrintsLines(t *testing.T) {
	l, out := newTest(t, func(o *Options) { o.Banner = []string{"libvirt version: 9.0.0", "hostname: here"} })
	log := slog.New(l).With("container", "web", "LIBVIRT_CODE", 42)
	log.Info("not wanted")
	assert.Empty(t, out.String())
	log.Warn("cannot start", "LIBVIRT_DOMAIN", 64, slog.Group("g", "n", 3))
	slog.New(l).WithGroup("").WithGroup("a").With("b", 1).WithGroup("").WithGroup("c").Error("deep", "d", "x y")
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	require.Len(t, lines, 4)
	for _, line := range lines {
		assert.Regexp(t, lineForm, line)
	}
	assert.Regexp(t, `: info : libvirt version: 9\.0\.0$`, lines[0])
	assert.Regexp(t, `: info : hostname: here$`, lines[1])
	assert.Regexp(t, `: warning : logging\.TestLogPrintsLines:\d+ : cannot start container=web g\.n=3$`, lines[2])
	assert.Regexp(t, `: error : logging\.TestLogPrintsLines:\d+ : deep a\.b=1 a\.c\.d="x y"$`, lines[3])
}

func TestFiltersAndLevels(t *testing.T) {
	l, out := newTest(t, nil)
	ctx := context.Background()
	log := slog.New(l)
	wants := func(level slog.Level) bool {
		out.Reset()
		log.Log(ctx, level, "x")
		return out.Len() > 0
	}
	assert.False(t, wants(slog.LevelInfo))
	assert.Equal(t, "0 ", shownFilters(l))

	require.NoError(t, l.SetFilters("2:logging 1:rpc"))
	assert.Equal(t, "2 2:*logging* 1:*rpc* ", shownFilters(l))
	assert.False(t, wants(slog.LevelInfo), "the output does not want it")
	assert.False(t, l.Enabled(ctx, slog.LevelInfo))
	require.NoError(t, l.SetOutputs("1:stderr"))
	assert.True(t, wants(slog.LevelInfo))
	assert.False(t, wants(slog.LevelDebug), "that is for others")
	assert.True(t, l.Enabled(ctx, slog.LevelDebug-8))

	require.ErrorIs(t, l.SetFilters("4:x bad"), fault.InvalidArgument)
	assert.Equal(t, "2 2:*logging* 1:*rpc* ", shownFilters(l), "unchanged")

	require.NoError(t, l.SetFilters("4:logging"))
	assert.False(t, wants(slog.LevelWarn))
	assert.True(t, wants(slog.LevelError+4))

	require.NoError(t, l.SetFilters(""))
	assert.Equal(t, "0 ", shownFilters(l))
	assert.True(t, wants(slog.LevelWarn))
	l.SetLevel(slog.LevelDebug)
	assert.True(t, wants(slog.LevelDebug))
	l.SetLevel(slog.LevelError)
	assert.False(t, wants(slog.LevelWarn))
	assert.Equal(t, "1 1:stderr", shownOutputs(l), "only defaults follow the level")
}

func TestDefaultOutput(t *testing.T) {
	socket := func(t *testing.T, o *Options) {
		listen(t, o.Journal)
	}
	for name, test := range map[string]struct {
		change  func(*testing.T, *Options)
		want    string
		verbose string // at debug
	}{
		"terminal":             {nil, "1 3:stderr", "1 1:stderr"},
		"terminal and journal": {socket, "1 3:stderr", "1 1:stderr"},
		"no terminal":          {func(_ *testing.T, o *Options) { o.Terminal = func() bool { return false } }, "1 3:stderr", "1 1:stderr"},
		"no terminal but journal": {func(t *testing.T, o *Options) {
			o.Terminal = func() bool { return false }
			socket(t, o)
		}, "1 3:journald", "1 2:journald"},
		"background": {func(_ *testing.T, o *Options) { o.Background = true }, "1 3:file:FILE", "1 1:file:FILE"},
		"background with journal": {func(t *testing.T, o *Options) {
			o.Background = true
			socket(t, o)
		}, "1 3:journald", "1 2:journald"},
	} {
		t.Run(name, func(t *testing.T) {
			l, _ := newTest(t, func(o *Options) {
				if test.change != nil {
					test.change(t, o)
				}
			})
			shown := func() string { return strings.ReplaceAll(shownOutputs(l), l.options.File, "FILE") }
			assert.Equal(t, test.want, shown())
			l.SetLevel(slog.LevelDebug)
			assert.Equal(t, test.verbose, shown())
			require.NoError(t, l.SetOutputs("4:stderr"))
			require.NoError(t, l.SetOutputs(" "))
			assert.Equal(t, test.verbose, shown(), "nothing brings the default")
		})
	}
}

func TestDefaultsOfOptions(t *testing.T) {
	var o Options
	o.complete()
	assert.Equal(t, "/var/log/libvirt/virtlxcd.log", o.File)
	assert.Equal(t, "/run/systemd/journal/socket", o.Journal)
	assert.Equal(t, "/dev/log", o.Syslog)
	assert.Equal(t, os.Stderr, o.Stderr)
	assert.NotPanics(t, func() { o.Terminal() })
}

func TestOpenFails(t *testing.T) {
	for _, options := range []Options{{Filters: "x"}, {Outputs: "x"}} {
		_, err := Open(options)
		require.ErrorIs(t, err, fault.InvalidArgument)
	}
	_, err := Open(Options{Outputs: "1:file:" + filepath.Join(t.TempDir(), "no", "such")})
	require.ErrorIs(t, err, fault.System)
}

func TestFileOutput(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a:b")
	require.NoError(t, os.WriteFile(path, []byte("before\n"), 0o600))
	l, _ := newTest(t, func(o *Options) { o.Outputs = "1:file:" + path; o.Level = slog.LevelDebug })
	slog.New(l).Debug("hello")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Regexp(t, `^before\n.*: debug : .*TestFileOutput:\d+ : hello\n$`, string(text))

	require.NoError(t, os.Truncate(path, 0)) // as rotation does
	slog.New(l).Debug("again")
	text, err = os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, byte('2'), text[0], "no hole before it")
}

func TestFilesAreForTheirOwner(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	l, _ := newTest(t, func(o *Options) { o.Background = true })
	stat, err := os.Stat(l.options.File)
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(0o600), stat.Mode())
}

// TestBadOutputsChangeNothing: also if some of them could be opened.
func TestBadOutputsChangeNothing(t *testing.T) {
	l, out := newTest(t, nil)
	dir := t.TempDir()
	before := openFiles(t)
	err := l.SetOutputs("1:file:" + dir + "/good 1:file:" + dir + "/no/such")
	require.ErrorIs(t, err, fault.System)
	require.ErrorIs(t, err, fs.ErrNotExist)
	assert.EqualError(t, err, "failed to open "+dir+"/no/such: no such file or directory")
	require.ErrorIs(t, l.SetOutputs("1:file:"+dir), fault.System, "a folder")
	require.ErrorIs(t, l.SetOutputs("1:stderr 1:x"), fault.InvalidArgument)
	assert.Equal(t, "1 3:stderr", shownOutputs(l))
	slog.New(l).Warn("still here")
	assert.Contains(t, out.String(), "still here")
	assert.Equal(t, before, openFiles(t), "nothing is left open")
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries)
}

func TestEveryOutputHasItsPriority(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, out := newTest(t, func(o *Options) {
		o.Outputs = "4:stderr 2:file:" + path
		o.Level = slog.LevelDebug
		o.Banner = []string{"banner"}
	})
	log := slog.New(l)
	log.Debug("one")
	log.Info("two")
	log.Error("three")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, 3, strings.Count(string(text), "\n"), "banner, two, three")
	assert.Equal(t, 2, strings.Count(out.String(), "\n"), "banner, three")
	assert.Equal(t, "2 4:stderr 2:file:"+path, shownOutputs(l))
}

func TestCloseDropsWhatFollows(t *testing.T) {
	l, out := newTest(t, nil)
	log := slog.New(l).With("a", 1)
	require.NoError(t, l.Close())
	log.Error("late")
	assert.Empty(t, out.String())
	assert.False(t, l.Enabled(context.Background(), slog.LevelError+100))
	require.ErrorIs(t, l.SetOutputs("1:stderr"), fault.WrongState)
	assert.Equal(t, "0 ", shownOutputs(l))
}

// TestNothingIsLostByChanges: records that are on their way while outputs and
// filters change are printed once, here or there.
func TestNothingIsLostByChanges(t *testing.T) {
	dir := t.TempDir()
	files := []string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}
	l, _ := newTest(t, func(o *Options) { o.Outputs = "1:file:" + files[0] })
	before := openFiles(t)
	const writers, each = 4, 300
	begun, done := make(chan struct{}), make(chan struct{})
	var changes sync.WaitGroup
	changes.Go(func() {
		for i := 0; ; i++ {
			if i == len(files) {
				close(begun)
			}
			select {
			case <-done:
				return
			default:
				assert.NoError(t, l.SetOutputs("1:file:"+files[i%2]))
				assert.NoError(t, l.SetFilters([]string{"", "2:logging"}[i%2]))
				l.SetLevel([]slog.Level{slog.LevelDebug, slog.LevelWarn}[i%2])
			}
		}
	})
	<-begun
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			log := slog.New(l).With("w", w)
			for i := range each {
				log.Error(fmt.Sprintf("<%d.%d>", w, i))
			}
		})
	}
	group.Wait()
	close(done)
	changes.Wait()
	var all string
	for _, path := range files {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		all += string(text)
	}
	assert.Equal(t, writers*each, strings.Count(all, "\n"))
	for w := range writers {
		for i := range each {
			require.Equal(t, 1, strings.Count(all, fmt.Sprintf("<%d.%d>", w, i)))
		}
	}
	assert.Equal(t, before, openFiles(t), "replaced ones are closed")
}

func TestUnwantedRecordsCostNothing(t *testing.T) {
	l, out := newTest(t, func(o *Options) { o.Filters = "1:nobody" })
	below := slog.New(l)
	scoped := below.With("container", "web")
	ctx := context.Background()
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		below.LogAttrs(ctx, slog.LevelInfo, "x", slog.Int("n", 1))
		scoped.LogAttrs(ctx, slog.LevelInfo, "x", slog.Int("n", 1))
	}), "below every threshold")
	require.NoError(t, l.SetOutputs("1:stderr"))
	require.True(t, l.Enabled(ctx, slog.LevelDebug))
	assert.LessOrEqual(t, testing.AllocsPerRun(100, func() {
		below.LogAttrs(ctx, slog.LevelInfo, "x", slog.Int("n", 1))
	}), 1.0, "kept out by filters")
	assert.Empty(t, out.String())
}

func BenchmarkBelow(b *testing.B) {
	l, err := Open(Options{Level: slog.LevelWarn, Outputs: "3:stderr"})
	require.NoError(b, err)
	defer l.Close()
	log := slog.New(l).With("container", "web")
	b.ReportAllocs()
	for b.Loop() {
		log.LogAttrs(context.Background(), slog.LevelDebug, "x", slog.Int("n", 1))
	}
}

func BenchmarkFilteredOut(b *testing.B) {
	l, err := Open(Options{Level: slog.LevelWarn, Filters: "1:nobody 1:else", Outputs: "1:stderr"})
	require.NoError(b, err)
	defer l.Close()
	log := slog.New(l)
	b.ReportAllocs()
	for b.Loop() {
		log.LogAttrs(context.Background(), slog.LevelDebug, "x", slog.Int("n", 1))
	}
}

func BenchmarkPrinted(b *testing.B) {
	l, err := Open(Options{Level: slog.LevelWarn, Outputs: "1:file:" + filepath.Join(b.TempDir(), "log")})
	require.NoError(b, err)
	defer l.Close()
	log := slog.New(l)
	b.ReportAllocs()
	for b.Loop() {
		log.LogAttrs(context.Background(), slog.LevelWarn, "x", slog.Int("n", 1))
	}
}
