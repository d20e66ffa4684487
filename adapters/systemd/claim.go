package systemd

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
)

// maxPath is what fits the kernel's address, with the zero at its end. See unix(7).
const maxPath = 107

// checkPath refuses what no socket in the file system can have. Relative ones would
// depend on where the daemon was started. InvalidArgument.
func checkPath(path string) error {
	switch {
	case !filepath.IsAbs(path), strings.ContainsRune(path, 0):
		return fault.New(fault.InvalidArgument, fault.Wire, "socket path '%s' is not an absolute path", path)
	case len(path) > maxPath:
		return fault.New(fault.InvalidArgument, fault.Wire, "socket path '%s' has %d bytes, more than the %d a socket can have", path, len(path), maxPath)
	}
	return nil
}

// checkDir wants the directory of path to exist, or makes it. System if it does not. Only
// the directory that packages use is made; a typing error in another one would else give
// a socket that no client finds.
func checkDir(path string, make bool) error {
	dir := filepath.Dir(path)
	if make {
		if err := makeDir(dir); err != nil {
			return fault.Wrap(err, fault.System, "cannot make the directory of socket '%s'", path)
		}
		return nil
	}
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = unix.ENOTDIR
	}
	if err != nil {
		return fault.Wrap(err, fault.System, "cannot use the directory of socket '%s'", path)
	}
	return nil
}

// makeRoom removes what a dead process left at path: a socket that refuses to be connected
// to. Busy if somebody answers, Failed for what is no socket, which is left alone.
// Between this and bind somebody may still come: bind then says Busy.
func makeRoom(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	// A file that somebody put there may be of use to somebody.
	if err == nil && info.Mode().Type() != os.ModeSocket {
		return fault.New(fault.Failed, fault.Wire, "'%s' is in the way of a socket", path)
	}
	if err == nil {
		err = probe(path)
	}
	// Nobody listens: the socket's process has ended without unlinking it.
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

// probe connects to path. Busy if somebody answers, or is too busy to: EAGAIN is a backlog
// that is full, EPROTOTYPE a socket of another type. ECONNREFUSED is a dead one's. Whoever
// answers sees a client that leaves at once. The peer's pid is that of whoever called
// listen(2), as SO_PEERCRED tells.
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
	// The peer cannot be asked for its pid without a connection.
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EPROTOTYPE):
		return fault.Wrap(err, fault.Busy, "socket '%s' is in use by another process", path)
	}
	return err
}

// makeDir makes dir and what is above it, 0755 whatever the umask is. Whoever makes it at
// the same time gives it the mode.
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
