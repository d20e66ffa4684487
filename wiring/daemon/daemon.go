// Package daemon puts virtlxcd together on the real host: what main decides goes in as a
// Config, Run does the rest. The injector (wire.go, wire_gen.go) makes and connects all
// parts and takes them apart in the reverse order; provide.go has a constructor for each
// part that needs more than its own package's.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"virtlxcd/adapters/logging"
	"virtlxcd/adapters/rpc/remote"
	"virtlxcd/adapters/settings"
	"virtlxcd/adapters/systemd"
	"virtlxcd/wiring/front"
)

// Config is what main decides. The zero value but for Controller is the host's own
// daemon in the foreground. Paths may be relative: Run and CheckConfig make them absolute
// as they begin.
type Config struct {
	Prefix     string           // below which all files are; empty: the host's own
	Controller string           // the controller's program
	ConfigFile string           // instead of virtlxcd.conf; has to exist. Empty: that one, which may be missing
	PIDFile    *string          // instead of the usual one; nil: that one, empty: none
	Timeout    time.Duration    // of idleness, after which it ends; 0: never
	Verbose    bool             // log at least at level info
	Background bool             // nobody reads the standard streams
	Hangup     <-chan os.Signal // each asks for a reload; nil: none come
	Ready      func()           // called when clients are served; may be nil
	Stderr     io.Writer        // nil: the process's own
}

// Version is the API level as people write it, "MAJOR.MINOR.RELEASE". Clients decide by
// it what they may ask for, so it says how far the interface is served and not how old
// this program is.
func Version() string { return remote.APIVersion.String() }

// DefaultPaths are where files are without a prefix, for the help text.
func DefaultPaths() settings.Paths { return settings.PathsBelow("") }

// paths are below the prefix. Files that were asked for by name are where they were said
// to be.
func (c Config) paths() settings.Paths { return settings.PathsBelow(c.Prefix) }

// files are the configuration files and all that overrides them. The environment is read
// once, here: what a daemon starts with counts for its reloads as well.
func (c Config) files() (front.Files, error) {
	paths := c.paths()
	files := front.Files{Daemon: paths.DaemonConfig, Driver: paths.DriverConfig, Verbose: c.Verbose}
	if c.ConfigFile != "" {
		files.Daemon, files.Required = c.ConfigFile, true
	}
	var err error
	files.Environment, err = settings.FromEnvironment(os.Getenv)
	return files, err
}

// absolute makes the paths of the command line independent of where it was given: a
// daemon reads them again when it reloads. What PIDFile points to is changed in place.
func (c *Config) absolute() error {
	for _, path := range []*string{&c.Prefix, &c.ConfigFile, c.PIDFile} {
		if path == nil || *path == "" {
			continue
		}
		full, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = full
	}
	return nil
}

// CheckConfig writes to out what is wrong with both configuration files, a line each; an
// error if anything is, or if LIBVIRT_DEBUG cannot be read. It needs no root and leaves a
// daemon that runs alone.
func CheckConfig(config Config, out io.Writer) error {
	if err := config.absolute(); err != nil {
		return err
	}
	files, err := config.files()
	if err != nil {
		return err
	}
	return front.Check(config.paths(), files, out)
}

// Run runs the daemon until ctx ends, it is told to end or nobody has needed it
// for as long as Timeout. It is for the only daemon of a process, called once: it changes
// the umask and takes over what a service manager passed, by number. Containers outlive
// it, whatever it returns.
//
// The order is that of what can go wrong: configuration and log before anything is taken
// over, descriptors before any is opened that a container could inherit, the pid file
// before anything is touched that another daemon may be using. An error is also told to
// the service manager, as the reason that administrators see.
func Run(ctx context.Context, config Config) (err error) {
	tell := systemd.LastWords()
	defer func() {
		if err != nil {
			tell(err)
		}
	}()
	if os.Geteuid() != 0 {
		return errors.New("the daemon needs root: it makes namespaces, mounts and control groups")
	}
	if err := config.absolute(); err != nil {
		return err
	}
	unix.Umask(0o022) // modes are as documented, wherever the daemon was started from
	loaded, err := load(config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, loaded.out.Close()) }()
	if loaded.received, err = systemd.Receive(loaded.log, front.SocketUnits...); err != nil {
		return err
	}
	defer loaded.received.Close()
	if err := unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("cannot keep inherited files from containers: %w", err)
	}
	release, err := loaded.lock()
	if err != nil {
		return err
	}
	defer release()
	return loaded.run(ctx)
}

// inputs are what the injector starts from: all that had to be there before the parts.
type inputs struct {
	config   Config
	paths    settings.Paths
	files    front.Files
	daemon   settings.Daemon
	driver   settings.Driver
	out      *logging.Log
	log      *slog.Logger
	received *systemd.Received
}

// load reads the configuration and opens the log, whose owner the caller is. What is
// wrong before there is a log is an error, for standard error; notices are logged.
func load(config Config) (*inputs, error) {
	files, err := config.files()
	if err != nil {
		return nil, err
	}
	daemon, driver, notices, err := front.Load(files)
	if err != nil {
		return nil, err
	}
	paths := config.paths()
	out, err := front.OpenLog(files, daemon, logging.Options{
		Banner: banner(), Background: config.Background, File: paths.DaemonLog, Stderr: config.Stderr,
		Journal: paths.Journal, // a daemon below a prefix leaves the host's alone
	})
	if err != nil {
		return nil, err
	}
	log := slog.New(out)
	front.Tell(log, notices)
	return &inputs{config: config, paths: paths, files: files, daemon: daemon, driver: driver, out: out, log: log}, nil
}

// banner is how every log begins. Programs that read logs of this interface look for the
// first line; the second tells logs of several hosts apart.
func banner() []string {
	lines := []string{"libvirt version: " + Version() + ", package: virtlxcd"}
	if name, err := os.Hostname(); err == nil {
		lines = append(lines, "hostname: "+name)
	}
	return lines
}

// lock takes the pid file, if there is to be one: Busy while another daemon has it. The
// state directory has a lock of its own (store), so that a daemon with another pid file,
// or none, does not get in either.
func (in *inputs) lock() (release func(), err error) {
	path := in.paths.PIDFile
	if in.config.PIDFile != nil {
		path = *in.config.PIDFile
	}
	if path == "" {
		return func() {}, nil
	}
	file, err := settings.AcquirePIDFile(path)
	if err != nil {
		return nil, err
	}
	return func() {
		if err := file.Close(); err != nil {
			in.log.Warn("the pid file is left", "error", err)
		}
	}, nil
}

// run puts the daemon together and lets it run. All parts are closed when it returns.
func (in *inputs) run(ctx context.Context) error {
	daemon, cleanup, err := build(in)
	if err != nil {
		return err
	}
	defer cleanup()
	var forwarder sync.WaitGroup
	defer forwarder.Wait() // after stop
	hangups, stop := context.WithCancel(ctx)
	defer stop()
	forwarder.Go(func() {
		for {
			select {
			case <-in.config.Hangup:
				daemon.Hangup()
			case <-hangups.Done():
				return
			}
		}
	})
	ready := in.config.Ready
	if ready == nil {
		ready = func() {}
	}
	return daemon.Run(ctx, ready)
}
