package daemon

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
)

// prefixed has the text as its virtlxcd.conf.
func prefixed(t *testing.T, text string) Config {
	t.Helper()
	config := Config{Prefix: t.TempDir(), Stderr: io.Discard}
	path := config.paths().DaemonConfig
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return config
}

func TestFilesThatAreRead(t *testing.T) {
	files, err := Config{}.files()
	require.NoError(t, err)
	assert.Equal(t, "/etc/libvirt/virtlxcd.conf", files.Daemon)
	assert.Equal(t, "/etc/libvirt/lxc.conf", files.Driver)
	assert.False(t, files.Required, "the usual one may be missing")

	files, err = Config{Prefix: "/srv/vlx", ConfigFile: "/tmp/own.conf", Verbose: true}.files()
	require.NoError(t, err)
	assert.Equal(t, "/tmp/own.conf", files.Daemon)
	assert.Equal(t, "/srv/vlx/etc/libvirt/lxc.conf", files.Driver)
	assert.True(t, files.Required, "one that was asked for has to exist")
	assert.True(t, files.Verbose)
}

// TestPathsAreOfWhereTheyWereGiven: nothing of them changes when the working directory
// does; what was not given stays so.
func TestPathsAreOfWhereTheyWereGiven(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	t.Chdir(dir)
	none, own := "", "run/../own.pid"
	config := Config{Prefix: "p", ConfigFile: "/etc/x.conf", PIDFile: &own}
	require.NoError(t, config.absolute())
	assert.Equal(t, filepath.Join(dir, "p"), config.Prefix)
	assert.Equal(t, "/etc/x.conf", config.ConfigFile)
	assert.Equal(t, filepath.Join(dir, "own.pid"), *config.PIDFile)

	config = Config{PIDFile: &none}
	require.NoError(t, config.absolute())
	assert.Empty(t, config.Prefix+config.ConfigFile+*config.PIDFile)
}

func TestCheckConfig(t *testing.T) {
	var out bytes.Buffer
	config := prefixed(t, "max_clients = 1\n\nmax_workers = none\n")
	require.Error(t, CheckConfig(config, &out))
	assert.Contains(t, out.String(), "virtlxcd.conf:3: ")

	out.Reset()
	config = prefixed(t, "max_workers = 2\nmin_workers = 1\n")
	require.NoError(t, CheckConfig(config, &out))
	assert.Contains(t, out.String(), "virtlxcd.conf: ok\n")
	assert.Contains(t, out.String(), "lxc.conf: does not exist")

	t.Setenv("LIBVIRT_DEBUG", "often")
	require.ErrorContains(t, CheckConfig(config, &out), "LIBVIRT_DEBUG")
}

// TestStartsThatAreRefused: each names what is wrong, the service manager is told, and
// nothing is left below the prefix that would say a daemon runs.
func TestStartsThatAreRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: others are refused before")
	}
	address := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	require.NoError(t, err)
	defer manager.Close()
	nowhere := "/proc/nowhere/x.pid"
	for name, row := range map[string]struct {
		text        string
		environment map[string]string
		change      func(*Config)
		want        string
	}{
		"syntax":           {text: "max_clients 5", want: "virtlxcd.conf:1: expecting an assignment"},
		"a value":          {text: "max_clients = 5\nlog_level = 9", want: "virtlxcd.conf:2: value for 'log_level'"},
		"no such file":     {change: func(c *Config) { c.ConfigFile = "/nowhere/x.conf" }, want: "/nowhere/x.conf"},
		"a log":            {text: `log_outputs = "1:file:/nowhere/x"`, want: "failed to open /nowhere/x"},
		"LIBVIRT_DEBUG":    {environment: map[string]string{"LIBVIRT_DEBUG": "0"}, want: "LIBVIRT_DEBUG"},
		"a pid file":       {change: func(c *Config) { c.PIDFile = &nowhere }, want: nowhere},
		"more descriptors": {environment: passed("5"), want: "LISTEN_FDNAMES has 0 names for 5 descriptors"},
		"negative":         {environment: passed("-1"), want: "LISTEN_FDS '-1' is not a number of descriptors"},
	} {
		t.Run(name, func(t *testing.T) {
			for variable, value := range row.environment {
				t.Setenv(variable, value)
			}
			t.Setenv("NOTIFY_SOCKET", address)
			config := prefixed(t, row.text)
			if row.change != nil {
				row.change(&config)
			}
			err := Run(t.Context(), config)
			require.ErrorContains(t, err, row.want)
			text := make([]byte, 4096)
			n, err := manager.Read(text)
			require.NoError(t, err)
			assert.True(t, strings.HasPrefix(string(text[:n]), "STATUS="), "%s", text[:n])
			assert.Contains(t, string(text[:n]), row.want)
			assert.NoFileExists(t, config.paths().PIDFile)
			assert.NoFileExists(t, config.paths().Socket)
		})
	}
}

// passed is the environment of a service manager that passes count descriptors without
// names. It never gets as far as to use one: the numbers belong to this test's runtime.
func passed(count string) map[string]string {
	return map[string]string{"LISTEN_PID": strconv.Itoa(os.Getpid()), "LISTEN_FDS": count}
}

// TestBannersSayWhichDaemonLogs: programs that read logs look for the first line.
func TestBannersSayWhichDaemonLogs(t *testing.T) {
	lines := banner()
	require.Len(t, lines, 2)
	assert.Regexp(t, `^libvirt version: \d+\.\d+\.\d+, package: `, lines[0])
	assert.Equal(t, "hostname: ", lines[1][:10])
	assert.Contains(t, lines[0], Version())
}

func TestPIDFileOfTheDaemon(t *testing.T) {
	in := below(t, "", "")
	release, err := in.lock()
	require.NoError(t, err)
	assert.FileExists(t, in.paths.PIDFile)
	release()
	assert.NoFileExists(t, in.paths.PIDFile)

	own := filepath.Join(t.TempDir(), "deep", "own.pid")
	in.config.PIDFile = &own
	release, err = in.lock()
	require.NoError(t, err)
	assert.FileExists(t, own)
	assert.NoFileExists(t, in.paths.PIDFile)
	release()

	none := ""
	in.config.PIDFile = &none
	release, err = in.lock()
	require.NoError(t, err)
	release()
	assert.NoFileExists(t, in.paths.PIDFile)

	fifo := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, unix.Mkfifo(fifo, 0o600))
	in.config.PIDFile = &fifo
	_, err = in.lock()
	require.ErrorIs(t, err, fault.InvalidArgument)
}
