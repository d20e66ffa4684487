package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/lifecycle"
	"virtlxcd/ports"
)

// temporaries numbers temporary files within the process. Two writers of one directory
// never get the same name.
var temporaries atomic.Uint64

// tempPath is in the same directory, as rename(2) works within one file system.
func (s *Store) tempPath(dir string) string {
	return filepath.Join(dir, tempPrefix+s.token+"-"+strconv.FormatUint(temporaries.Add(1), 36)+tempSuffix)
}

// foreignTemp says whether file is a temporary one of another process, which
// cannot be alive since it would hold the lock.
func (s *Store) foreignTemp(file string) bool {
	return strings.HasPrefix(file, tempPrefix) && strings.HasSuffix(file, tempSuffix) &&
		!strings.HasPrefix(file, tempPrefix+s.token+"-")
}

// SaveDefinition prints what the next start needs, secrets included, which is
// why nobody else may read the file. A link at its place is replaced by a file: what it led
// to is its owner's. On failure the old file is there, whole. The directory is made when
// the first definition is saved.
func (s *Store) SaveDefinition(ctx context.Context, definition *container.Definition) error {
	if err := checkName(definition.Name); err != nil {
		return err
	}
	if err := goingOn(ctx); err != nil {
		return err
	}
	text := header(definition.Name, definition.UUID.String()) +
		s.codec.Format(definition, ports.Format{ID: container.NoID, Inactive: true, Secure: true})
	if err := s.makeDir(s.paths.Config); err != nil {
		return err
	}
	if err := s.replace(s.configPath(definition.Name), text, 0o600, true); err != nil {
		return fault.Wrap(err, fault.System, "cannot store the definition of '%s'", definition.Name)
	}
	return nil
}

// SaveStatus writes the pid file first: who sees the status of what runs finds it. A
// container that is being started has no controller to tell of yet, but status: a daemon
// that dies then leaves a trace of what it made. If the second write fails the pid file
// may be newer than the status; Load goes by the status.
func (s *Store) SaveStatus(ctx context.Context, status *container.Status) error {
	name := status.Definition.Name
	if err := checkName(name); err != nil {
		return err
	}
	if err := goingOn(ctx); err != nil {
		return err
	}
	var err error
	if status.State != lifecycle.Starting {
		err = s.savePID(s.pidPath(name), status.Controller.PID)
	}
	if err == nil {
		text := header(name, status.Definition.UUID.String()) + s.codec.FormatStatus(status)
		err = s.replace(s.statusPath(name), text, 0o600, false)
	}
	if err != nil {
		return fault.Wrap(err, fault.System, "cannot store the status of '%s'", name)
	}
	return nil
}

// savePID leaves a file alone that is right already: status changes often, the controller
// hardly ever. No controller, no file.
func (s *Store) savePID(path string, pid int) error {
	switch text := strconv.Itoa(pid); {
	case path == "":
		return nil
	// An old number could be taken for a controller's.
	case pid <= 0:
		return absentIsFine(s.disk.Remove(path))
	default:
		if old, err := readFile(path, false); err == nil && old == text {
			return nil
		}
		return s.replace(path, text, 0o644, false)
	}
}

// replace puts text at path, all or nothing. durable makes it survive a power
// cut, file and name both. If only the last flush of the directory fails, the
// new file is in place and may not survive; the error says so to the caller,
// who has to take the change for failed.
func (s *Store) replace(path, text string, mode os.FileMode, durable bool) error {
	// Load would refuse to read it.
	if len(text) > maxDocument {
		return errTooLarge
	}
	temp := s.tempPath(filepath.Dir(path))
	err := s.writeNew(temp, text, mode, durable)
	if err == nil {
		err = s.disk.Rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, absentIsFine(s.disk.Remove(temp)))
	}
	if durable {
		return s.disk.SyncDir(filepath.Dir(path))
	}
	return nil
}

// writeNew makes a file and fills it. On failure part of it may be there. The caller
// removes it.
func (s *Store) writeNew(path, text string, mode os.FileMode, durable bool) error {
	f, err := s.disk.Create(path, mode)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(text))
	// The content before the name: a rename that survives alone would leave an empty
	// file.
	if err == nil && durable {
		err = f.Sync()
	}
	// Some file systems report a full disk no sooner than here.
	return errors.Join(err, f.Close())
}

// absentIsFine is for what is to be gone afterwards.
func absentIsFine(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
