package systemd

import (
	"errors"
	"net"
	"os"
	"os/user"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
)

// Listener is a local stream socket that clients connect to. Close unlinks the
// path if this process made the socket and the path still leads to it: of a passed one the
// service manager takes care, and what another daemon made there is its own. Its methods
// are safe from any goroutine, as those of the embedded one.
type Listener struct {
	*net.UnixListener
	path    string // empty: not ours to unlink
	made    os.FileInfo
	closing sync.Once
}

// defaultBacklog is as much as the kernel lets wait (net.core.somaxconn):
// clients come in crowds when the daemon restarts.
const defaultBacklog = 4096

// ListenOptions say who may connect and how many may wait for it.
type ListenOptions struct {
	Mode    os.FileMode // permission bits of the socket, whatever the umask is
	Group   string      // name or number of its group; empty: the process's own
	Backlog int         // connections that wait to be accepted; 0: many
	// MakeDir makes a missing directory, 0755, and those above it. For the
	// default run directory: another one is a mistake if it does not exist.
	MakeDir bool
}

// Listen makes the socket. At no moment its mode is wider than wanted, and
// nobody can connect before mode and group are right.
//
// Busy, with the pid, if somebody listens at path already; what a dead process
// left there is replaced, what is no socket is left alone (Failed).
// InvalidArgument for a group that does not exist and a path no socket can have. Close
// it. On failure no socket stays at path.
func Listen(path string, options ListenOptions) (*Listener, error) {
	group, err := groupID(options.Group)
	if err == nil {
		err = checkPath(path)
	}
	if err == nil {
		err = checkDir(path, options.MakeDir)
	}
	if err == nil {
		err = makeRoom(path)
	}
	if err != nil {
		return nil, err
	}
	// Made by hand, as net.Listen would listen before mode and group are right.
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fault.Wrap(err, fault.System, "cannot make socket '%s'", path)
	}
	defer unix.Close(fd) // the listener keeps a duplicate
	if err := bind(fd, path, options.Mode); err != nil {
		return nil, err
	}
	l := &Listener{path: path}
	if err := l.start(fd, group, options); err != nil {
		return nil, errors.Join(fault.Wrap(err, fault.System, "cannot listen on socket '%s'", path), os.Remove(path))
	}
	return l, nil
}

// groupID is -1 for none. A number need not be a group that the host knows. Names are
// looked up on the host, which may ask its directory services. InvalidArgument for one
// that is not known.
func groupID(group string) (int, error) {
	if group == "" {
		return -1, nil
	}
	if id, err := strconv.ParseUint(group, 10, 31); err == nil {
		return int(id), nil
	}
	found, err := user.LookupGroup(group)
	if err != nil {
		return 0, fault.Wrap(err, fault.InvalidArgument, "cannot give a socket to group '%s'", group)
	}
	id, err := strconv.Atoi(found.Gid)
	if err != nil {
		return 0, fault.Wrap(err, fault.System, "group '%s' has no number", group)
	}
	return id, nil
}

// bind gives the socket its name, for the owner alone. The mode comes first, so the entry
// is never wider than wanted.
func bind(fd int, path string, mode os.FileMode) error {
	// The entry gets the mode of the unbound socket, less the umask.
	err := unix.Fchmod(fd, uint32(mode.Perm())&0o700)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: path})
	}
	if errors.Is(err, unix.EADDRINUSE) {
		return fault.Wrap(err, fault.Busy, "another daemon took socket '%s' just now", path)
	}
	if err != nil {
		return fault.Wrap(err, fault.System, "cannot make socket '%s'", path)
	}
	return nil
}

// start lets clients in, now that the socket has its name. Group and mode come before
// listen(2): until then the kernel refuses everybody. Both go by path: by descriptor they
// would change the socket and not its entry.
func (l *Listener) start(fd, group int, options ListenOptions) error {
	if group >= 0 {
		if err := os.Lchown(l.path, -1, group); err != nil {
			return err
		}
	}
	if err := os.Chmod(l.path, options.Mode.Perm()); err != nil {
		return err
	}
	// What Close compares the path with.
	made, err := os.Lstat(l.path)
	if err != nil {
		return err
	}
	// From here on clients get in.
	if err := unix.Listen(fd, backlog(options.Backlog)); err != nil {
		return err
	}
	duplicate, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(duplicate), l.path)
	generic, err := net.FileListener(file) // duplicates it once more
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	l.UnixListener, l.made = generic.(*net.UnixListener), made
	return nil
}

// backlog: the kernel cuts what is above its own limit without a word.
func backlog(wanted int) int {
	if wanted <= 0 {
		return defaultBacklog
	}
	return wanted
}

// SetBacklog changes how many connections may wait to be accepted (0: many), of
// a socket that was passed as well. Those that wait already stay. listen(2) may be called
// on a socket that listens: it only sets the number.
func (l *Listener) SetBacklog(connections int) error {
	conn, err := l.SyscallConn()
	if err == nil {
		failed := conn.Control(func(fd uintptr) { err = unix.Listen(int(fd), backlog(connections)) })
		err = errors.Join(failed, err)
	}
	if err != nil {
		return fault.Wrap(err, fault.System, "cannot set the backlog of socket '%s'", l.Addr())
	}
	return nil
}

// Close ends Accept. The path goes first: who comes now finds nobody rather
// than a socket that refuses. Connections that wait are reset. A second Close fails as
// that of the embedded listener does.
func (l *Listener) Close() error {
	l.closing.Do(l.unlink)
	return l.UnixListener.Close()
}

// unlink removes the path if it is still the one that was made.
func (l *Listener) unlink() {
	if l.path == "" {
		return
	}
	if there, err := os.Lstat(l.path); err == nil && os.SameFile(there, l.made) {
		os.Remove(l.path) // what is left would be replaced by the next daemon
	}
}
