package logging

import (
	"maps"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
)

// site is a place in the code that logs, found by its program counter. It never changes
// while the program runs.
type site struct {
	category string
	function string // with the path of its package
	file     string
	line     int
}

// nowhere is the site of records without a place. It is also that of lines the log itself
// writes: banners, and counts of lost records.
var nowhere = &site{category: "util.log"}

// sites remembers the site of every place that logged: there are few, and
// finding out takes longer than all the rest. The zero value knows none and can be used.
type sites struct {
	known atomic.Pointer[map[uintptr]*site]
	mu    sync.Mutex // held to replace known
}

// of is called for every record, from any goroutine, and takes no lock for a place that is
// known.
func (s *sites) of(pc uintptr) *site {
	if pc == 0 {
		return nowhere
	}
	if known := s.known.Load(); known != nil {
		if found, ok := (*known)[pc]; ok {
			return found
		}
	}
	return s.learn(pc)
}

// learn replaces the map by a larger one: readers never see one that changes. As each
// place is learnt once, copying costs nothing that matters. Two goroutines that come from
// a new place at once both add it, and the second replaces an equal one.
func (s *sites) learn(pc uintptr) *site {
	frame, _ := runtime.CallersFrames([]uintptr{pc}).Next()
	found := &site{category: category(frame.Function), function: frame.Function, file: frame.File, line: frame.Line}
	s.mu.Lock()
	defer s.mu.Unlock()
	more := map[uintptr]*site{}
	if known := s.known.Load(); known != nil {
		more = maps.Clone(*known)
	}
	more[pc] = found
	s.known.Store(&more)
	return found
}

// categories maps packages, and all below them, to what filters match. The first that
// fits counts; a star stands for the last part of the path. The runtime calls the package
// of a program "main", whatever its path.
var categories = []struct{ path, category string }{
	{"virtlxcd/app", "lxc.*"},
	{"virtlxcd/adapters/rpc", "rpc.*"},
	{"virtlxcd/adapters/domxml", "conf.domain"},
	{"virtlxcd/adapters/settings", "util.conf"},
	{"virtlxcd/adapters/audit", "conf.domain_audit"},
	{"virtlxcd/adapters/systemd", "util.systemd"},
	{"virtlxcd/wiring", "daemon.virtlxcd"},
	{"virtlxcd/cmd", "daemon.virtlxcd"},
	{"main", "daemon.virtlxcd"},
	{"", "util.*"},
}

// category is that of a function, known by names that administrators put into
// filters: "lxc.driver", "rpc.server", "util.systemd". They follow those of the interface,
// so that a filter written for another daemon of the family fits. It is asked once for
// each place that logs.
func category(function string) string {
	path := packagePath(function)
	if path == "virtlxcd/adapters/rpc" {
		return "rpc.server"
	}
	last := path[strings.LastIndexByte(path, '/')+1:]
	for _, c := range categories {
		if c.path == "" || path == c.path || strings.HasPrefix(path, c.path+"/") {
			return strings.Replace(c.category, "*", last, 1)
		}
	}
	return nowhere.category
}

// packagePath cuts a function's name at the first dot of its last part. Type
// arguments may hold further paths.
func packagePath(function string) string {
	whole, _, _ := strings.Cut(function, "[")
	slash := strings.LastIndexByte(whole, '/') + 1
	if dot := strings.IndexByte(whole[slash:], '.'); dot >= 0 {
		return whole[:slash+dot]
	}
	return whole
}
