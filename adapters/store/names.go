package store

import (
	"os"
	"path/filepath"
	"strings"

	"virtlxcd/domain/fault"
)

// Names of files; doc.go says what is in them.
const (
	suffix      = ".xml"
	pidSuffix   = ".pid"
	driverPID   = "driver" + pidSuffix
	autostarted = "autostarted"

	tempPrefix = ".virtlxcd-"
	tempSuffix = ".tmp"

	// maxName is what a file name of 255 bytes leaves beside a suffix, with a
	// byte to spare for longer suffixes of other files named after containers.
	maxName = 250
	// maxDocument bounds a file. A document of 4 MiB, the most a client can
	// send, grows sixfold at worst when every character has to be escaped.
	maxDocument = 32 << 20
)

// checkName refuses names that would leave the directory or do not fit. Blanks, dots and
// any other bytes are fine: what a name may be is decided elsewhere, and this is all that
// a file system minds. InvalidArgument. Every method that is given a name begins with it:
// names come from clients, and paths are made of them.
func checkName(name string) error {
	switch {
	case name == "":
		return fault.New(fault.InvalidArgument, fault.Driver, "name is empty")
	case name == "." || name == "..":
		return fault.New(fault.InvalidArgument, fault.Driver, "name '%s' is a directory", name)
	case strings.ContainsAny(name, "/\x00"):
		return fault.New(fault.InvalidArgument, fault.Driver, "name %.100q contains a character that no file name can have", name)
	case len(name) > maxName:
		return fault.New(fault.InvalidArgument, fault.Driver,
			"name '%.32s...' has %d bytes, more than the %d that fit a file name", name, len(name), maxName)
	}
	return nil
}

// configPath is where the definition lies.
func (s *Store) configPath(name string) string {
	return filepath.Join(s.paths.Config, name+suffix)
}

// linkPath is where the mark for autostart lies: a link to configPath.
func (s *Store) linkPath(name string) string {
	return filepath.Join(s.paths.Autostart, name+suffix)
}

// statusPath is where the status lies while the container runs.
func (s *Store) statusPath(name string) string {
	return filepath.Join(s.paths.State, name+suffix)
}

// pidPath is empty for the one container whose pid file would be the lock of
// the daemon: it goes without.
func (s *Store) pidPath(name string) string {
	if name+pidSuffix == driverPID {
		return ""
	}
	return filepath.Join(s.paths.State, name+pidSuffix)
}

// nameOf is the inverse of the paths above for documents. A file whose name no container
// can have is none of ours.
func nameOf(file string) (string, bool) {
	name, ok := strings.CutSuffix(file, suffix)
	return name, ok && checkName(name) == nil
}

// makeDir creates dir and what is missing above it, 0755 whatever the umask is;
// directories that exist keep their mode. New entries are flushed. Its entry is flushed
// above it: a definition that is durable in a directory that is not would be lost.
func (s *Store) makeDir(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	// The root is its own parent.
	if parent := filepath.Dir(dir); parent != dir {
		if err := s.makeDir(parent); err != nil {
			return err
		}
	}
	err := os.Mkdir(dir, 0o755)
	if os.IsExist(err) {
		if info, statErr := os.Stat(dir); statErr == nil && info.IsDir() {
			return nil // another goroutine was faster
		}
	}
	if err == nil {
		// Mkdir's mode is cut by the umask.
		err = os.Chmod(dir, 0o755)
	}
	if err == nil {
		err = s.disk.SyncDir(filepath.Dir(dir))
	}
	if err != nil {
		return fault.Wrap(err, fault.System, "cannot make directory '%s'", dir)
	}
	return nil
}
