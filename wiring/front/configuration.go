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

// Files are the configuration files, and what overrides them.
type Files struct {
	Daemon, Driver string
	Required       bool // the first has to exist
	Verbose        bool // of the command line
	Environment    settings.Environment
}

// Configuration is what both files say, as far as it is in force.
type Configuration struct {
	files Files
	log   *slog.Logger

	mu     sync.Mutex // guards what follows
	daemon settings.Daemon
	driver settings.Driver
}

// Load reads both files. Notices about them are for whoever has a log later.
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

// CheckLog says what is wrong with the log's settings of a file, naming the key.
func CheckLog(config *settings.Daemon) error {
	if err := config.Rejected("log_filters", logging.CheckFilters(config.LogFilters)); err != nil {
		return err
	}
	return config.Rejected("log_outputs", logging.CheckOutputs(config.LogOutputs))
}

// Check says what is wrong with both files; an error if anything is.
func Check(usual settings.Paths, files Files, out io.Writer) error {
	return settings.Check(usual, files.Daemon, files.Driver, out, CheckLog)
}

// OpenLog opens the daemon's log as the file and what overrides it say. An error
// names who said what cannot be had.
func OpenLog(files Files, config settings.Daemon, options logging.Options) (*logging.Log, error) {
	options.Level, options.Filters, options.Outputs = LogSettings(files, config)
	out, err := logging.Open(options)
	env := files.Environment
	switch {
	case err == nil:
		return out, nil
	case env.LogOutputs != "" || env.LogFilters != "":
		return nil, fmt.Errorf("environment variables LIBVIRT_LOG_*: %w", err)
	case config.Given("log_outputs"):
		return nil, config.Rejected("log_outputs", err)
	}
	return nil, err
}

// NewConfiguration keeps what was loaded.
func NewConfiguration(files Files, daemon settings.Daemon, driver settings.Driver, log *slog.Logger) *Configuration {
	return &Configuration{files: files, log: log, daemon: daemon, driver: driver}
}

// Authenticates says whether clients of a socket have to authenticate.
func (c *Configuration) Authenticates(readOnly bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if readOnly {
		return c.daemon.AuthUnixRO == settings.AuthPolkit
	}
	return c.daemon.AuthUnixRW == settings.AuthPolkit
}

// SharesLog says whether controllers log where the daemon does.
func (c *Configuration) SharesLog() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.driver.LogWithDaemon
}

// ShutdownTimeout is how long containers have when the host goes down.
func (c *Configuration) ShutdownTimeout() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.driver.ShutdownTimeout
}

// LogSettings is how to log: the command line counts before the environment, and
// that before the file.
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
// daemon runs. A bad file changes nothing.
func (c *Configuration) Reload(servers *Servers, log *logging.Log, obey Obey) error {
	daemon, driver, notices, err := Load(c.files)
	if err != nil {
		return err
	}
	Tell(c.log, notices)
	c.mu.Lock()
	oldDaemon, oldDriver := c.daemon, c.driver
	c.mu.Unlock()
	live, later := settings.DifferDaemon(oldDaemon, daemon)
	more, evenLater := settings.DifferDriver(oldDriver, driver)
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
// administrator set meanwhile stays otherwise.
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

// Tell logs what was noticed while reading files.
func Tell(log *slog.Logger, notices []settings.Notice) {
	for _, notice := range notices {
		log.Warn("configuration: " + notice.String())
	}
}
