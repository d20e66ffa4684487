// Package daemon puts virtlxcd together on the real host.
package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"virtlxcd/adapters/control"
	"virtlxcd/adapters/domxml"
	"virtlxcd/adapters/linux/cgroup"
	"virtlxcd/adapters/linux/netlink"
	"virtlxcd/adapters/linux/proc"
	"virtlxcd/adapters/linux/process"
	"virtlxcd/adapters/logging"
	"virtlxcd/adapters/rpc/remote"
	"virtlxcd/adapters/settings"
	"virtlxcd/adapters/store"
	"virtlxcd/app/driver"
	"virtlxcd/ports"
)

// Config is what main decides.
type Config struct {
	Prefix     string // below which all files are; empty: the host's own
	Controller string // the controller's program
	Log        io.Writer
	Level      slog.Level
}

// Version is the API level as people write it.
func Version() string { return remote.APIVersion.String() }

// Run runs the daemon until ctx ends.
func Run(ctx context.Context, config Config) error {
	if os.Geteuid() != 0 {
		return errors.New("the daemon needs root: it makes namespaces, mounts and control groups")
	}
	if config.Prefix != "" {
		prefix, err := filepath.Abs(config.Prefix)
		if err != nil {
			return err
		}
		config.Prefix = prefix
	}
	unix.Umask(0o022)
	if err := unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("cannot keep inherited files from containers: %w", err)
	}
	pidFile, err := settings.AcquirePIDFile(newPaths(config).PIDFile)
	if err != nil {
		return err
	}
	defer pidFile.Close()
	daemon, cleanup, err := build(config)
	if err != nil {
		return err
	}
	defer cleanup()
	return daemon.Run(ctx)
}

func newPaths(config Config) settings.Paths { return settings.PathsBelow(config.Prefix) }

func newLog(config Config) *slog.Logger {
	return slog.New(logging.New(config.Log, config.Level))
}

// emulator is what definitions name as their emulator if nothing was written:
// the path tools expect.
const emulator = "/usr/lib/libvirt/libvirt_lxc"

func newCodec(entropy ports.Entropy) (*domxml.Codec, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return nil, err
	}
	return domxml.New(entropy, domxml.Options{Arch: unix.ByteSliceToString(name.Machine[:]), Emulator: emulator}), nil
}

func newStore(paths settings.Paths, codec ports.Codec, log *slog.Logger) (*store.Store, func(), error) {
	s, err := store.New(store.Paths{Config: paths.Definitions, Autostart: paths.Autostart, State: paths.State, Log: paths.Log}, codec, log)
	if err != nil {
		return nil, nil, err
	}
	return s, closing(log, "store", s), nil
}

// newCgroups keeps the groups of a daemon under a prefix apart from the host's.
func newCgroups(config Config, log *slog.Logger) (*cgroup.Cgroups, func(), error) {
	base := ""
	if config.Prefix != "" {
		sum := sha256.Sum256([]byte(config.Prefix))
		base = "/vlx-" + hex.EncodeToString(sum[:4])
	}
	c, err := cgroup.New(cgroup.Options{Base: base}, log)
	if err != nil {
		return nil, nil, err
	}
	return c, closing(log, "control groups", c), nil
}

func newControllers(config Config, paths settings.Paths, groups *cgroup.Cgroups, log *slog.Logger) (*control.Controllers, func(), error) {
	c, err := control.New(control.Options{
		Program: config.Controller, State: filepath.Join(paths.State, "controllers"), Log: paths.Log,
		Group: groups.ControllersGroup, Home: groups.HomeTasks,
	}, log)
	if err != nil {
		return nil, nil, err
	}
	return c, closing(log, "controllers", c), nil
}

func newLinks(log *slog.Logger) (*netlink.Links, func(), error) {
	l, err := netlink.New(log)
	if err != nil {
		return nil, nil, err
	}
	return l, closing(log, "links", l), nil
}

func newProcesses(log *slog.Logger) (*process.Processes, func(), error) {
	p, err := process.New()
	if err != nil {
		return nil, nil, err
	}
	return p, closing(log, "processes", p), nil
}

func closing(log *slog.Logger, what string, c io.Closer) func() {
	return func() {
		if err := c.Close(); err != nil {
			log.Warn("not closed cleanly", "what", what, "error", err)
		}
	}
}

func newOptions() driver.Options { return driver.Options{} }

func newHost() *proc.Host { return proc.New("/") }
