package logging

import (
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
)

// Log is the daemon's log: a slog.Handler whose filters and outputs can be
// changed while it is in use. A change that fails changes nothing. Outputs never
// fail a caller, and hold one up for a second at most; what they lose they count,
// and tell when they work again.
//
// Records are printed by whoever logs them: there is no goroutine, no buffer, and what was
// logged before a crash is there. Safe from any goroutine.
type Log struct {
	options Options
	sites   sites
	// lowest is the level below which nothing is printed anywhere.
	lowest atomic.Int64

	mu      sync.Mutex // held to replace the following
	rules   atomic.Pointer[rules]
	outputs atomic.Pointer[outputs]
	closed  bool
}

// rules say which records are wanted.
type rules struct {
	level   priority
	filters filters
}

// Open makes a Log; Close it. InvalidArgument for settings that cannot be read, System for
// files that cannot be opened. A journal or syslog daemon that is not there is no error: it
// may come.
func Open(options Options) (*Log, error) {
	options.complete()
	list, err := parseFilters(options.Filters)
	if err != nil {
		return nil, err
	}
	l := &Log{options: options}
	// Until there are outputs nothing is wanted.
	l.lowest.Store(math.MaxInt)
	l.rules.Store(&rules{level: priorityOf(options.Level), filters: list})
	l.outputs.Store(newOutputs(nil, false))
	if err := l.SetOutputs(options.Outputs); err != nil {
		return nil, err
	}
	return l, nil
}

// SetLevel replaces the level. A default output follows it. Records under way are judged
// by the old one.
func (l *Log) SetLevel(level slog.Level) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rules.Store(&rules{level: priorityOf(level), filters: l.rules.Load().filters})
	l.adjust()
}

// SetFilters replaces the filters; an empty text leaves none. InvalidArgument.
func (l *Log) SetFilters(text string) error {
	list, err := parseFilters(text)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rules.Store(&rules{level: l.rules.Load().level, filters: list})
	l.adjust()
	return nil
}

// SetOutputs replaces the outputs; an empty text brings the default one. Records
// under way are printed where they were going. InvalidArgument, System. Files are opened
// before anything is replaced, and without the lock: a disk may take its time. The
// priority of a default output is put right under it.
func (l *Log) SetOutputs(text string) error {
	targets, err := parseTargets(text)
	if err != nil {
		return err
	}
	byDefault := len(targets) == 0
	if byDefault {
		targets = []target{l.defaultTarget()}
	}
	list, err := l.open(targets)
	if err != nil {
		return err
	}
	return l.replace(newOutputs(list, byDefault))
}

// replace makes the outputs those in force and gives up the old ones, which are closed when
// the last record under way has been printed. That is done without mu, as closing may
// take as long as the device does.
func (l *Log) replace(with *outputs) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		_ = with.release() // nothing was written there
		return fault.New(fault.WrongState, fault.Host, "the log is closed")
	}
	old := l.outputs.Swap(with)
	l.adjust()
	l.mu.Unlock()
	_ = old.release() // what it lost by that, nobody can be told
	return nil
}

// Filters returns the filters in force as text, and their number.
func (l *Log) Filters() (string, int) {
	list := l.rules.Load().filters
	return list.String(), len(list)
}

// Outputs returns the outputs in force as text, and their number. Of a default one the
// priority is that of the moment.
func (l *Log) Outputs() (string, int) {
	list := l.outputs.Load().list
	texts := make([]string, len(list))
	for i, o := range list {
		texts[i] = o.shown()
	}
	return strings.Join(texts, " "), len(list)
}

// Close closes the outputs; standard error stays open. Records after it are dropped, as
// the last words of goroutines that end late, and changes are refused: WrongState. The
// errors of closing come from the last user, so they may be lost in one that still
// prints. A second Close does nothing.
func (l *Log) Close() error {
	l.mu.Lock()
	old := l.outputs.Swap(newOutputs(nil, false))
	l.closed = true
	l.adjust()
	l.mu.Unlock()
	return old.release()
}

// adjust makes the rest follow a change. mu is held. Outputs that take nothing and rules
// that want nothing both raise the level that Enabled compares with.
func (l *Log) adjust() {
	current, out := l.rules.Load(), l.outputs.Load()
	least := failure + 1
	// An output above all priorities adds nothing to what Enabled has to let through.
	for _, o := range out.list {
		if out.byDefault {
			o.least.Store(int32(defaultPriority(o.kind, current.level)))
		}
		least = min(least, o.lowest())
	}
	least = max(least, current.filters.lowest(current.level))
	l.lowest.Store(int64(least.threshold()))
}

// defaultPriority spares the journal debug records: it keeps what others keep.
func defaultPriority(kind string, level priority) priority {
	if kind == toJournal {
		return max(level, info)
	}
	return level
}

// defaultTarget is where the log goes if nobody said so: the journal if there is one and
// nobody sits at a terminal, a file for a daemon in the background, else standard error.
// It looks at the host each time: a journal may have come since.
func (l *Log) defaultTarget() target {
	t := target{kind: toStderr}
	hasJournal := unix.Access(l.options.Journal, unix.W_OK) == nil
	switch {
	case hasJournal && (l.options.Background || !l.options.Terminal()):
		t.kind = toJournal
	case l.options.Background:
		t.kind, t.name = toFile, l.options.File
	}
	t.priority = defaultPriority(t.kind, l.rules.Load().level)
	return t
}

// open opens all targets or none. The caller owns them. Those that were opened before one
// failed are closed.
func (l *Log) open(targets []target) ([]*output, error) {
	list := make([]*output, 0, len(targets))
	for _, t := range targets {
		s, err := l.openSink(t)
		if err != nil {
			_ = newOutputs(list, false).release()
			return nil, err
		}
		list = append(list, newOutput(t, s, l.options.Banner))
	}
	return list, nil
}

// openSink opens the outside of a target. Only files can fail. Sockets are connected to
// when the first record goes there.
func (l *Log) openSink(t target) (sink, error) {
	switch t.kind {
	case toFile:
		if t.name == l.options.File { // of a default the folder need not be there
			_ = os.MkdirAll(filepath.Dir(t.name), 0o755) // opening the file tells
		}
		return openFile(t.name)
	case toSyslog:
		return &syslog{datagrams: datagrams{path: l.options.Syslog}, identifier: t.name}, nil
	case toJournal:
		return &journal{datagrams{path: l.options.Journal}}, nil
	}
	if file, ok := l.options.Stderr.(*os.File); ok {
		return newDescriptor(file, false)
	}
	return writer{l.options.Stderr}, nil
}
