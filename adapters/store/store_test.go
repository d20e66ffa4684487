package store

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/lifecycle"
	"virtlxcd/ports"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("VLX_STORE_LOCK"); path != "" {
		holdLock(path)
		return
	}
	goleak.VerifyTestMain(m)
}

func newStore(t *testing.T) *Store {
	t.Helper()
	return openStore(t, t.TempDir())
}

func openStore(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := New(pathsBelow(dir), jsonCodec{}, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	s.disk = unflushed{osDisk{}}
	return s
}

// unflushed spares the device. TestFlushes shows that there would be flushes,
// the tests on a tiny disk make them.
type unflushed struct{ disk }

func (d unflushed) Create(path string, mode os.FileMode) (file, error) {
	f, err := d.disk.Create(path, mode)
	return unflushedFile{f}, err
}

func (unflushed) SyncDir(path string) error {
	_, err := os.Stat(path)
	return err
}

type unflushedFile struct{ file }

func (unflushedFile) Sync() error { return nil }

func pathsBelow(dir string) Paths {
	return Paths{
		Config:    filepath.Join(dir, "etc", "lxc"),
		Autostart: filepath.Join(dir, "etc", "lxc", "autostart"),
		State:     filepath.Join(dir, "run", "lxc"),
		Log:       filepath.Join(dir, "log", "lxc"),
	}
}

func definition(name string) *container.Definition {
	d := &container.Definition{Name: name, Memory: 1 << 20}
	copy(d.UUID[:], name)
	return d
}

func status(name string) *container.Status {
	return &container.Status{
		ID: 77, State: lifecycle.Running, Definition: definition(name), BootID: "b",
		Controller: container.Controller{PID: 4711, Start: 9}, InitPID: 4712,
	}
}

// load fails the test on damaged files.
func load(t *testing.T, s *Store) []ports.Stored {
	t.Helper()
	stored, damaged := loadAll(t, s)
	assert.Empty(t, damaged)
	return stored
}

func loadAll(t *testing.T, s *Store) ([]ports.Stored, map[string]error) {
	t.Helper()
	damaged := map[string]error{}
	stored, err := s.Load(context.Background(), func(path string, err error) {
		require.Error(t, err)
		damaged[filepath.Base(path)] = err
	})
	require.NoError(t, err)
	return stored, damaged
}

func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	require.NoError(t, err)
	return info.Mode()
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	names := []string{}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func TestFilesAndModes(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	ctx := context.Background()
	s := newStore(t)
	p := s.paths
	assert.NoDirExists(t, p.Config, "made on first use")
	require.NoError(t, s.SaveDefinition(ctx, definition("web")))
	require.NoError(t, s.SaveStatus(ctx, status("web")))
	require.NoError(t, s.SetAutostart(ctx, "web", true))
	first, err := s.FirstStartSinceBoot(ctx)
	require.NoError(t, err)
	assert.True(t, first)

	for path, want := range map[string]fs.FileMode{
		p.Config: fs.ModeDir | 0o755, p.Autostart: fs.ModeDir | 0o755, p.State: fs.ModeDir | 0o755, p.Log: fs.ModeDir | 0o755,
		p.Config + "/web.xml": 0o600, p.State + "/web.xml": 0o600, p.State + "/web.pid": 0o644,
		p.State + "/driver.pid": 0o644, p.State + "/autostarted": 0o600,
	} {
		assert.Equal(t, want, mode(t, path), path)
	}
	target, err := os.Readlink(p.Autostart + "/web.xml")
	require.NoError(t, err)
	assert.Equal(t, p.Config+"/web.xml", target)
	assert.Equal(t, "4711", read(t, p.State+"/web.pid"))
	assert.Equal(t, strconv.Itoa(os.Getpid()), read(t, p.State+"/driver.pid"))
	assert.Contains(t, read(t, p.Config+"/web.xml"), "virsh edit web\n")
	assert.Equal(t, []string{"autostart", "web.xml"}, files(t, p.Config))
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

func TestLoadGivesBackWhatWasSaved(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	assert.Empty(t, load(t, s))
	names := []string{"a", "b.c", "blanks in it", "driver", "größe", "...", ".hidden", "x--y", "-v", strings.Repeat("n", maxName)}
	for _, name := range names {
		require.NoError(t, s.SaveDefinition(ctx, definition(name)), name)
	}
	require.NoError(t, s.SetAutostart(ctx, "b.c", true))
	require.NoError(t, s.SaveStatus(ctx, status("driver")))
	require.NoError(t, s.SaveStatus(ctx, status("transient")))

	stored := load(t, s)
	require.Len(t, stored, len(names)+1)
	byName := map[string]ports.Stored{}
	last := ""
	for _, one := range stored {
		name := "transient"
		if one.Config != nil {
			name = one.Config.Name
			assert.Equal(t, definition(name), one.Config)
		}
		assert.Less(t, last, name, "sorted")
		last = name
		byName[name] = one
	}
	assert.True(t, byName["b.c"].Autostart)
	assert.False(t, byName["a"].Autostart)
	assert.Equal(t, status("driver"), byName["driver"].Status)
	assert.Equal(t, status("transient"), byName["transient"].Status)
	assert.Nil(t, byName["transient"].Config)
	assert.Equal(t, strconv.Itoa(os.Getpid()), read(t, s.paths.State+"/driver.pid"), "a container's name does not cost the lock")
}

func TestStatusIsReplacedAndRemoved(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	require.NoError(t, s.SaveStatus(ctx, status("a")))
	pid := s.paths.State + "/a.pid"
	before, err := os.Stat(pid)
	require.NoError(t, err)

	paused := status("a")
	paused.State = lifecycle.Paused
	require.NoError(t, s.SaveStatus(ctx, paused))
	after, err := os.Stat(pid)
	require.NoError(t, err)
	assert.True(t, os.SameFile(before, after), "an unchanged pid is not written again")
	assert.Equal(t, lifecycle.Paused, load(t, s)[0].Status.State)

	paused.Controller.PID = 5
	require.NoError(t, s.SaveStatus(ctx, paused))
	assert.Equal(t, "5", read(t, pid))
	paused.Controller.PID = 0
	require.NoError(t, s.SaveStatus(ctx, paused))
	assert.NoFileExists(t, pid)

	require.NoError(t, s.RemoveStatus(ctx, "a"))
	require.NoError(t, s.RemoveStatus(ctx, "a"), "absent is fine")
	assert.Equal(t, []string{"driver.pid"}, files(t, s.paths.State))
	require.NoError(t, s.RemoveStatus(ctx, "driver"))
	assert.Equal(t, []string{"driver.pid"}, files(t, s.paths.State))
}

func TestRemoveDefinitionTakesTheMarkAlong(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	require.NoError(t, s.RemoveDefinition(ctx, "a"), "absent is fine, even without directories")
	require.NoError(t, s.SaveDefinition(ctx, definition("a")))
	require.NoError(t, s.SetAutostart(ctx, "a", true))
	require.NoError(t, s.RemoveDefinition(ctx, "a"))
	assert.Empty(t, files(t, s.paths.Autostart))
	assert.Equal(t, []string{"autostart"}, files(t, s.paths.Config))
	require.NoError(t, s.SaveDefinition(ctx, definition("a")))
	assert.False(t, load(t, s)[0].Autostart, "a namesake does not inherit it")
}

func TestAutostart(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	link := s.paths.Autostart + "/a.xml"
	require.NoError(t, s.SetAutostart(ctx, "a", false), "clearing what is clear")
	require.NoError(t, s.SaveDefinition(ctx, definition("a")))
	require.NoError(t, s.SetAutostart(ctx, "a", true))
	before, err := os.Lstat(link)
	require.NoError(t, err)
	require.NoError(t, s.SetAutostart(ctx, "a", true))
	after, err := os.Lstat(link)
	require.NoError(t, err)
	assert.True(t, os.SameFile(before, after))
	assert.True(t, load(t, s)[0].Autostart)

	for what, make := range map[string]func(){
		"link elsewhere": func() { require.NoError(t, os.Symlink("/nowhere/a.xml", link)) },
		"a copy":         func() { require.NoError(t, os.WriteFile(link, nil, 0o644)) },
	} {
		require.NoError(t, s.SetAutostart(ctx, "a", false))
		assert.False(t, load(t, s)[0].Autostart, what)
		make()
		assert.False(t, load(t, s)[0].Autostart, what)
		require.NoError(t, s.SetAutostart(ctx, "a", true), what)
		assert.True(t, load(t, s)[0].Autostart, what)
	}

	require.NoError(t, os.Remove(link))
	require.NoError(t, os.Symlink("../a.xml", link))
	assert.True(t, load(t, s)[0].Autostart, "another path to the same file counts")
}

func TestFirstStartSinceBoot(t *testing.T) {
	s := newStore(t)
	for _, want := range []bool{true, false, false} {
		first, err := s.FirstStartSinceBoot(context.Background())
		require.NoError(t, err)
		assert.Equal(t, want, first)
	}
}

func TestNamesThatCannotBeFiles(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	for name, text := range map[string]string{
		"": "empty", ".": "directory", "..": "directory", "a/b": "character", "../a": "character", "a\x00b": "character",
		strings.Repeat("x", maxName+1): "251 bytes",
	} {
		for op, err := range map[string]error{
			"save": s.SaveDefinition(ctx, definition(name)), "remove": s.RemoveDefinition(ctx, name),
			"status": s.SaveStatus(ctx, status(name)), "forget": s.RemoveStatus(ctx, name),
			"mark": s.SetAutostart(ctx, name, true),
		} {
			require.ErrorIs(t, err, fault.InvalidArgument, "%s %q", op, name)
			assert.Contains(t, err.Error(), text)
		}
	}
}

func TestEndedContextTouchesNothing(t *testing.T) {
	s := newStore(t)
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	late, cancel := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer cancel()
	for ctx, kind := range map[context.Context]fault.Kind{cancelled: fault.Aborted, late: fault.Timeout} {
		_, loadErr := s.Load(ctx, nil)
		_, firstErr := s.FirstStartSinceBoot(ctx)
		for _, err := range []error{
			loadErr, firstErr, s.SaveDefinition(ctx, definition("a")), s.RemoveDefinition(ctx, "a"),
			s.SetAutostart(ctx, "a", true), s.SaveStatus(ctx, status("a")), s.RemoveStatus(ctx, "a"),
		} {
			require.ErrorIs(t, err, kind)
		}
	}
	assert.NoDirExists(t, s.paths.Config)
	assert.Equal(t, []string{"driver.pid"}, files(t, s.paths.State))
}

func TestLoadSkipsWhatIsDamagedOrForeign(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	require.NoError(t, s.SaveDefinition(ctx, definition("good")))
	require.NoError(t, s.SaveStatus(ctx, status("good")))
	in := func(name string) string { return filepath.Join(s.paths.Config, name) }
	require.NoError(t, os.WriteFile(in("half.xml"), []byte(`{"Name": "ha`), 0o600))
	require.NoError(t, os.WriteFile(in("empty.xml"), nil, 0o600))
	require.NoError(t, os.WriteFile(in("other.xml"), []byte(encode(definition("name"))), 0o600))
	require.NoError(t, os.Mkdir(in("dir.xml"), 0o755))
	require.NoError(t, syscall.Mkfifo(in("fifo.xml"), 0o600))
	require.NoError(t, os.Symlink("/dev/zero", in("zero.xml")))
	require.NoError(t, os.Symlink("/nowhere", in("dangling.xml")))
	require.NoError(t, os.Symlink(in("loop.xml"), in("loop.xml")))
	require.NoError(t, os.Truncate(touch(t, in("huge.xml")), maxDocument+1))
	require.NoError(t, os.WriteFile(in("twin.xml"), bytes.Replace([]byte(encode(definition("good"))), []byte(`"good"`), []byte(`"twin"`), 1), 0o600))
	touch(t, in("readme"))
	touch(t, in("a.xml.dpkg-old"))
	touch(t, in("..xml"))
	linked := filepath.Join(t.TempDir(), "elsewhere")
	require.NoError(t, os.WriteFile(linked, []byte(encode(definition("linked"))), 0o600))
	require.NoError(t, os.Symlink(linked, in("linked.xml")))
	require.NoError(t, os.WriteFile(filepath.Join(s.paths.State, "bad.xml"), []byte("{}"), 0o600))
	require.NoError(t, os.Symlink(linked, filepath.Join(s.paths.State, "statuslink.xml")))

	stored, damaged := loadAll(t, s)
	names := []string{}
	for _, one := range stored {
		names = append(names, one.Config.Name)
	}
	assert.Equal(t, []string{"good", "linked"}, names)
	assert.NotNil(t, stored[0].Status)
	want := []string{"half.xml", "empty.xml", "other.xml", "dir.xml", "fifo.xml", "zero.xml", "dangling.xml", "loop.xml", "huge.xml", "twin.xml", "bad.xml", "statuslink.xml"}
	for _, name := range want {
		assert.Contains(t, damaged, name)
	}
	assert.Len(t, damaged, len(want), "%v", damaged)
	assert.FileExists(t, in("half.xml"), "never deleted")
}

func touch(t *testing.T, path string) string {
	t.Helper()
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	return path
}

func TestStatusOfAnotherUUIDWins(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	require.NoError(t, s.SaveDefinition(ctx, definition("a")))
	running := status("a")
	running.Definition.UUID[15] = 1
	require.NoError(t, s.SaveStatus(ctx, running))
	stored, damaged := loadAll(t, s)
	require.Len(t, stored, 1)
	assert.Nil(t, stored[0].Config)
	assert.Equal(t, running, stored[0].Status)
	assert.ErrorContains(t, damaged["a.xml"], "another uuid")
}

func TestLoadSweepsOnlyLeftoversOfOthers(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	require.NoError(t, s.SaveDefinition(ctx, definition("a")))
	require.NoError(t, s.SetAutostart(ctx, "a", true))
	own := []string{}
	for _, dir := range []string{s.paths.Config, s.paths.State, s.paths.Autostart} {
		touch(t, filepath.Join(dir, tempPrefix+"0123456789ab-1"+tempSuffix))
		own = append(own, touch(t, s.tempPath(dir)))
		touch(t, filepath.Join(dir, "mine"+tempSuffix))
	}
	load(t, s)
	for _, path := range own {
		assert.FileExists(t, path, "may be in the middle of a save")
		assert.Len(t, tempsIn(t, filepath.Dir(path)), 1)
		assert.FileExists(t, filepath.Join(filepath.Dir(path), "mine"+tempSuffix))
	}
}

func tempsIn(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, tempPrefix+"*"))
	require.NoError(t, err)
	return found
}

func TestDocumentsAreBoundedWhenWritten(t *testing.T) {
	s := newStore(t)
	d := definition("a")
	d.Description = strings.Repeat("x", maxDocument)
	require.ErrorIs(t, s.SaveDefinition(context.Background(), d), errTooLarge)
	d.Description = strings.Repeat("x", maxDocument/2)
	require.NoError(t, s.SaveDefinition(context.Background(), d))
	assert.Equal(t, d, load(t, s)[0].Config, "what was accepted can be read")
}

func TestPathsAreMadeAbsolute(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	s, err := New(pathsBelow("."), jsonCodec{}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer s.Close()
	require.NoError(t, s.SetAutostart(context.Background(), "a", true))
	target, err := os.Readlink(filepath.Join(dir, "etc", "lxc", "autostart", "a.xml"))
	require.NoError(t, err)
	assert.True(t, filepath.IsAbs(target))
}

func TestConcurrentContainers(t *testing.T) {
	s := newStore(t)
	ctx := context.Background()
	failures := make(chan error)
	const workers = 8
	for i := range workers {
		go func() {
			var err error
			for j := 0; j < 5 && err == nil; j++ {
				name := fmt.Sprintf("c%d", i)
				if err = s.SaveDefinition(ctx, definition(name)); err == nil {
					err = s.SaveStatus(ctx, status(name))
				}
				if err == nil {
					_, err = s.Load(ctx, func(string, error) {})
				}
			}
			failures <- err
		}()
	}
	for range workers {
		assert.NoError(t, <-failures)
	}
	assert.Len(t, load(t, s), workers)
	assert.Empty(t, tempsIn(t, s.paths.Config))
}

func BenchmarkLoad1000(b *testing.B) {
	s, err := New(pathsBelow(b.TempDir()), jsonCodec{}, slog.New(slog.DiscardHandler))
	require.NoError(b, err)
	defer s.Close()
	require.NoError(b, s.makeDir(s.paths.Config))
	for i := range 1000 {
		name := fmt.Sprintf("c%d", i)
		path := s.configPath(name)
		require.NoError(b, os.WriteFile(path, []byte(encode(definition(name))), 0o600))
	}
	for b.Loop() {
		stored, err := s.Load(context.Background(), func(string, error) {})
		require.NoError(b, err)
		require.Len(b, stored, 1000)
	}
}
