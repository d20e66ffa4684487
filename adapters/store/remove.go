package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"virtlxcd/domain/fault"
)

// RemoveDefinition takes the mark away first, so that a crash in between leaves
// a definition that does not start rather than a mark for a later namesake. If
// the definition cannot be removed the mark is set again. Both being absent is no error.
// Both changes are flushed: a definition does not come back after a power cut.
func (s *Store) RemoveDefinition(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := goingOn(ctx); err != nil {
		return err
	}
	target, wasMarked := s.mark(name)
	err := s.unlink(s.linkPath(name))
	if err == nil {
		// As it was: with the definition still there the mark has to be as well.
		if err = s.unlink(s.configPath(name)); err != nil && wasMarked {
			err = errors.Join(err, s.link(target, s.linkPath(name)))
		}
	}
	if err != nil {
		return fault.Wrap(err, fault.System, "cannot remove the definition of '%s'", name)
	}
	return nil
}

// RemoveStatus removes the pid file last: while there is status there is a pid. What is
// absent already is no error. Nothing is flushed, as for SaveStatus.
func (s *Store) RemoveStatus(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := goingOn(ctx); err != nil {
		return err
	}
	err := absentIsFine(s.disk.Remove(s.statusPath(name)))
	// If the status could not go, its pid file stays with it.
	if pid := s.pidPath(name); err == nil && pid != "" {
		err = absentIsFine(s.disk.Remove(pid))
	}
	if err != nil {
		return fault.Wrap(err, fault.System, "cannot remove the status of '%s'", name)
	}
	return nil
}

// SetAutostart makes or removes the link. What stands in its place and is not
// our link (a copy of the file, a link elsewhere) is replaced. The definition need not
// exist. On failure it is as it was, but for a flush that failed. It survives a power
// cut.
func (s *Store) SetAutostart(ctx context.Context, name string, on bool) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := goingOn(ctx); err != nil {
		return err
	}
	var err error
	if on {
		err = s.setMark(name)
	} else {
		err = s.unlink(s.linkPath(name))
	}
	if err != nil {
		return fault.Wrap(err, fault.System, "cannot change autostart of '%s'", name)
	}
	return nil
}

// setMark leaves a link alone that is right already.
func (s *Store) setMark(name string) error {
	target := s.configPath(name)
	if old, ok := s.mark(name); ok && old == target {
		return nil
	}
	if err := s.makeDir(s.paths.Autostart); err != nil {
		return err
	}
	return s.link(target, s.linkPath(name))
}

// mark returns what the autostart link says, whether or not that exists.
func (s *Store) mark(name string) (target string, ok bool) {
	target, err := os.Readlink(s.linkPath(name))
	return target, err == nil
}

// link puts a durable link at path, replacing what is there in one step. rename(2) takes
// a link's place as it does a file's; symlink(2) alone would fail if something is there.
func (s *Store) link(target, path string) error {
	dir := filepath.Dir(path)
	temp := s.tempPath(dir)
	err := s.disk.Symlink(target, temp)
	if err == nil {
		err = s.disk.Rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, absentIsFine(s.disk.Remove(temp)))
	}
	return s.disk.SyncDir(dir)
}

// unlink removes path for good. What was absent needs no flush. An absent file is no
// error.
func (s *Store) unlink(path string) error {
	err := s.disk.Remove(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.disk.SyncDir(filepath.Dir(path))
}
