package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// Paths are the directories the store works in. Log is only created, for those who write
// there. Config and Autostart are made when something is saved there. Relative ones are
// of the working directory at New.
type Paths struct {
	Config    string
	Autostart string
	State     string
	Log       string
}

// Store is a ports.Store on a file system. Methods for different containers may
// run at the same time; nothing in memory is shared between them. The fields do not
// change after New.
type Store struct {
	paths Paths
	codec ports.Codec
	log   *slog.Logger
	disk  disk
	token string // in the names of this process's temporary files
	lock  *lock
}

var _ ports.Store = (*Store)(nil)

// New makes the state and log directories and takes the lock that makes this
// daemon the only one there. Busy names the pid of the other one. Close gives
// the lock back.
//
// The lock belongs to the process (fcntl(2)), so a second Store of the same
// process on the same State is not noticed, and closing either frees both. The lock comes
// last, as it lies in State. On failure no lock is held; directories that were made stay.
func New(paths Paths, codec ports.Codec, log *slog.Logger) (*Store, error) {
	s := &Store{codec: codec, log: log, disk: osDisk{}, token: newToken()}
	for _, p := range []struct {
		to   *string
		from string
	}{
		{&s.paths.Config, paths.Config}, {&s.paths.Autostart, paths.Autostart},
		{&s.paths.State, paths.State}, {&s.paths.Log, paths.Log},
	} {
		absolute, err := filepath.Abs(p.from)
		if err != nil {
			return nil, fault.Wrap(err, fault.System, "cannot resolve directory '%s'", p.from)
		}
		*p.to = absolute
	}
	for _, dir := range []string{s.paths.State, s.paths.Log} {
		if err := s.makeDir(dir); err != nil {
			return nil, err
		}
	}
	held, err := acquire(filepath.Join(s.paths.State, driverPID))
	if err != nil {
		return nil, err
	}
	s.lock = held
	return s, nil
}

// Close lets another daemon have the state directory. What is stored stays. Calls under
// way must be over; once.
func (s *Store) Close() error { return s.lock.release() }

// newToken tells this process's temporary files from those of any other, also of one that
// had the same pid.
func newToken() string {
	var b [6]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// FirstStartSinceBoot relies on State being emptied by a boot, as /run is. It is true once:
// asking is remembering, and of two who ask one gets it. If the file cannot be closed the
// answer is an error, but asking again says false.
func (s *Store) FirstStartSinceBoot(ctx context.Context) (bool, error) {
	if err := goingOn(ctx); err != nil {
		return false, err
	}
	path := filepath.Join(s.paths.State, autostarted)
	// O_EXCL makes looking and remembering one step.
	flag, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, fault.Wrap(err, fault.System, "cannot remember that autostart was done")
	}
	if err := flag.Close(); err != nil {
		return false, fault.Wrap(err, fault.System, "cannot remember that autostart was done")
	}
	return true, nil
}

// goingOn turns the end of ctx into a fault. What changes something asks once, before it
// touches anything: half a change would be worse than a late one.
func goingOn(ctx context.Context) error {
	switch err := ctx.Err(); {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(err, fault.Timeout, "storage was not reached in time")
	default:
		return fault.Wrap(err, fault.Aborted, "storage was not touched")
	}
}
