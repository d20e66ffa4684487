package logging

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"
)

// Enabled says whether any output may want records of the level. It is what
// most records cost. It does not know which package asks, so with a filter for one
// package, records of all pass here and are sorted out by Handle.
func (l *Log) Enabled(_ context.Context, level slog.Level) bool {
	return int64(level) >= l.lowest.Load()
}

// Handle prints a record where it is wanted. It never fails: what cannot be written is
// counted by its output.
func (l *Log) Handle(_ context.Context, record slog.Record) error {
	l.print(&record, &scope{})
	return nil
}

// WithAttrs prints the attributes with every record. The Log itself has none, so loggers
// without are spared the copy.
func (l *Log) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &scoped{l, scope{}.with(attrs)}
}

// WithGroup puts the name and a dot before those of attributes that follow.
func (l *Log) WithGroup(name string) slog.Handler {
	if name == "" {
		return l
	}
	return &scoped{l, scope{}.in(name)}
}

// print finds the place and priority of a record first: most that come here end there. The
// entry is made for the first output that wants it.
func (l *Log) print(record *slog.Record, s *scope) {
	place, p := l.sites.of(record.PC), priorityOf(record.Level)
	current := l.rules.Load()
	if p < current.filters.of(place.category, current.level) {
		return
	}
	out := acquire(&l.outputs)
	defer func() { _ = out.release() }()
	var e *entry
	for _, o := range out.list {
		if p < o.lowest() {
			continue
		}
		if e == nil {
			e = newEntry(record, s, place, p)
		}
		o.write(e)
	}
}

// newEntry prints the attributes, once for all outputs. A record made by hand may lack a
// time. The thread is the one that runs the goroutine at that moment. Fields of the scope
// are clipped, so that appending copies them.
func newEntry(record *slog.Record, s *scope, place *site, p priority) *entry {
	e := &entry{time: record.Time, thread: unix.Gettid(), priority: p, site: place, fields: s.fields[:len(s.fields):len(s.fields)]}
	if e.time.IsZero() {
		e.time = time.Now()
	}
	text := record.Message + s.text
	record.Attrs(func(a slog.Attr) bool {
		text += attribute(s.prefix, a)
		e.fields = appendFields(e.fields, s.prefix, a)
		return true
	})
	e.text = text
	return e
}

// scoped is a Log with attributes, printed once when the logger was made. It has no state
// of its own that changes: filters and outputs are the Log's.
type scoped struct {
	*Log
	scope scope
}

// Handle is Log's, with the attributes of the scope before those of the record.
func (s *scoped) Handle(_ context.Context, record slog.Record) error {
	s.print(&record, &s.scope)
	return nil
}

// WithAttrs adds to what the scope has; s stays as it is.
func (s *scoped) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &scoped{s.Log, s.scope.with(attrs)}
}

// WithGroup ignores an empty name, as slog.Handler asks for.
func (s *scoped) WithGroup(name string) slog.Handler {
	if name == "" {
		return s
	}
	return &scoped{s.Log, s.scope.in(name)}
}
