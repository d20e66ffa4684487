package systemd

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
)

// Listener is a local stream socket that clients connect to. Close unlinks the
// path if this process made the socket and the path still leads to it.
type Listener struct {
	*net.UnixListener
	path    string // empty: not ours to unlink
	made    os.FileInfo
	closing sync.Once
}

const (
	// maxPath is what fits the kernel's address, with the zero at its end.
	maxPath = 107
	// backlog is as much as the kernel lets wait (net.core.somaxconn): clients
	// come in crowds when the daemon restarts.
	backlog = 4096
)

// Listen makes the socket with exactly the mode, in a directory that is made
// with 0755 if missing. At no moment the mode is wider, and nobody can connect
// before it is right.
//
// Busy, with the pid, if somebody listens at path already; what a dead process
// left there is replaced, what is no socket is left alone (Failed).
func Listen(path string, mode os.FileMode) (*Listener, error) {
	if len(path) > maxPath {
		return nil, fault.New(fault.InvalidArgument, fault.Wire, "socket path '%s' has %d bytes, more than the %d a socket can have", path, len(path), maxPath)
	}
	if err := makeDir(filepath.Dir(path)); err != nil {
		return nil, fault.Wrap(err, fault.System, "cannot make the directory of socket '%s'", path)
	}
	if err := makeRoom(path); err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fault.Wrap(err, fault.System, "cannot make socket '%s'", path)
	}
	file := os.NewFile(uintptr(fd), path)
	l, err := listen(file, path, mode)
	return l, errors.Join(err, file.Close())
}

// listen binds file, of which the listener keeps a duplicate.
func listen(file *os.File, path string, mode os.FileMode) (*Listener, error) {
	fd := int(file.Fd())
	// The file system entry gets the mode of the unbound socket, less the umask.
	err := unix.Fchmod(fd, uint32(mode.Perm()))
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: path})
	}
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, fault.Wrap(err, fault.Busy, "another daemon took socket '%s' just now", path)
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.System, "cannot make socket '%s'", path)
	}
	l := &Listener{path: path}
	if err := l.start(file, mode); err != nil {
		return nil, errors.Join(fault.Wrap(err, fault.System, "cannot listen on socket '%s'", path), os.Remove(path))
	}
	return l, nil
}

func (l *Listener) start(file *os.File, mode os.FileMode) error {
	if err := os.Chmod(l.path, mode.Perm()); err != nil {
		return err
	}
	made, err := os.Lstat(l.path)
	if err != nil {
		return err
	}
	if err := unix.Listen(int(file.Fd()), backlog); err != nil {
		return err
	}
	generic, err := net.FileListener(file)
	if err != nil {
		return err
	}
	l.UnixListener, l.made = generic.(*net.UnixListener), made
	return nil
}

// Close ends Accept. The path goes first: who comes now finds nobody rather
// than a socket that refuses.
func (l *Listener) Close() error {
	l.closing.Do(l.unlink)
	return l.UnixListener.Close()
}

func (l *Listener) unlink() {
	if l.path == "" {
		return
	}
	if there, err := os.Lstat(l.path); err == nil && os.SameFile(there, l.made) {
		os.Remove(l.path) // what is left would be replaced by the next daemon
	}
}

// makeRoom removes what a dead process left at path.
func makeRoom(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil && info.Mode().Type() != os.ModeSocket {
		return fault.New(fault.Failed, fault.Wire, "'%s' is in the way of a socket", path)
	}
	if err == nil {
		err = probe(path)
	}
	if errors.Is(err, unix.ECONNREFUSED) {
		err = os.Remove(path)
	}
	if err == nil || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var busy *fault.Error
	if errors.As(err, &busy) {
		return busy
	}
	return fault.Wrap(err, fault.System, "cannot replace socket '%s'", path)
}

// probe connects to path. Busy if somebody answers, or is too busy to.
func probe(path string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
	switch {
	case err == nil:
		who := "another process"
		if peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil && peer.Pid > 0 {
			who = "process " + strconv.Itoa(int(peer.Pid))
		}
		return fault.New(fault.Busy, fault.Wire, "socket '%s' is in use by %s", path, who)
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EPROTOTYPE):
		return fault.Wrap(err, fault.Busy, "socket '%s' is in use by another process", path)
	}
	return err
}

// makeDir makes dir and what is above it, 0755 whatever the umask is.
func makeDir(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	if parent := filepath.Dir(dir); parent != dir {
		if err := makeDir(parent); err != nil {
			return err
		}
	}
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, os.ErrExist) {
		return nil // somebody was faster; if it is no directory, bind will tell
	}
	if err != nil {
		return err
	}
	return os.Chmod(dir, 0o755)
}
