package logging

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
)

// rotated is a log in a file of its own, and what prints to it.
func rotated(t *testing.T) (l *Log, log *slog.Logger, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "daemon.log")
	l, _ = newTest(t, func(o *Options) { o.Outputs = "3:file:" + path })
	return l, slog.New(l), path
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

// TestRotationByCopyAndTruncate is what the package's logrotate file asks for.
func TestRotationByCopyAndTruncate(t *testing.T) {
	_, log, path := rotated(t)
	log.Error("before")
	require.NoError(t, os.Truncate(path, 0))
	log.Error("after")
	text := content(t, path)
	assert.NotContains(t, text, "before")
	assert.Equal(t, 1, strings.Count(text, "\n"))
	assert.NotContains(t, text, "\x00", "it goes on at the new end, without a hole")
}

// TestRotationByRenaming loses nothing, but goes on in the old file until somebody sets
// the outputs again.
func TestRotationByRenaming(t *testing.T) {
	l, log, path := rotated(t)
	log.Error("before")
	require.NoError(t, os.Rename(path, path+".1"))
	log.Error("between")
	assert.NoFileExists(t, path)
	require.NoError(t, l.SetOutputs("3:file:"+path))
	log.Error("after")
	assert.Equal(t, 2, strings.Count(content(t, path+".1"), "\n"))
	assert.Contains(t, content(t, path), "after")
	assert.NotContains(t, content(t, path), "between")
}

// TestAFileThatIsRemovedWithItsDirectory holds up nobody, and the same setting brings an
// error that leaves the log where it was.
func TestAFileThatIsRemovedWithItsDirectory(t *testing.T) {
	l, log, path := rotated(t)
	require.NoError(t, os.RemoveAll(filepath.Dir(path)))
	log.Error("nobody reads this")
	require.ErrorIs(t, l.SetOutputs("3:file:"+path), fault.System)
	text, n := l.Outputs()
	assert.Equal(t, "3:file:"+path, text)
	assert.Equal(t, 1, n)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, l.SetOutputs("3:file:"+path))
	log.Error("back")
	assert.Contains(t, content(t, path), "back")
}

// TestTheSameFileTwice: the later of two settings for a place counts, so no line of it
// comes twice.
func TestTheSameFileTwice(t *testing.T) {
	l, log, path := rotated(t)
	require.NoError(t, l.SetOutputs("1:file:"+path+" 4:file:"+filepath.Dir(path)+"/./daemon.log"))
	text, _ := l.Outputs()
	assert.Equal(t, "4:file:"+path, text)
	log.Warn("quiet")
	log.Error("loud")
	assert.Equal(t, 1, strings.Count(content(t, path), "\n"))
}

// TestWhatCannotBeALog names what was asked for, and why not.
func TestWhatCannotBeALog(t *testing.T) {
	l, _ := newTest(t, nil)
	dir := t.TempDir()
	loop := filepath.Join(dir, "loop")
	require.NoError(t, os.Symlink(loop, loop))
	for path, why := range map[string]string{
		dir:                                  "is a directory",
		loop:                                 "too many levels of symbolic links",
		dir + "/no/such":                     "no such file or directory",
		"/dev/null/x":                        "not a directory",
		dir + "/" + strings.Repeat("n", 256): "file name too long",
	} {
		err := l.SetOutputs("1:stderr 1:file:" + path)
		require.ErrorIs(t, err, fault.System, path)
		assert.ErrorContains(t, err, "failed to open "+path+": "+why)
	}
	text, _ := l.Outputs()
	assert.Equal(t, "3:stderr", text, "all or none")
}

func TestChecksOpenNothing(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, CheckOutputs("1:file:"+dir+"/x 2:journald 3:syslog:name 4:stderr"))
	require.NoError(t, CheckOutputs("1:file:/nowhere/at/all"))
	require.NoError(t, CheckOutputs(""))
	require.NoError(t, CheckFilters(""))
	require.NoError(t, CheckFilters(" 1:rpc  4:+util "))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
	require.ErrorIs(t, CheckOutputs("1:stderr 0:stderr"), fault.InvalidArgument)
	require.ErrorIs(t, CheckFilters("1:rpc 1:"), fault.InvalidArgument)
}
