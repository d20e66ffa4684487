package hooks

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"

	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// The scripts this daemon calls: those of the driver, and those of the daemon's own life.
const (
	containerScript = "lxc"
	daemonScript    = "daemon"
)

// Hooks is the ports.Hooks for the scripts in one directory. Methods are safe
// from any goroutine; programs of several calls run side by side.
type Hooks struct {
	dir   string
	log   *slog.Logger
	found atomic.Pointer[scripts]
}

// scripts are what there was to run when it was last looked for, in order.
type scripts struct{ container, daemon []string }

var _ ports.Hooks = (*Hooks)(nil)

// New looks for scripts in dir, which need not exist. What Refresh complains
// about is logged: a daemon without its scripts is better than none.
func New(dir string, log *slog.Logger) *Hooks {
	h := &Hooks{dir: dir, log: log}
	h.found.Store(&scripts{})
	if err := h.Refresh(); err != nil {
		log.Error("hook scripts are not run", "error", err)
	}
	return h
}

// Refresh looks for scripts again. If the directory cannot be read, it fails (System)
// and all stays as it was. Calls under way go on with what they found.
func (h *Hooks) Refresh() error {
	container, err := h.look(containerScript)
	if err != nil {
		return err
	}
	daemon, err := h.look(daemonScript)
	if err != nil {
		return err
	}
	h.found.Store(&scripts{container, daemon})
	return nil
}

// look lists NAME, then NAME.d/* in alphabetical order.
func (h *Hooks) look(name string) (found []string, err error) {
	single := filepath.Join(h.dir, name)
	there, err := h.runnable(single)
	if err != nil {
		return nil, err
	}
	if there {
		found = append(found, single)
	}
	directory := single + ".d"
	entries, err := os.ReadDir(directory) // sorted
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Wrap(err, fault.System, "cannot look for hook scripts in '%s'", directory)
	}
	for _, entry := range entries {
		path := filepath.Join(directory, entry.Name())
		there, err := h.runnable(path)
		if err != nil {
			return nil, err
		}
		if there {
			found = append(found, path)
		}
	}
	return found, nil
}

// runnable warns about what lies where a program is expected and is none.
func (h *Hooks) runnable(path string) (bool, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fault.Wrap(err, fault.System, "cannot look for hook script '%s'", path)
	case !info.Mode().IsRegular():
		h.log.Warn("a hook script is ignored: not a file", "path", path)
	case info.Mode().Perm()&0o111 == 0:
		h.log.Warn("a hook script is ignored: not executable", "path", path)
	default:
		return true, nil
	}
	return false, nil
}

// Present is as old as the last Refresh. Only scripts about containers count.
func (h *Hooks) Present() bool { return len(h.found.Load().container) > 0 }

// Run gives every program the document anew. They run one after the other; the first that
// fails ends it: HookFailed, with what it wrote to standard error. If ctx ends, what runs
// is killed: Timeout if that was a deadline, else Aborted.
func (h *Hooks) Run(ctx context.Context, call ports.HookCall) error {
	arguments := []string{call.Container, call.Operation, call.Phase, call.Extra}
	return h.run(ctx, h.found.Load().container, arguments, call.Document)
}

// Daemon runs the scripts for what happens to the daemon itself: its "start" and
// "shutdown" with phase "-", and "reload" with phase "begin". Extra says why. It
// fails as Run does.
func (h *Hooks) Daemon(ctx context.Context, operation, phase, extra string) error {
	return h.run(ctx, h.found.Load().daemon, []string{"", operation, phase, extra}, "")
}

// run looks at each program once more: sites replace their scripts while the daemon runs.
func (h *Hooks) run(ctx context.Context, paths, arguments []string, document string) error {
	for i, argument := range arguments {
		if argument == "" {
			arguments[i] = "-"
		}
	}
	for _, path := range paths {
		// It may be gone since, which is as good as never having been there.
		there, err := h.runnable(path)
		if err == nil && there {
			err = program{path, arguments, document}.run(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
