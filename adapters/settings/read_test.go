package settings

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
)

// TestFilesThatAreNone: nothing that is not a plain file is taken for a configuration,
// and none of it holds up the daemon.
func TestFilesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	fifo, loop, under := filepath.Join(dir, "fifo"), filepath.Join(dir, "loop"), filepath.Join(dir, "file", "x.conf")
	require.NoError(t, unix.Mkfifo(fifo, 0o600))
	require.NoError(t, os.Symlink(loop, loop))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	for path, want := range map[string]string{
		dir:         "is not a regular file",
		fifo:        "is not a regular file",
		"/dev/zero": "is not a regular file",
		loop:        "too many levels of symbolic links",
		under:       "not a directory",
		"":          "no such file",
	} {
		_, _, err := LoadDaemon(path, true)
		require.ErrorContains(t, err, want, path)
		assert.Equal(t, 1, strings.Count(err.Error(), "'"+path+"'"), "named, and once: %s", err)
	}
	for _, path := range []string{dir, fifo, loop, under} {
		_, _, err := LoadDriver(path, false)
		assert.Error(t, err, "%s is there, so it counts though it need not be", path)
	}
}

func TestLinksToConfigurations(t *testing.T) {
	dir := t.TempDir()
	real, link, dangling := filepath.Join(dir, "real"), filepath.Join(dir, "link"), filepath.Join(dir, "dangling")
	require.NoError(t, os.WriteFile(real, []byte("max_clients = 77"), 0o600))
	require.NoError(t, os.Symlink(real, link))
	require.NoError(t, os.Symlink("/nowhere/at/all", dangling))
	d, _, err := LoadDaemon(link, true)
	require.NoError(t, err)
	assert.EqualValues(t, 77, d.MaxClients)
	assert.ErrorContains(t, d.Rejected("max_clients", fs.ErrInvalid), link+":1: ", "errors name the path that was given")

	_, _, err = LoadDaemon(dangling, true)
	require.ErrorIs(t, err, unix.ENOENT)
	d, _, err = LoadDaemon(dangling, false)
	require.NoError(t, err)
	assert.Equal(t, DefaultDaemon().MaxClients, d.MaxClients)
	usual := PathsBelow(dir)
	usual.DaemonConfig, usual.DriverConfig = dangling, dangling
	var out bytes.Buffer
	require.NoError(t, Check(usual, dangling, dangling, &out))
	assert.Equal(t, strings.Repeat(dangling+": does not exist, the defaults count\n", 2), out.String(),
		"a link that leads nowhere is no file that is fine")
}

// TestNoConfigurationOnPurpose: /dev/null is a way to say so.
func TestNoConfigurationOnPurpose(t *testing.T) {
	d, notices, err := LoadDaemon(os.DevNull, true)
	require.NoError(t, err)
	assert.Empty(t, notices)
	assert.Equal(t, DefaultDaemon().MaxClients, d.MaxClients)
}

func TestSizeOfFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "big.conf")
	text := []byte("max_clients = 77\n" + strings.Repeat("#", maxFileSize))
	require.NoError(t, os.WriteFile(path, text[:maxFileSize], 0o600))
	d, _, err := LoadDaemon(path, true)
	require.NoError(t, err)
	assert.EqualValues(t, 77, d.MaxClients)
	require.NoError(t, os.WriteFile(path, text[:maxFileSize+1], 0o600))
	_, _, err = LoadDaemon(path, true)
	require.ErrorIs(t, err, fault.InvalidArgument)
	require.ErrorContains(t, err, "larger than 10 MiB")
	require.NoError(t, os.Truncate(path, 1<<40)) // takes no room, and is not read
	_, _, err = LoadDaemon(path, true)
	require.ErrorContains(t, err, "larger than 10 MiB")
}

// TestLimitsOfNumbers: every key that is a number takes its lowest and highest value and
// refuses what lies beside them.
func TestLimitsOfNumbers(t *testing.T) {
	const most = "4294967295"
	for key, bounds := range map[string]struct{ low, below, high, above string }{
		"max_clients":              {"20", "0", most, "4294967296"}, // 20: max_anonymous_clients
		"max_queued_clients":       {"0", "-1", most, "4294967296"},
		"max_anonymous_clients":    {"0", "-1", "5000", "5001"},
		"min_workers":              {"0", "-1", "20", "21"},
		"max_workers":              {"1", "0", most, "4294967296"},
		"prio_workers":             {"0", "-1", most, "4294967296"},
		"max_client_requests":      {"1", "0", most, "4294967296"},
		"keepalive_interval":       {"-2147483648", "-2147483649", "2147483647", "2147483648"},
		"keepalive_count":          {"0", "-1", most, "4294967296"},
		"admin_min_workers":        {"0", "-1", "20", "21"},
		"admin_max_workers":        {"1", "0", most, "4294967296"},
		"admin_max_clients":        {"1", "0", most, "4294967296"},
		"admin_max_queued_clients": {"0", "-1", most, "4294967296"},
		"admin_keepalive_interval": {"-2147483648", "-2147483649", "2147483647", "2147483648"},
		"log_level":                {"0", "-1", "4", "5"},
		"audit_level":              {"0", "-1", "2", "3"},
		"audit_logging":            {"0", "-1", "1", "2"},
		"ovs_timeout":              {"0", "-1", most, "4294967296"},
		"unix_sock_ro_perms":       {`"0"`, `"-1"`, `"0777"`, `"1000"`},
		"unix_sock_rw_perms":       {`"0000"`, `"+7"`, `"777"`, `"07770"`},
		"unix_sock_admin_perms":    {`"00000000"`, `""`, `"000777"`, `"0o77"`},
	} {
		for _, good := range []string{bounds.low, bounds.high} {
			_, _, problems := parseDaemon([]byte(key+" = "+good), "f")
			assert.Empty(t, problems, "%s = %s", key, good)
		}
		for _, bad := range []string{bounds.below, bounds.above, "18446744073709551616"} {
			_, _, problems := parseDaemon([]byte(key+" = "+bad), "f")
			if assert.Len(t, problems, 1, "%s = %s", key, bad) {
				assert.True(t, strings.HasPrefix(problems[0].Error(), "f:1: "), problems[0])
				assert.Contains(t, problems[0].Error(), "'"+key+"'")
			}
		}
	}
}

// TestLongestSocketDirectory: the longest name in it has to fit an address (unix(7)).
func TestLongestSocketDirectory(t *testing.T) {
	longest := "/" + strings.Repeat("d", longestSocketPath-len("//virtlxcd-admin-sock"))
	d, _, problems := parseDaemon([]byte(`unix_sock_dir = "`+longest+`/."`), "f")
	require.Empty(t, problems, "what a clean path has not does not count")
	assert.Equal(t, longest, d.UnixSockDir)
	_, _, problems = parseDaemon([]byte(`unix_sock_dir = "`+longest+`d"`), "f")
	require.Len(t, problems, 1)
	assert.ErrorContains(t, problems[0], "too long for the path of a socket")
}
