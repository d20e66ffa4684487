package front

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/logging"
	"virtlxcd/adapters/settings"
)

func TestPrioritiesOfTheFileAreLevels(t *testing.T) {
	for priority, want := range map[uint]slog.Level{
		0: slog.LevelWarn, 1: slog.LevelDebug, 2: slog.LevelInfo, 3: slog.LevelWarn, 4: slog.LevelError,
	} {
		config := settings.DefaultDaemon()
		config.LogLevel = priority
		level, _, _ := LogSettings(Files{}, config)
		assert.Equal(t, want, level, "%d", priority)
	}
}

func TestWhoIsBlamedForALogThatCannotBeHad(t *testing.T) {
	const nowhere = "1:file:/nowhere/at/all"
	for name, row := range map[string]struct {
		file        string
		environment settings.Environment
		want        string // the beginning of the error, CONF for the file's path
	}{
		"the file": {`log_outputs = "` + nowhere + `"`, settings.Environment{}, "CONF:1: value for 'log_outputs' parameter: "},
		"the file, though the environment says how to filter": {
			`log_outputs = "` + nowhere + `"`, settings.Environment{LogFilters: "1:rpc"}, "CONF:1: value for 'log_outputs' parameter: ",
		},
		"the environment's outputs": {
			`log_outputs = "1:stderr"`, settings.Environment{LogOutputs: nowhere}, "environment variable LIBVIRT_LOG_OUTPUTS: ",
		},
		"the environment's filters": {
			`log_filters = "1:rpc"`, settings.Environment{LogFilters: "x", LogOutputs: "1:stderr"}, "environment variable LIBVIRT_LOG_FILTERS: ",
		},
	} {
		files := Files{Daemon: filepath.Join(t.TempDir(), "virtlxcd.conf"), Driver: "/nowhere/lxc.conf", Environment: row.environment}
		write(t, files.Daemon, row.file)
		config, _, _, err := Load(files)
		require.NoError(t, err, name)
		_, err = OpenLog(files, config, logging.Options{Stderr: &bytes.Buffer{}})
		require.Error(t, err, name)
		text := strings.ReplaceAll(err.Error(), files.Daemon, "CONF")
		assert.True(t, strings.HasPrefix(text, row.want), "%s: %s", name, text)
	}
}

// TestDefaultLogThatCannotBeHad: nobody asked for it, so nobody is named but the file.
func TestDefaultLogThatCannotBeHad(t *testing.T) {
	_, err := OpenLog(Files{}, settings.DefaultDaemon(), logging.Options{
		Background: true, File: "/proc/nowhere/virtlxcd.log", Journal: "/nowhere/journal",
	})
	assert.ErrorContains(t, err, "failed to open /proc/nowhere/virtlxcd.log")
	assert.NotContains(t, err.Error(), "LIBVIRT_LOG")
}

func TestLoadNamesTheKeyOfABadLogSetting(t *testing.T) {
	dir := t.TempDir()
	files := Files{Daemon: filepath.Join(dir, "virtlxcd.conf"), Driver: filepath.Join(dir, "lxc.conf"), Required: true}
	_, _, _, err := Load(files)
	require.ErrorContains(t, err, files.Daemon, "it was asked for")
	for text, want := range map[string]string{
		"\nlog_filters = \"9:x\"":       ":2: value for 'log_filters' parameter: Invalid priority '9'",
		"\n\nlog_outputs = \"1:paper\"": ":3: value for 'log_outputs' parameter: Invalid log destination 'paper'",
	} {
		write(t, files.Daemon, text)
		_, _, _, err := Load(files)
		assert.ErrorContains(t, err, files.Daemon+want)
		var out bytes.Buffer
		require.Error(t, Check(settings.PathsBelow(""), files, &out))
		assert.Contains(t, out.String(), files.Daemon+want, "a check says the same")
	}
}

// TestNoticesOfBothFilesAreTold, also when the second one is bad.
func TestNoticesOfBothFilesAreTold(t *testing.T) {
	dir := t.TempDir()
	files := Files{Daemon: filepath.Join(dir, "virtlxcd.conf"), Driver: filepath.Join(dir, "lxc.conf")}
	write(t, files.Daemon, "one = 1")
	write(t, files.Driver, "two = 2\nmachined = 3")
	_, _, notices, err := Load(files)
	require.ErrorContains(t, err, "lxc.conf:2")
	var said bytes.Buffer
	Tell(slog.New(slog.NewTextHandler(&said, nil)), notices)
	assert.Contains(t, said.String(), "virtlxcd.conf:1: 'one' is not a key")
	assert.Contains(t, said.String(), "lxc.conf:1: 'two' is not a key")
}

// TestWaitingSettings: what needs a restart is named at every reload until the file
// says again what the daemon was started with; until then the old value counts.
func TestWaitingSettings(t *testing.T) {
	s := newStage(t)
	reload := func(text, driver string) string {
		s.said.Reset()
		write(t, s.files.Daemon, text)
		write(t, s.files.Driver, driver)
		require.NoError(t, s.reload())
		_, waiting, found := strings.Cut(s.said.String(), `changed settings need a restart of the daemon" keys=`)
		if !found {
			return ""
		}
		return strings.TrimSpace(strings.Split(waiting, "\n")[0])
	}
	const closed = "auth_unix_ro = \"none\"\n"
	assert.Equal(t, "auth_unix_ro", reload(closed, ""))
	assert.Equal(t, "auth_unix_ro", reload(closed, ""), "it still waits")
	assert.Equal(t, `"auth_unix_ro machined"`, reload(closed, "machined = 0"))
	assert.True(t, s.config.Authenticates(true), "the old value counts")
	assert.True(t, s.config.Authenticates(false))
	assert.Equal(t, "machined", reload("auth_unix_ro = \"polkit\"\n", "machined = 0"))
	assert.Empty(t, reload("", ""), "as it was started")
}

func TestReloadOfTheSameSaysNothing(t *testing.T) {
	s := newStage(t)
	write(t, s.files.Daemon, "max_clients = 77\nlog_level = 1")
	require.NoError(t, s.reload())
	assert.Contains(t, s.said.String(), `changed settings are in force" keys="max_clients log_level"`)
	assert.True(t, s.log.Enabled(t.Context(), slog.LevelDebug))
	s.said.Reset()
	require.NoError(t, s.reload())
	assert.NotContains(t, s.said.String(), "changed")
}

// TestReloadUnderAnEnvironment: what the environment says goes on to count.
func TestReloadUnderAnEnvironment(t *testing.T) {
	s := newStage(t)
	s.config.files.Environment = settings.Environment{LogLevel: 4, LogFilters: "1:env", LogOutputs: "1:stderr"}
	write(t, s.files.Daemon, "log_level = 1\nlog_filters = \"1:file\"\nlog_outputs = \"1:file:"+filepath.Join(t.TempDir(), "x")+"\"")
	require.NoError(t, s.reload())
	outputs, _ := s.log.Outputs()
	assert.NotContains(t, outputs, "file")
	assert.False(t, s.log.Enabled(t.Context(), slog.LevelDebug))
}
