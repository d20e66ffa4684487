package logging

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
)

// lineForm is by which programs recognise lines of a log.
var lineForm = regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\+\d{4}: \d+: (debug|info|warning|error) : `)

func TestLine(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(New(&out, slog.LevelDebug))
	log.Warn("cannot start", "name", "a b", "err", errors.New("no"), "n", 3)
	assert.Regexp(t, lineForm, out.String())
	assert.Regexp(t, ` : logging\.TestLine:\d+ : cannot start name="a b" err=no n=3\n$`, out.String())
}

func TestTimeIsUTC(t *testing.T) {
	var out bytes.Buffer
	at := time.Date(2026, 1, 31, 23, 45, 1, 234567890, time.FixedZone("east", 3600*5))
	require.NoError(t, New(&out, slog.LevelInfo).Handle(context.Background(), slog.NewRecord(at, slog.LevelError, "text", 0)))
	assert.Regexp(t, `^2026-01-31 18:45:01\.234\+0000: \d+: error : text\n$`, out.String(), "no place, no part for it")
}

func TestLevels(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(New(&out, slog.LevelWarn))
	log.Debug("a")
	log.Info("b")
	assert.Empty(t, out.String())
	for level, name := range map[slog.Level]string{slog.LevelWarn: "warning", slog.LevelError: "error", slog.LevelError + 4: "error"} {
		out.Reset()
		log.Log(context.Background(), level, "x")
		assert.Contains(t, out.String(), ": "+name+" : ")
	}
	assert.Equal(t, "debug", levelName(slog.LevelDebug-4))
	assert.Equal(t, "info", levelName(slog.LevelInfo+1))
}

func TestBannerComesOnceAndFirst(t *testing.T) {
	var out bytes.Buffer
	h := New(&out, slog.LevelError, "libvirt version: 9.0.0", "hostname: here")
	log := slog.New(h).With("a", 1)
	log.Warn("not printed")
	assert.Empty(t, out.String())
	log.Error("first")
	slog.New(h).Error("second")
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	require.Len(t, lines, 4)
	assert.Regexp(t, `: info : libvirt version: 9\.0\.0$`, lines[0])
	assert.Regexp(t, `: info : hostname: here$`, lines[1])
	assert.Regexp(t, `first a=1$`, lines[2])
	assert.Regexp(t, `second$`, lines[3])
}

func TestAttributes(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(New(&out, slog.LevelInfo)).With("a", "").WithGroup("g").With("b", "x=y").WithGroup("")
	log.Info("m", slog.Group("h", "c", "line\nbreak", slog.Group("", "d", true)), slog.Attr{}, slog.Group("empty"))
	assert.True(t, strings.HasSuffix(out.String(), ` : m a="" g.b="x=y" g.h.c="line\nbreak" g.h.d=true`+"\n"), out.String())
}

func TestDerivedHandlersAreApart(t *testing.T) {
	var out bytes.Buffer
	base := slog.New(New(&out, slog.LevelInfo)).With("a", 1)
	left, right := base.With("l", 1), base.With("r", 1)
	left.Info("left")
	right.Info("right")
	assert.Contains(t, out.String(), "left a=1 l=1\n")
	assert.Contains(t, out.String(), "right a=1 r=1\n")
}

func TestConcurrentLinesStayWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	require.NoError(t, err)
	defer file.Close()
	log := slog.New(New(file, slog.LevelInfo, "banner"))
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for range 50 {
				log.Info("text " + strconv.Itoa(i))
			}
		})
	}
	group.Wait()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	require.Len(t, lines, 1+8*50)
	for _, line := range lines {
		require.Regexp(t, lineForm, line)
	}
}

func TestParseLevel(t *testing.T) {
	for text, want := range map[string]slog.Level{
		"": slog.LevelWarn, "1": slog.LevelDebug, "debug": slog.LevelDebug, "2": slog.LevelInfo, "info": slog.LevelInfo,
		"3": slog.LevelWarn, "warning": slog.LevelWarn, "4": slog.LevelError, "error": slog.LevelError,
	} {
		level, err := ParseLevel(text)
		require.NoError(t, err, "%q", text)
		assert.Equal(t, want, level, "%q", text)
	}
	for _, text := range []string{"0", "5", "warn", "DEBUG", " 1", "11"} {
		_, err := ParseLevel(text)
		require.ErrorIs(t, err, fault.InvalidArgument, "%q", text)
	}
}
