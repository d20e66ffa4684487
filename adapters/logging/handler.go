package logging

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
)

// Handler is a slog.Handler that prints a record as
//
//	2026-01-31 13:45:01.234+0000: 4711: warning : store.(*Store).Load:87 : text key=value
//
// in UTC, with the number of the kernel's thread. Records without a place in
// the code lack that part. A record is one Write, and no lock is held: the
// writer has to stand concurrent writes, as *os.File does.
type Handler struct {
	out    *stream
	level  slog.Leveler
	prefix string // of attribute names: the groups
	attrs  string // printed already
}

// stream is shared by the handlers derived from one.
type stream struct {
	writer io.Writer
	banner []string
	begun  atomic.Bool
}

// New returns a handler for records of level and above. Each line of banner is
// printed as an info record before the first record, whatever the level is.
func New(w io.Writer, level slog.Leveler, banner ...string) *Handler {
	return &Handler{out: &stream{writer: w, banner: banner}, level: level}
}

// Enabled says whether records of the level are printed.
func (h *Handler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level.Level() }

// Handle prints one record.
func (h *Handler) Handle(_ context.Context, record slog.Record) error {
	start := record.Time.UTC().Format("2006-01-02 15:04:05.000") + "+0000: " + strconv.Itoa(unix.Gettid()) + ": "
	var line strings.Builder
	if h.out.begun.CompareAndSwap(false, true) {
		for _, text := range h.out.banner {
			line.WriteString(start + "info : " + text + "\n")
		}
	}
	line.WriteString(start + levelName(record.Level) + " : ")
	if record.PC != 0 {
		frame, _ := runtime.CallersFrames([]uintptr{record.PC}).Next()
		line.WriteString(place(frame.Function, frame.Line) + " : ")
	}
	line.WriteString(record.Message + h.attrs)
	record.Attrs(func(a slog.Attr) bool {
		line.WriteString(attribute(h.prefix, a))
		return true
	})
	line.WriteByte('\n')
	_, err := io.WriteString(h.out.writer, line.String())
	return err
}

// WithAttrs prints the attributes with every record.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	derived := *h
	for _, a := range attrs {
		derived.attrs += attribute(h.prefix, a)
	}
	return &derived
}

// WithGroup puts the name before those of attributes that follow.
func (h *Handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	derived := *h
	derived.prefix += name + "."
	return &derived
}

func levelName(level slog.Level) string { return levels[priorityOf(level)-debug].name }

// place is the function without the path of its package, and the line.
func place(function string, line int) string {
	whole, _, _ := strings.Cut(function, "[") // type arguments have paths of their own
	return function[strings.LastIndexByte(whole, '/')+1:] + ":" + strconv.Itoa(line)
}

// attribute prints " key=value", all members of a group, nothing for an empty one.
func attribute(prefix string, a slog.Attr) string {
	value := a.Value.Resolve()
	if a.Equal(slog.Attr{}) || onlyJournal(a.Key) {
		return ""
	}
	if value.Kind() != slog.KindGroup {
		return " " + prefix + a.Key + "=" + quoted(value.String())
	}
	if a.Key != "" {
		prefix += a.Key + "."
	}
	var text strings.Builder
	for _, member := range value.Group() {
		text.WriteString(attribute(prefix, member))
	}
	return text.String()
}

// quoted keeps values apart and on one line.
func quoted(text string) string {
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == '"' || r == '=' || r == 0x7f }) {
		return strconv.Quote(text)
	}
	return text
}

// levels are in the order of their numbers, which start at 1.
var levels = []struct {
	name  string
	level slog.Level
}{{"debug", slog.LevelDebug}, {"info", slog.LevelInfo}, {"warning", slog.LevelWarn}, {"error", slog.LevelError}}

// ParseLevel reads the value of LIBVIRT_DEBUG: a number or a name; warnings if
// empty. InvalidArgument for anything else.
func ParseLevel(text string) (slog.Level, error) {
	if text == "" {
		return slog.LevelWarn, nil
	}
	for i, l := range levels {
		if slices.Contains([]string{l.name, strconv.Itoa(i + 1)}, text) {
			return l.level, nil
		}
	}
	return 0, fault.New(fault.InvalidArgument, fault.Host, "%s is not a log level", fmt.Sprintf("%.40q", text))
}
