package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// document is one file on its way to a value; name is the file's. One worker at a time
// has it, and merge when they have ended.
type document struct {
	path   string
	name   string
	status bool
	// The outcome. Exactly one is set unless the file vanished meanwhile, which happens:
	// administrators and other programs work in the same directories.
	stored ports.Stored
	err    error
}

// Load sorts by name and calls damaged from this goroutine. Files of other
// kinds are not looked at. Links are followed in the configuration, where an
// administrator may keep files elsewhere, and not in State. Directories that do not exist
// are empty. System if one cannot be listed; then, and when ctx ends, nothing is returned,
// as part of what there is would look like all. Leftovers of dead daemons are removed on
// the way. Status is put before definitions, which merge relies on.
func (s *Store) Load(ctx context.Context, damaged func(path string, err error)) ([]ports.Stored, error) {
	if err := goingOn(ctx); err != nil {
		return nil, err
	}
	// State first: where a file claims what another has, the one that runs is right.
	documents, err := s.scan(s.paths.State, true)
	if err != nil {
		return nil, err
	}
	configs, err := s.scan(s.paths.Config, false)
	if err != nil {
		return nil, err
	}
	s.sweep(s.paths.Autostart)
	s.sweepPIDs(documents)
	// merge relies on this order.
	documents = append(documents, configs...)
	if err := s.parseAll(ctx, documents); err != nil {
		return nil, err
	}
	return merge(documents, damaged), nil
}

// scan lists the documents of a directory and sweeps it. A directory that does not exist
// is empty. What its name makes no document (pid files, the lock) is passed over.
func (s *Store) scan(dir string, status bool) ([]*document, error) {
	entries, err := os.ReadDir(dir)
	if absentIsFine(err) != nil {
		return nil, fault.Wrap(err, fault.System, "cannot list stored containers")
	}
	var documents []*document
	for _, entry := range entries {
		if s.foreignTemp(entry.Name()) {
			s.discard(filepath.Join(dir, entry.Name()))
		}
		if name, ok := nameOf(entry.Name()); ok {
			documents = append(documents, &document{path: filepath.Join(dir, entry.Name()), name: name, status: status})
		}
	}
	return documents, nil
}

// sweep removes what a daemon left that died while it was writing. For the directory of
// links, which holds no documents to scan for.
func (s *Store) sweep(dir string) {
	entries, _ := os.ReadDir(dir) // missing or unreadable: nothing to do
	for _, entry := range entries {
		if s.foreignTemp(entry.Name()) {
			s.discard(filepath.Join(dir, entry.Name()))
		}
	}
}

// sweepPIDs removes pid files without a status: they are written before it and
// removed after it. The lock, driver.pid, is never one: no container's pid file has that
// path.
func (s *Store) sweepPIDs(status []*document) {
	with := make(map[string]bool, len(status))
	for _, d := range status {
		with[s.pidPath(d.name)] = true
	}
	entries, _ := os.ReadDir(s.paths.State)
	for _, entry := range entries {
		path := filepath.Join(s.paths.State, entry.Name())
		name, ok := strings.CutSuffix(entry.Name(), pidSuffix)
		if ok && !with[path] && path == s.pidPath(name) && entry.Type().IsRegular() {
			s.discard(path)
		}
	}
}

// discard removes what nobody needs. That it cannot be removed harms nobody either.
// Leftovers have names that are not used again, so they only take room.
func (s *Store) discard(path string) {
	if err := absentIsFine(s.disk.Remove(path)); err != nil {
		s.log.Warn("cannot remove a leftover of an earlier daemon", "path", path, "err", err)
	}
}

// parseAll spreads the work over the processors: parsing is what takes time
// when there are thousands. It returns when all workers have. When ctx ends, files that a
// worker has begun are still parsed.
func (s *Store) parseAll(ctx context.Context, documents []*document) error {
	work := make(chan *document)
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(documents)) {
		workers.Go(func() {
			for d := range work {
				s.parse(d)
			}
		})
	}
	for _, d := range documents {
		if ctx.Err() != nil {
			break
		}
		work <- d
	}
	close(work)
	workers.Wait()
	return goingOn(ctx)
}

// parse turns a file into a value, or says why not. The name of a container is that of its
// file: one that was copied by hand, without being edited, is no second container. A link
// in the configuration that leads nowhere is damage and not absence: somebody meant a
// file to be there.
func (s *Store) parse(d *document) {
	text, err := readFile(d.path, !d.status)
	if err != nil {
		d.err = absentIsFine(err)
		// Absent and no link either: the file has gone since the directory was listed.
		if d.err == nil && dangling(d.path) {
			d.err = err
		}
		return
	}
	var definition *container.Definition
	if d.status {
		d.stored.Status, d.err = s.codec.ParseStatus(text)
		if d.err == nil {
			definition = d.stored.Status.Definition
		}
	} else {
		definition, d.stored.Drawn, d.err = s.codec.ParseStored(text)
		d.stored.Config = definition
		d.stored.Autostart = s.marked(d.name)
	}
	if d.err == nil && definition.Name != d.name {
		d.err = fmt.Errorf("the file is about '%s', which its name does not say", definition.Name)
	}
}

// dangling says whether there is a link that leads nowhere.
func dangling(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&os.ModeSymlink != 0
}

// marked says whether the autostart link leads to the definition, by whichever
// path: directories may have been reached through links when it was made. A link to
// another file, or a file that is no link, is no mark.
func (s *Store) marked(name string) bool {
	target, ok := s.mark(name)
	if !ok {
		return false
	}
	// The common case needs no look at the files.
	if target == s.configPath(name) {
		return true
	}
	there, err := os.Stat(s.linkPath(name))
	if err != nil {
		return false
	}
	here, err := os.Stat(s.configPath(name))
	return err == nil && os.SameFile(here, there)
}
