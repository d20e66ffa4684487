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
)

// lineForm is by which programs recognise lines of a log.
var lineForm = regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\+\d{4}: \d+: (debug|info|warning|error) : `)

func TestTimeIsUTC(t *testing.T) {
	l, out := newTest(t, nil)
	at := time.Date(2026, 1, 31, 23, 45, 1, 234567890, time.FixedZone("east", 3600*5))
	require.NoError(t, l.Handle(context.Background(), slog.NewRecord(at, slog.LevelError, "text", 0)))
	assert.Regexp(t, `^2026-01-31 18:45:01\.234\+0000: \d+: error : text\n$`, out.String(), "no place, no part for it")
}

func TestRecordsWithoutATimeGetOne(t *testing.T) {
	l, out := newTest(t, nil)
	require.NoError(t, l.Handle(context.Background(), slog.NewRecord(time.Time{}, slog.LevelError, "text", 0)))
	assert.NotContains(t, out.String(), "0001-01-01")
	assert.Regexp(t, lineForm, out.String())
}

// TestWordsOfLevels: levels between the usual ones have the word of the one below.
func TestWordsOfLevels(t *testing.T) {
	l, out := newTest(t, func(o *Options) { o.Level = slog.LevelDebug - 8 })
	log := slog.New(l)
	for level, name := range map[slog.Level]string{
		slog.LevelDebug - 4: "debug", slog.LevelDebug: "debug", slog.LevelDebug + 3: "debug",
		slog.LevelInfo: "info", slog.LevelInfo + 1: "info", slog.LevelWarn: "warning", slog.LevelWarn + 3: "warning",
		slog.LevelError: "error", slog.LevelError + 100: "error",
	} {
		out.Reset()
		log.Log(context.Background(), level, "x")
		assert.Contains(t, out.String(), ": "+name+" : ", "%d", level)
	}
}

type lazy string

func (l lazy) LogValue() slog.Value { return slog.StringValue(string(l) + "!") }

func TestAttributes(t *testing.T) {
	for want, attr := range map[string]slog.Attr{
		` a=""`:                    slog.String("a", ""),
		` a=b`:                     slog.String("a", "b"),
		` a="b c"`:                 slog.String("a", "b c"),
		` a="x=y"`:                 slog.String("a", "x=y"),
		` a="say \"x\""`:           slog.String("a", `say "x"`),
		` a="line\nbreak"`:         slog.String("a", "line\nbreak"),
		` a="\x1b[31mred"`:         slog.String("a", "\x1b[31mred"),
		` a="\x7f"`:                slog.String("a", "\x7f"),
		` a=ü`:                     slog.String("a", "ü"),
		` a=3`:                     slog.Int("a", 3),
		` a=1.5s`:                  slog.Duration("a", 1500*time.Millisecond),
		` a=no`:                    slog.Any("a", errors.New("no")),
		` a=<nil>`:                 slog.Any("a", nil),
		` a=late!`:                 slog.Any("a", lazy("late")),
		` g.a=1 g.h.b=2 g.inner=3`: slog.Group("g", "a", 1, slog.Group("h", "b", 2), slog.Group("", "inner", 3)),
	} {
		assert.Equal(t, want, attribute("", attr))
		assert.Equal(t, strings.ReplaceAll(strings.ReplaceAll(want, " g", " p.g"), " a", " p.a"),
			attribute("p.", attr), "a group before it")
	}
	for _, nothing := range []slog.Attr{{}, slog.Group("empty"), slog.Group("g", slog.Group("deep")), slog.Int("LIBVIRT_CODE", 42)} {
		assert.Empty(t, attribute("", nothing), "%v", nothing)
	}
}

// FuzzAttribute: whatever a value holds, it stays on its line and can be told apart
// from what follows it.
func FuzzAttribute(f *testing.F) {
	for _, seed := range []string{"", "plain", "two words", "a=b", `"`, "\n", "\x00", "\xff", "\u2028", `\`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		text := attribute("", slog.String("k", value)) + attribute("", slog.Int("next", 1))
		require.NotContains(t, text, "\n")
		rest, found := strings.CutPrefix(text, " k=")
		require.True(t, found)
		written, found := strings.CutSuffix(rest, " next=1")
		require.True(t, found)
		if strings.HasPrefix(written, `"`) {
			back, err := strconv.Unquote(written)
			require.NoError(t, err)
			require.Equal(t, value, back)
			return
		}
		require.Equal(t, value, written)
		require.NotContains(t, written, " ")
	})
}

func TestPlace(t *testing.T) {
	for function, want := range map[string]string{
		"main.main":                             "main.main:7",
		"virtlxcd/adapters/store.(*Store).Load": "store.(*Store).Load:7",
		"virtlxcd/app/jobs.Run[virtlxcd/domain/container.Ref]":    "jobs.Run[virtlxcd/domain/container.Ref]:7",
		"virtlxcd/app/jobs.(*Desk[go.shape.struct { a/b.C }]).Do": "jobs.(*Desk[go.shape.struct { a/b.C }]).Do:7",
		"example.org/a.b/c.F": "c.F:7",
	} {
		assert.Equal(t, want, place(function, 7))
	}
}

func TestDerivedLogsAreApart(t *testing.T) {
	l, out := newTest(t, nil)
	base := slog.New(l).With("a", 1)
	left, right := base.With("l", 1), base.With("r", 1)
	left.Warn("left", "x", 1)
	right.Warn("right", "y", 1)
	base.Warn("base")
	assert.Contains(t, out.String(), "left a=1 l=1 x=1\n")
	assert.Contains(t, out.String(), "right a=1 r=1 y=1\n")
	assert.Contains(t, out.String(), "base a=1\n")
}

// TestDerivedFieldsAreApart: the journal's fields of loggers with a common beginning
// do not write over each other.
func TestDerivedFieldsAreApart(t *testing.T) {
	base := scope{}.with([]slog.Attr{slog.Int("a", 1), slog.Int("b", 2), slog.Int("c", 3)})
	record := func(key string) *slog.Record {
		r := slog.NewRecord(time.Time{}, slog.LevelWarn, "", 0)
		r.Add(key, 4)
		return &r
	}
	left := newEntry(record("l"), &base, nowhere, warning)
	right := newEntry(record("r"), &base, nowhere, warning)
	assert.Equal(t, "VIRT_L", left.fields[3].name)
	assert.Equal(t, "VIRT_R", right.fields[3].name)
}

func TestConcurrentLinesStayWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, _ := newTest(t, func(o *Options) { o.Outputs, o.Banner = "2:file:"+path, []string{"banner"} })
	log := slog.New(l)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for range 50 {
				log.Warn("text " + strconv.Itoa(i))
			}
		})
	}
	group.Wait()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	lines := bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	require.Len(t, lines, 1+8*50)
	for _, line := range lines {
		require.Regexp(t, lineForm, string(line))
	}
}
