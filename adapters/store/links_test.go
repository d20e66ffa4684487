package store

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// TestSavingReplacesALink: an administrator's file elsewhere is read, and never written:
// its owner, mode and other names are not ours to know.
func TestSavingReplacesALink(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	elsewhere := filepath.Join(t.TempDir(), "web")
	original := encode(definition("web"))
	require.NoError(t, os.WriteFile(elsewhere, []byte(original), 0o644))
	require.NoError(t, os.MkdirAll(s.paths.Config, 0o755))
	require.NoError(t, os.Symlink(elsewhere, s.configPath("web")))
	require.Len(t, load(t, s), 1)

	changed := definition("web")
	changed.Memory *= 2
	require.NoError(t, s.SaveDefinition(ctx, changed))
	assert.Equal(t, os.FileMode(0o600), mode(t, s.configPath("web")), "a file of its own")
	text, err := os.ReadFile(elsewhere)
	require.NoError(t, err)
	assert.Equal(t, original, string(text))
	assert.Equal(t, changed.Memory, load(t, s)[0].Config.Memory)

	require.NoError(t, os.Remove(s.configPath("web")))
	require.NoError(t, os.Symlink(elsewhere, s.configPath("web")))
	require.NoError(t, s.RemoveDefinition(ctx, "web"))
	assert.FileExists(t, elsewhere, "only the link is removed")
}

// TestMarksThatAreNoLinksOfOurs: only what leads to the definition starts a container
// with the host, and switching it off removes whatever is there.
func TestMarksThatAreNoLinksOfOurs(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	require.NoError(t, s.SaveDefinition(ctx, definition("web")))
	require.NoError(t, s.SaveDefinition(ctx, definition("other")))
	require.NoError(t, os.MkdirAll(s.paths.Autostart, 0o755))
	for name, make := range map[string]func(path string) error{
		"a copy":          func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) },
		"to nowhere":      func(path string) error { return os.Symlink("/nowhere", path) },
		"to another":      func(path string) error { return os.Symlink(s.configPath("other"), path) },
		"to itself":       func(path string) error { return os.Symlink(path, path) },
		"a relative link": func(path string) error { return os.Symlink("../web.xml", path) },
	} {
		require.NoError(t, make(s.linkPath("web")), name)
		for _, one := range load(t, s) {
			assert.Equal(t, one.Config.Name == "web" && name == "a relative link", one.Autostart, name)
		}
		require.NoError(t, s.SetAutostart(ctx, "web", false), name)
		_, err := os.Lstat(s.linkPath("web"))
		assert.ErrorIs(t, err, os.ErrNotExist, name)
	}
}

// endingCodec ends the context with the first document.
type endingCodec struct {
	jsonCodec
	end context.CancelFunc
}

func (c endingCodec) ParseStored(document string) (*container.Definition, ports.Drawn, error) {
	c.end()
	return c.jsonCodec.ParseStored(document)
}

func TestLoadEndsWithItsContext(t *testing.T) {
	s := newStore(t)
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		require.NoError(t, s.SaveDefinition(t.Context(), definition(name)))
	}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	s.codec = endingCodec{end: end}
	stored, err := s.Load(ctx, func(path string, err error) { t.Error("damaged", path, err) })
	require.ErrorIs(t, err, fault.Aborted)
	assert.Empty(t, stored, "part of it is not all of it")
}

func TestDirectoriesThatCannotBeListed(t *testing.T) {
	for _, of := range []func(*Store) *string{
		func(s *Store) *string { return &s.paths.Config },
		func(s *Store) *string { return &s.paths.State },
	} {
		s := newStore(t)
		path := of(s)
		lock := *path
		*path = touch(t, filepath.Join(t.TempDir(), "file"))
		_, err := s.Load(t.Context(), func(string, error) {})
		require.ErrorIs(t, err, fault.System)
		assert.ErrorContains(t, err, *path)
		*path = lock
	}
}

// TestFilesThatGrowWhileTheyAreRead are bounded all the same.
func TestFilesThatGrowWhileTheyAreRead(t *testing.T) {
	exact := strings.Repeat("x", 100)
	text, err := readBounded(strings.NewReader(exact), 10)
	require.NoError(t, err)
	assert.Equal(t, exact, text)
	_, err = readBounded(bytes.NewReader(make([]byte, maxDocument)), 0)
	require.NoError(t, err)
	_, err = readBounded(bytes.NewReader(make([]byte, maxDocument+1)), 0)
	require.ErrorIs(t, err, errTooLarge)
}

// TestDriverIsANameLikeOthers: its pid file would be the daemon's lock, so it has none.
func TestDriverIsANameLikeOthers(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	require.NoError(t, s.SaveStatus(ctx, status("driver")))
	own, err := os.ReadFile(filepath.Join(s.paths.State, driverPID))
	require.NoError(t, err)
	assert.NotEqual(t, "4711", string(own))
	require.Len(t, load(t, s), 1)
	require.NoError(t, s.RemoveStatus(ctx, "driver"))
	assert.FileExists(t, filepath.Join(s.paths.State, driverPID), "the lock stays")
}
