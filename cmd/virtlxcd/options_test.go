package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWhatOptionsMean(t *testing.T) {
	o, _, err := parse([]string{"virtlxcd", "-vdt", "2147483", "-f", "a.conf", "--prefix=p", "--controller", "c"})
	require.NoError(t, err)
	assert.True(t, o.config.Verbose)
	assert.True(t, o.background)
	assert.True(t, o.config.Background, "a log of a terminal nobody sees is of no use")
	assert.Equal(t, 2147483*time.Second, o.config.Timeout)
	assert.Equal(t, "a.conf", o.config.ConfigFile)
	assert.Equal(t, "p", o.config.Prefix)
	assert.Equal(t, "c", o.config.Controller)
	assert.Nil(t, o.config.PIDFile, "the usual one")

	o, _, err = parse([]string{"virtlxcd", "-p", ""})
	require.NoError(t, err)
	require.NotNil(t, o.config.PIDFile, "none is not the usual one")
	assert.Empty(t, *o.config.PIDFile)
	assert.Zero(t, o.config.Timeout)
}

func TestWhatIsRefused(t *testing.T) {
	for line, want := range map[string]string{
		"--prefix=":               "--prefix needs the name of a directory", // a script's variable that is not set
		"--controller=":           "--controller needs the name of a program",
		"--config=":               "--config needs the name of a file",
		"--co x":                  "unknown flag: --co", // config or controller
		"--c":                     "unknown flag: --c",
		"--timeout 2147484":       "invalid value 2147484 for --timeout",
		"--timeout 1e3":           "invalid argument",
		"-t 99999999999999999999": "invalid argument",
		"--verbose=maybe":         "invalid argument",
		"-- -v":                   "unexpected argument '-v'",
		"-":                       "unexpected argument '-'",
		"-t 0 x y":                "unexpected argument 'x'",
		"--no-verbose":            "unknown flag: --no-verbose",
	} {
		_, _, err := parse(append([]string{"virtlxcd"}, strings.Fields(line)...))
		assert.ErrorContains(t, err, want, line)
	}
}

// TestHelpIsGivenToWhoIsLost: whatever else stands beside it.
func TestHelpIsGivenToWhoIsLost(t *testing.T) {
	for _, line := range []string{"-h", "--help", "--he", "-h -t -1", "--prefix= --help", "-V nonsense"} {
		o, _, err := parse(append([]string{"virtlxcd"}, strings.Fields(line)...))
		require.NoError(t, err, line)
		assert.True(t, o.help || o.version, line)
	}
}

func TestUniqueBeginningsOfOptions(t *testing.T) {
	for given, full := range map[string]string{"--conf": "config", "--cont": "controller", "--ch": "check-config", "--pi": "pid-file", "--pr": "prefix"} {
		args := []string{"virtlxcd", given + "=true"}
		_, flags, err := parse(args)
		require.NoError(t, err, given)
		assert.True(t, flags.Changed(full), given)
	}
}

// TestTheSameCommandLineElsewhere: the daemon in the background gets every option that
// was given, as it was meant, from another directory.
func TestTheSameCommandLineElsewhere(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	t.Chdir(dir)
	_, flags, err := parse([]string{"./virtlxcd", "-dv", "-t7", "--conf", "a b.conf", "-p", "", "--pre=/srv/p", "--controller", "../c"})
	require.NoError(t, err)
	again := spelledOut("./virtlxcd", flags)
	assert.Equal(t, "./virtlxcd", again[0], "the name is not a path to be found")
	t.Chdir(os.TempDir())
	o, _, err := parse(again)
	require.NoError(t, err)
	assert.True(t, o.background && o.config.Verbose)
	assert.Equal(t, 7*time.Second, o.config.Timeout)
	assert.Equal(t, filepath.Join(dir, "a b.conf"), o.config.ConfigFile)
	assert.Equal(t, "/srv/p", o.config.Prefix)
	assert.Equal(t, filepath.Join(filepath.Dir(dir), "c"), o.config.Controller)
	require.NotNil(t, o.config.PIDFile)
	assert.Empty(t, *o.config.PIDFile, "none is still none")
}

func TestUsageNamesEveryOption(t *testing.T) {
	_, flags, err := parse([]string{"virtlxcd"})
	require.NoError(t, err)
	var out bytes.Buffer
	usage(&out, "/usr/sbin/virtlxcd", flags)
	assert.Contains(t, out.String(), "\n  /usr/sbin/virtlxcd [options]\n")
	flags.VisitAll(func(f *pflag.Flag) { assert.Contains(t, out.String(), "--"+f.Name) })
	for _, path := range []string{"/etc/libvirt/virtlxcd.conf", "/etc/libvirt/lxc.conf", "/run/libvirt/virtlxcd-admin-sock", "/run/virtlxcd.pid"} {
		assert.Contains(t, out.String(), path)
	}
}

// FuzzParse: no command line panics, and one that is accepted means the same when it is
// spelled out, from whichever directory.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"-v", "-dvt3 --conf x", "--pid-file= -V", "--prefix\x00/a b", "-t\x00-0", "-p\x00-", "--timeout=0x10", "--", "-vh"} {
		f.Add(strings.ReplaceAll(seed, " ", "\x00"))
	}
	f.Fuzz(func(t *testing.T, line string) {
		o, flags, err := parse(append([]string{"virtlxcd"}, strings.Split(line, "\x00")...))
		if err != nil || o.help || o.version {
			return
		}
		require.True(t, 0 <= o.config.Timeout && o.config.Timeout <= maxTimeout*time.Second)
		again, _, err := parse(spelledOut("virtlxcd", flags))
		require.NoError(t, err)
		require.NoError(t, absolutely(&o.config.ConfigFile, &o.config.Prefix, &o.config.Controller, o.config.PIDFile))
		require.NoError(t, absolutely(&again.config.Controller))
		require.Equal(t, o, again)
	})
}

// absolutely does to paths that were given what the daemon does.
func absolutely(paths ...*string) error {
	for _, path := range paths {
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
