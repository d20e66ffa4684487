package settings

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
)

func write(t *testing.T, name, content string) string {
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestLoad(t *testing.T) {
	path := write(t, "virtlxcd.conf", "max_clients = 77\nx=1\n")
	d, notices, err := LoadDaemon(path, true)
	require.NoError(t, err)
	assert.EqualValues(t, 77, d.MaxClients)
	require.Len(t, notices, 1)
	assert.Equal(t, path+":2: 'x' is not a key that virtlxcd knows: it has no effect", notices[0].String())

	bad := write(t, "bad.conf", "max_clients = 'x'\ny=1")
	_, notices, err = LoadDaemon(bad, true)
	assert.EqualError(t, err, bad+":1: expected an unsigned integer for 'max_clients' parameter")
	assert.Len(t, notices, 1, "with an error, too")
	var single *fault.Error
	require.ErrorAs(t, err, &single)

	path = write(t, "lxc.conf", "machined = 0")
	driver, notices, err := LoadDriver(path, true)
	require.NoError(t, err)
	assert.Empty(t, notices)
	assert.False(t, driver.Machined)
	_, _, err = LoadDriver(bad+"/x", false)
	assert.ErrorIs(t, err, unix.ENOTDIR)
}

func TestLoadWithoutAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "absent.conf")
	d, notices, err := LoadDaemon(path, false)
	require.NoError(t, err)
	assert.Empty(t, notices)
	now, later := DifferDaemon(DefaultDaemon(), d)
	assert.Empty(t, append(now, later...))
	driver, _, err := LoadDriver(path, false)
	require.NoError(t, err)
	assert.Equal(t, DefaultDriver().ShutdownTimeout, driver.ShutdownTimeout)

	_, _, err = LoadDaemon(path, true)
	assert.EqualError(t, err, "cannot read configuration file '"+path+"': no such file or directory")
	assert.ErrorIs(t, err, fault.System)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	_, _, err = LoadDriver(path, true)
	assert.ErrorIs(t, err, fs.ErrNotExist)
}

// TestWhatIsNoFile: none of these may block or be read without end.
func TestWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	pipe, large, loop, exact := filepath.Join(dir, "pipe"), filepath.Join(dir, "large"), filepath.Join(dir, "loop"), filepath.Join(dir, "exact")
	require.NoError(t, unix.Mkfifo(pipe, 0o600))
	require.NoError(t, os.Symlink(loop, loop))
	require.NoError(t, os.WriteFile(large, nil, 0o600))
	require.NoError(t, os.Truncate(large, 1<<40))
	require.NoError(t, os.WriteFile(exact, bytes.Repeat([]byte{'\n'}, maxFileSize), 0o600))
	for path, want := range map[string]string{
		dir:         "is not a regular file",
		pipe:        "is not a regular file",
		"/dev/zero": "is not a regular file",
		loop:        "too many levels of symbolic links",
		large:       "is larger than 10 MiB",
	} {
		_, _, err := LoadDaemon(path, true)
		assert.ErrorContains(t, err, want, path)
		assert.ErrorContains(t, err, "'"+path+"'")
	}
	for _, path := range []string{os.DevNull, exact} {
		_, notices, err := LoadDaemon(path, true)
		assert.NoError(t, err, path)
		assert.Empty(t, notices)
	}
	zero, err := os.Open("/dev/zero") // stands for a file that grows while it is read
	require.NoError(t, err)
	defer zero.Close()
	_, err = readOpen(zero, os.DevNull)
	assert.ErrorContains(t, err, "is larger than 10 MiB")
}

// TestDefaultFiles: each file shows every key once, with its real default, and
// nothing else.
func TestDefaultFiles(t *testing.T) {
	checkDefaults(t, "virtlxcd.conf", names(daemonKeys), func(t *testing.T, file string) []string {
		d, notices, problems := parseDaemon([]byte(file), "f")
		require.Empty(t, problems, file)
		for _, n := range notices {
			assert.Contains(t, n.Text, "has no effect in virtlxcd", file)
		}
		for _, k := range daemonKeys {
			before := DefaultDaemon()
			assert.True(t, k.same(&before, &d), "%s does not show the default of %s", file, k.name)
		}
		return given(daemonKeys, d.Given)
	})
	checkDefaults(t, "lxc.conf", names(driverKeys), func(t *testing.T, file string) []string {
		d, notices, problems := parseDriver([]byte(file), "f")
		require.Empty(t, problems, file)
		assert.Empty(t, notices, file)
		for _, k := range driverKeys {
			before := DefaultDriver()
			assert.True(t, k.same(&before, &d), "%s does not show the default of %s", file, k.name)
		}
		return given(driverKeys, d.Given)
	})
}

func names[T any](keys []key[T]) (all []string) {
	for _, k := range keys {
		all = append(all, k.name)
	}
	return all
}

func given[T any](keys []key[T], given func(string) bool) (all []string) {
	for _, k := range keys {
		if given(k.name) {
			all = append(all, k.name)
		}
	}
	return all
}

// setting is what looks like one in the default files; prose has a blank behind
// the #.
var setting = regexp.MustCompile(`^#([A-Za-z]\w*) *=`)

func checkDefaults(t *testing.T, name string, keys []string, load func(t *testing.T, file string) []string) {
	data, err := DefaultFiles.ReadFile("defaults/" + name)
	require.NoError(t, err)
	assert.Empty(t, load(t, string(data)), "as shipped, nothing is set")
	var seen, settings []string
	for number, line := range strings.Split(string(data), "\n") {
		assert.LessOrEqual(t, len(line), 80, "%s:%d", name, number+1)
		found := setting.FindStringSubmatch(line)
		if found == nil {
			assert.Regexp(t, `^(# .*|#|)$`, line, "%s:%d", name, number+1)
			continue
		}
		seen = append(seen, found[1])
		settings = append(settings, line[1:])
		assert.Equal(t, []string{found[1]}, load(t, line[1:]))
	}
	assert.ElementsMatch(t, keys, seen)
	load(t, strings.Join(settings, "\n"))
}

func TestCheck(t *testing.T) {
	good := write(t, "good.conf", "log_level = 1\nfoo = 1")
	bad := write(t, "bad.conf", "max_workers = 0\nlog_level = 9\nfoo = 1")
	broken := write(t, "broken.conf", "max_workers = 0\nlog_level 9\nfoo = ")
	driver := write(t, "lxc.conf", "machined = 1")
	worse := write(t, "worse.conf", "machined = 2; security_driver = 'x'")
	absent := filepath.Join(t.TempDir(), "absent.conf")
	refuse := func(d *Daemon) error { return d.Rejected("log_level", errors.New("never heard of")) }
	accept := func(*Daemon) error { return nil }
	const unknown = "'foo' is not a key that virtlxcd knows: it has no effect\n"
	for _, test := range []struct {
		daemon, driver string
		further        []func(*Daemon) error
		want           string
		problems       string
	}{
		{good, driver, nil, "notice: GOOD:2: " + unknown + "GOOD: ok\nDRIVER: ok\n", ""},
		{good, driver, []func(*Daemon) error{accept}, "notice: GOOD:2: " + unknown + "GOOD: ok\nDRIVER: ok\n", ""},
		{good, driver, []func(*Daemon) error{refuse, accept}, "notice: GOOD:2: " + unknown +
			"error: GOOD:1: value for 'log_level' parameter: never heard of\nDRIVER: ok\n", "1"},
		{bad, worse, []func(*Daemon) error{refuse}, "notice: BAD:3: " + unknown +
			"error: BAD:1: value for 'max_workers' parameter must be in range 1:4294967295\n" +
			"error: BAD:2: value for 'log_level' parameter must be in range 0:4\n" +
			"error: WORSE:1: value for 'machined' parameter must be 0 or 1\n" +
			"error: WORSE:1: unknown security driver \"x\" in 'security_driver' parameter; known are \"none\", \"selinux\" and \"apparmor\"\n", "4"},
		{broken, driver, nil, "error: configuration file syntax error: BROKEN:2: expecting an assignment\nDRIVER: ok\n", "1"},
		{absent, driver, nil, "error: cannot read configuration file 'ABSENT': no such file or directory\nDRIVER: ok\n", "1"},
	} {
		var out bytes.Buffer
		err := Check(PathsBelow(""), test.daemon, test.driver, &out, test.further...)
		if test.problems == "" {
			assert.NoError(t, err)
		} else {
			assert.EqualError(t, err, "problems found in the configuration: "+test.problems)
		}
		shown := strings.NewReplacer(good, "GOOD", bad, "BAD", broken, "BROKEN", driver, "DRIVER", worse, "WORSE", absent, "ABSENT").Replace(out.String())
		assert.Equal(t, test.want, shown)
	}
}

func TestCheckOfFilesNobodyAskedFor(t *testing.T) {
	usual := PathsBelow(t.TempDir())
	var out bytes.Buffer
	require.NoError(t, Check(usual, usual.DaemonConfig, usual.DriverConfig, &out))
	assert.Equal(t, usual.DaemonConfig+": does not exist, the defaults count\n"+
		usual.DriverConfig+": does not exist, the defaults count\n", out.String())
}

type deaf struct{}

func (deaf) Write([]byte) (int, error) { return 0, unix.ENOSPC }

func TestCheckThatCannotBeShown(t *testing.T) {
	good := write(t, "good.conf", "")
	assert.ErrorIs(t, Check(PathsBelow(""), good, good, deaf{}), unix.ENOSPC)
}

func TestEnvironment(t *testing.T) {
	for word, want := range map[string]uint{
		"": 0, "1": 1, "debug": 1, "2": 2, "info": 2, "3": 3, "warning": 3, "4": 4, "error": 4,
	} {
		environment := map[string]string{"LIBVIRT_DEBUG": word, "LIBVIRT_LOG_FILTERS": "1:x", "LIBVIRT_LOG_OUTPUTS": "1:stderr"}
		got, err := FromEnvironment(func(name string) string { return environment[name] })
		require.NoError(t, err, word)
		assert.Equal(t, Environment{LogLevel: want, LogFilters: "1:x", LogOutputs: "1:stderr"}, got)
	}
	for _, word := range []string{"0", "5", "DEBUG", "yes", " 1", "warn"} {
		_, err := FromEnvironment(func(string) string { return word })
		assert.ErrorIs(t, err, fault.InvalidArgument)
		assert.ErrorContains(t, err, `value "`+word+`" of LIBVIRT_DEBUG`)
	}
}
