package store

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// disk is what changing a directory takes, so that tests can let every single
// step fail. Reading is not part of it: a read that fails leaves nothing half done.
type disk interface {
	// Create makes a new file of the mode, whatever the umask is.
	Create(path string, mode os.FileMode) (file, error)
	Symlink(target, path string) error
	Rename(from, to string) error
	Remove(path string) error
	// SyncDir flushes the entries of a directory.
	SyncDir(path string) error
}

// file is a file being written.
type file interface {
	Write([]byte) (int, error)
	Sync() error
	Close() error
}

// osDisk is the disk outside of tests. Errors are those of package os, which name the path.
type osDisk struct{}

// Create fails if the file is there: names of temporary files are never used twice. If
// the mode cannot be set the file goes again.
func (osDisk) Create(path string, mode os.FileMode) (file, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(mode); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(path))
	}
	return f, nil
}

// Links, renames and removals happen as a whole or not at all.
func (osDisk) Symlink(target, path string) error { return os.Symlink(target, path) }
func (osDisk) Rename(from, to string) error      { return os.Rename(from, to) }
func (osDisk) Remove(path string) error          { return os.Remove(path) }

// SyncDir makes names durable: a rename is not on the device before its directory is
// (fsync(2)).
func (osDisk) SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) {
		err = nil // this file system has nothing to flush
	}
	return errors.Join(err, d.Close())
}

// errNoPlainFile is what a document turns out to be that is a directory, a
// device, a pipe or a link where none belongs.
var errNoPlainFile = errors.New("not a plain file")

// errTooLarge is a document that cannot be one of ours. Reading it would take memory for
// nothing.
var errTooLarge = errors.New("file is too large")

// readFile reads a document. It neither waits for anybody, as opening a pipe
// would, nor reads more than maxDocument. Links are followed if follow is set. The mode
// is looked at after opening, so it is that of what is read.
func readFile(path string, follow bool) (text string, err error) {
	flags := os.O_RDONLY | syscall.O_NONBLOCK | syscall.O_NOCTTY
	if !follow {
		flags |= syscall.O_NOFOLLOW
	}
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", &fs.PathError{Op: "read", Path: path, Err: errNoPlainFile}
	}
	if info.Size() > maxDocument {
		return "", &fs.PathError{Op: "read", Path: path, Err: errTooLarge}
	}
	return readBounded(f, int(info.Size()))
}

// readBounded reads to the end, at most maxDocument bytes though the file may
// grow meanwhile. size is a hint.
func readBounded(r io.Reader, size int) (string, error) {
	var text bytes.Buffer
	text.Grow(size + bytes.MinRead)
	n, err := text.ReadFrom(io.LimitReader(r, maxDocument+1))
	if err == nil && n > maxDocument {
		err = errTooLarge
	}
	return text.String(), err
}
