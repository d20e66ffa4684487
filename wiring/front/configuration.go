package front

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"virtlxcd/adapters/logging"
	"virtlxcd/adapters/settings"
)

// Files are the configuration files, and what overrides them. They are the same for the
// life of a daemon: a reload reads them again.
type Files struct {
	Daemon, Driver string // paths of virtlxcd.conf and lxc.conf
	Required       bool   // the first has to exist
	Verbose        bool   // of the command line
	Environment    settings.Environment
}

// Configuration is what both files say, as far as it is in force. Each key has one of
// two lives (settings.DifferDaemon): it can change with a reload, or it counts from the
// start of the daemon to its end. Safe from any goroutine, but for Reload, of which one
// runs at a time.
type Configuration struct {
	files Files
	log   *slog.Logger

	// What the daemon started with: what counts of keys that need a restart.
	startedDaemon settings.Daemon
	startedDriver settings.Driver

	mu     sync.Mutex // guards what follows: what was read last
	daemon settings.Daemon
	driver settings.Driver
}

// Load reads both files. Notices about them are for whoever has a log later; they come
// also with an error. The first file that is wrong ends it: the error names file, line
// and key, and nothing of either file is to be used.
//
// The syntax of the log's settings is checked here too, so that a bad one is found before
// anything is opened. Whether an output can be had only opening it shows.
func Load(files Files) (daemon settings.Daemon, driver settings.Driver, notices []settings.Notice, err error) {
	daemon, notices, err = settings.LoadDaemon(files.Daemon, files.Required)
	if err != nil {
		return daemon, driver, notices, err
	}
	if err := CheckLog(&daemon); err != nil {
		return daemon, driver, notices, err
	}
	driver, more, err := settings.LoadDriver(files.Driver, false)
	return daemon, driver, append(notices, more...), err
}

// CheckLog says what is wrong with the log's settings of a file, naming the key:
// InvalidArgument. It opens nothing.
func CheckLog(config *settings.Daemon) error {
	if err := config.Rejected("log_filters", logging.CheckFilters(config.LogFilters)); err != nil {
		return err
	}
	return config.Rejected("log_outputs", logging.CheckOutputs(config.LogOutputs))
}

// Check writes to out what is wrong with both files and what deserves a notice; it
// starts and opens nothing else. InvalidArgument if anything is wrong. A file that is
// missing at its usual path is fine.
func Check(usual settings.Paths, files Files, out io.Writer) error {
	return settings.Check(usual, files.Daemon, files.Driver, out, CheckLog)
}

// OpenLog opens the daemon's log as the file and what overrides it say; of options the
// level, filters and outputs are replaced. The caller closes it. An error names who said
// what cannot be had: the environment's variable, or file, line and key.
func OpenLog(files Files, config settings.Daemon, options logging.Options) (*logging.Log, error) {
	options.Level, options.Filters, options.Outputs = LogSettings(files, config)
	out, err := logging.Open(options)
	env := files.Environment
	switch {
	case err == nil:
		return out, nil
	case logging.CheckFilters(env.LogFilters) != nil:
		return nil, fmt.Errorf("environment variable LIBVIRT_LOG_FILTERS: %w", err)
	case env.LogOutputs != "":
		return nil, fmt.Errorf("environment variable LIBVIRT_LOG_OUTPUTS: %w", err)
	case config.Given("log_outputs"):
		return nil, config.Rejected("log_outputs", err)
	}
	return nil, err
}

// NewConfiguration keeps what was loaded, for a daemon that starts with it. log is told
// what reloads change.
func NewConfiguration(files Files, daemon settings.Daemon, driver settings.Driver, log *slog.Logger) *Configuration {
	return &Configuration{
		files: files, log: log, startedDaemon: daemon, startedDriver: driver, daemon: daemon, driver: driver,
	}
}

// Authenticates says whether clients of the read-only or of the full socket have to show
// who they are (auth_unix_ro, auth_unix_rw). What the daemon was started with counts.
func (c *Configuration) Authenticates(readOnly bool) bool {
	if readOnly {
		return c.startedDaemon.AuthUnixRO == settings.AuthPolkit
	}
	return c.startedDaemon.AuthUnixRW == settings.AuthPolkit
}

// SharesLog says whether controllers log where the daemon does (log_with_libvirtd), for
// containers that start from now on.
func (c *Configuration) SharesLog() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.driver.LogWithDaemon
}

// ShutdownTimeout is how long containers have when the host goes down; 0: none.
func (c *Configuration) ShutdownTimeout() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.driver.ShutdownTimeout
}

// LogSettings is how to log: the command line counts before the environment, and
// that before the file. An empty variable counts as none, so an output cannot be taken
// away by it. --verbose makes the log say more, never less.
func LogSettings(files Files, config settings.Daemon) (level slog.Level, filters, outputs string) {
	level, filters, outputs = levelOf(config.LogLevel), config.LogFilters, config.LogOutputs
	env := files.Environment
	if env.LogLevel != 0 {
		level = levelOf(env.LogLevel)
	}
	if env.LogFilters != "" {
		filters = env.LogFilters
	}
	if env.LogOutputs != "" {
		outputs = env.LogOutputs
	}
	if files.Verbose {
		level = min(level, slog.LevelInfo)
	}
	return level, filters, outputs
}

// levelOf turns a priority of the interface into a level; 0 is the default.
func levelOf(priority uint) slog.Level {
	switch priority {
	case 1:
		return slog.LevelDebug
	case 2:
		return slog.LevelInfo
	case 4:
		return slog.LevelError
	}
	return slog.LevelWarn
}

// Reload reads the files again and puts into force what can change while the
// daemon runs. A bad file changes nothing: the error says what is wrong with it. What
// changed and is in force is logged, and so is, at every reload, what differs from what
// the daemon was started with and waits for the next start.
//
// The log goes first: it is all that can still fail. Then the servers' limits, then obey
// for what others hold.
func (c *Configuration) Reload(servers *Servers, log *logging.Log, obey Obey) error {
	daemon, driver, notices, err := Load(c.files)
	if err != nil {
		return err
	}
	Tell(c.log, notices)
	c.mu.Lock()
	oldDaemon, oldDriver := c.daemon, c.driver
	c.mu.Unlock()
	live, _ := settings.DifferDaemon(oldDaemon, daemon)
	more, _ := settings.DifferDriver(oldDriver, driver)
	_, later := settings.DifferDaemon(c.startedDaemon, daemon)
	_, evenLater := settings.DifferDriver(c.startedDriver, driver)
	if err := relog(log, c.files, oldDaemon, daemon); err != nil {
		return err
	}
	servers.Apply(daemon)
	obey(daemon)
	c.mu.Lock()
	c.daemon, c.driver = daemon, driver
	c.mu.Unlock()
	if changed := append(live, more...); len(changed) > 0 {
		c.log.Info("changed settings are in force", "keys", strings.Join(changed, " "))
	}
	if waiting := append(later, evenLater...); len(waiting) > 0 {
		c.log.Warn("changed settings need a restart of the daemon", "keys", strings.Join(waiting, " "))
	}
	return nil
}

// relog changes how is logged, if the files say something new about it: what an
// administrator set meanwhile stays otherwise. Outputs come first, as only they can fail;
// the filters' syntax was checked by Load.
func relog(log *logging.Log, files Files, before, after settings.Daemon) error {
	oldLevel, oldFilters, oldOutputs := LogSettings(files, before)
	level, filters, outputs := LogSettings(files, after)
	if outputs != oldOutputs {
		if err := log.SetOutputs(outputs); err != nil {
			return after.Rejected("log_outputs", err)
		}
	}
	if filters != oldFilters {
		if err := log.SetFilters(filters); err != nil {
			return err
		}
	}
	if level != oldLevel {
		log.SetLevel(level)
	}
	return nil
}

// Tell logs what was noticed while reading files, as warnings: somebody wrote something
// that has no effect, or not the one it had once.
func Tell(log *slog.Logger, notices []settings.Notice) {
	for _, notice := range notices {
		log.Warn("configuration: " + notice.String())
	}
}
