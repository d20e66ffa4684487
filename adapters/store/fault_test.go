package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
)

// failingDisk lets the n-th call fail, counting from 1; 0 never.
type failingDisk struct {
	disk
	n, calls int
	err      error
}

func (d *failingDisk) next() error {
	if d.calls++; d.calls == d.n {
		return d.err
	}
	return nil
}

func (d *failingDisk) Create(path string, mode os.FileMode) (file, error) {
	if err := d.next(); err != nil {
		return nil, err
	}
	f, err := d.disk.Create(path, mode)
	return &failingFile{f, d}, err
}

func (d *failingDisk) Symlink(target, path string) error {
	return errors.Join(d.next(), onlyIf(d, func() error { return d.disk.Symlink(target, path) }))
}

func (d *failingDisk) Rename(from, to string) error {
	return errors.Join(d.next(), onlyIf(d, func() error { return d.disk.Rename(from, to) }))
}

func (d *failingDisk) Remove(path string) error {
	return errors.Join(d.next(), onlyIf(d, func() error { return d.disk.Remove(path) }))
}

func (d *failingDisk) SyncDir(path string) error {
	return errors.Join(d.next(), onlyIf(d, func() error { return d.disk.SyncDir(path) }))
}

func onlyIf(d *failingDisk, do func() error) error {
	if d.calls == d.n {
		return nil
	}
	return do()
}

type failingFile struct {
	file
	disk *failingDisk
}

// Write writes half before it fails, as a full disk does.
func (f *failingFile) Write(b []byte) (int, error) {
	if err := f.disk.next(); err != nil {
		n, _ := f.file.Write(b[:len(b)/2])
		return n, err
	}
	return f.file.Write(b)
}

func (f *failingFile) Sync() error {
	if err := f.disk.next(); err != nil {
		return err
	}
	return f.file.Sync()
}

func (f *failingFile) Close() error {
	return errors.Join(f.disk.next(), f.file.Close())
}

// TestEveryStepFails lets each step of each change fail once. What was stored
// must still load, whole: old or, once the last step is all that failed, new.
func TestEveryStepFails(t *testing.T) {
	ctx := context.Background()
	renewed := definition("a")
	renewed.Title = "new"
	renewedStatus := status("a")
	renewedStatus.InitPID = 99
	renewedStatus.Controller.PID = 98
	changes := map[string]func(*Store) error{
		"definition": func(s *Store) error { return s.SaveDefinition(ctx, renewed) },
		"status":     func(s *Store) error { return s.SaveStatus(ctx, renewedStatus) },
		"mark":       func(s *Store) error { return s.SetAutostart(ctx, "b", true) },
		"unmark":     func(s *Store) error { return s.SetAutostart(ctx, "a", false) },
		"new":        func(s *Store) error { return s.SaveDefinition(ctx, definition("c")) },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			steps := 0
			for n := 1; ; n++ {
				s := newStore(t)
				for _, name := range []string{"a", "b"} {
					require.NoError(t, s.SaveDefinition(ctx, definition(name)))
				}
				require.NoError(t, s.SaveStatus(ctx, status("a")))
				require.NoError(t, s.SetAutostart(ctx, "a", true))
				d := &failingDisk{disk: unflushed{osDisk{}}, n: n, err: syscall.EIO}
				s.disk = d
				err := change(s)
				s.disk = unflushed{osDisk{}}
				if d.calls < n {
					require.NoError(t, err)
					steps = n - 1
					break
				}
				require.ErrorIs(t, err, syscall.EIO, "step %d", n)
				require.ErrorIs(t, err, fault.System)
				stored := load(t, s)
				require.GreaterOrEqual(t, len(stored), 2)
				assert.Contains(t, []string{"", "new"}, stored[0].Config.Title)
				assert.Contains(t, []int{4712, 99}, stored[0].Status.InitPID)
				assert.Empty(t, tempsIn(t, s.paths.Config), "step %d", n)
				assert.Empty(t, tempsIn(t, s.paths.State), "step %d", n)
				assert.Empty(t, tempsIn(t, s.paths.Autostart), "step %d", n)
			}
			assert.GreaterOrEqual(t, steps, 2, "the hook is in the way of something")
		})
	}
}

func TestFailedRemovalKeepsDefinitionAndMark(t *testing.T) {
	ctx := context.Background()
	for n := 1; n <= 3; n++ { // link, flush, definition; the last flush comes too late
		s := newStore(t)
		require.NoError(t, s.SaveDefinition(ctx, definition("a")))
		require.NoError(t, s.SetAutostart(ctx, "a", true))
		s.disk = &failingDisk{disk: unflushed{osDisk{}}, n: n, err: syscall.EROFS}
		err := s.RemoveDefinition(ctx, "a")
		s.disk = unflushed{osDisk{}}
		require.ErrorIs(t, err, syscall.EROFS)
		stored := load(t, s)
		require.Len(t, stored, 1)
		assert.NotNil(t, stored[0].Config)
		if n != 2 {
			assert.True(t, stored[0].Autostart, "step %d", n)
		}
	}
}

func TestFlushes(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	require.NoError(t, s.SaveDefinition(ctx, definition("a")))
	log := &recordingDisk{disk: osDisk{}}
	s.disk = log
	require.NoError(t, s.SaveDefinition(ctx, definition("a")))
	assert.Equal(t, "create write sync close rename syncdir", strings.Join(log.calls, " "))
	log.calls = nil
	require.NoError(t, s.SaveStatus(ctx, status("a")))
	assert.Equal(t, "create write close rename create write close rename", strings.Join(log.calls, " "))
}

type recordingDisk struct {
	disk
	calls []string
}

func (d *recordingDisk) Create(path string, mode os.FileMode) (file, error) {
	d.calls = append(d.calls, "create")
	f, err := d.disk.Create(path, mode)
	return &recordingFile{f, d}, err
}

func (d *recordingDisk) Rename(from, to string) error {
	d.calls = append(d.calls, "rename")
	return d.disk.Rename(from, to)
}

func (d *recordingDisk) SyncDir(path string) error {
	d.calls = append(d.calls, "syncdir")
	return d.disk.SyncDir(path)
}

type recordingFile struct {
	file
	disk *recordingDisk
}

func (f *recordingFile) Write(b []byte) (int, error) {
	f.disk.calls = append(f.disk.calls, "write")
	return f.file.Write(b)
}

func (f *recordingFile) Sync() error {
	f.disk.calls = append(f.disk.calls, "sync")
	return f.file.Sync()
}

func (f *recordingFile) Close() error {
	f.disk.calls = append(f.disk.calls, "close")
	return f.file.Close()
}

// onTinyDisk runs do with a tmpfs of 64 KiB at dir that only its thread sees.
func onTinyDisk(t *testing.T, do func(dir string) error) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a small file system")
	}
	dir := t.TempDir()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with its namespace
		done <- func() error {
			if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
				return fmt.Errorf("unshare: %w", err)
			}
			if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
				return fmt.Errorf("make mounts private: %w", err)
			}
			if err := unix.Mount("vlxtiny", dir, "tmpfs", 0, "size=64k"); err != nil {
				return fmt.Errorf("mount tmpfs: %w", err)
			}
			return do(dir)
		}()
	}()
	require.NoError(t, <-done)
}

func bareStore(dir string) *Store {
	return &Store{paths: pathsBelow(dir), codec: jsonCodec{}, log: slog.New(slog.DiscardHandler), disk: osDisk{}, token: newToken()}
}

func TestFullDisk(t *testing.T) {
	ctx := context.Background()
	onTinyDisk(t, func(dir string) error {
		s := bareStore(dir)
		if err := s.SaveDefinition(ctx, definition("a")); err != nil {
			return err
		}
		big := definition("a")
		big.Description = strings.Repeat("x", 100<<10)
		err := s.SaveDefinition(ctx, big)
		assert.ErrorIs(t, err, syscall.ENOSPC)
		assert.ErrorIs(t, err, fault.System)
		text, err := readFile(s.configPath("a"), false)
		assert.NoError(t, err)
		kept, err := s.codec.Parse(text)
		assert.NoError(t, err)
		assert.Equal(t, definition("a"), kept)
		temps, err := filepath.Glob(s.paths.Config + "/" + tempPrefix + "*")
		assert.Empty(t, temps)
		return err
	})
}

func TestReadOnlyDisk(t *testing.T) {
	ctx := context.Background()
	onTinyDisk(t, func(dir string) error {
		s := bareStore(dir)
		if err := s.SaveDefinition(ctx, definition("a")); err != nil {
			return err
		}
		if err := s.SetAutostart(ctx, "a", true); err != nil {
			return err
		}
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			return err
		}
		for op, err := range map[string]error{
			"save": s.SaveDefinition(ctx, definition("a")), "new": s.SaveDefinition(ctx, definition("b")),
			"remove": s.RemoveDefinition(ctx, "a"), "unmark": s.SetAutostart(ctx, "a", false),
			"mark": s.SetAutostart(ctx, "b", true), "status": s.SaveStatus(ctx, status("a")),
		} {
			assert.ErrorIs(t, err, fault.System, op)
			if op != "status" { // its directory was never made here
				assert.ErrorIs(t, err, syscall.EROFS, op)
			}
		}
		assert.NoError(t, s.SetAutostart(ctx, "a", true), "what is set already needs no write")
		assert.True(t, s.marked("a"))
		_, err := readFile(s.configPath("a"), false)
		return err
	})
}
