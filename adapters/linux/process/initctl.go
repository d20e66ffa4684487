package process

import (
	"encoding/binary"
	"errors"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
)

// initPipes are where inits listen for requests, in the order they are tried.
var initPipes = []string{"/run/initctl", "/dev/initctl", "/etc/.initctl"}

// request builds what init reads from its pipe (initctl(5)): magic, command,
// run level, sleep time, and room for data that this command has none of. All are
// 32 bits in the host's order; level is the character, '0' or '6'. The size is
// fixed, and below PIPE_BUF (pipe(7)): requests of several writers never mix.
func request(level byte) []byte {
	const magic, changeRunlevel = 0x03091969, 1
	b := make([]byte, 384)
	binary.NativeEndian.PutUint32(b[0:], magic)
	binary.NativeEndian.PutUint32(b[4:], changeRunlevel)
	binary.NativeEndian.PutUint32(b[8:], uint32(level))
	return b
}

// RequestRunlevel takes pipes with a reader only. It walks paths that the
// container controls, so it stays below the root of the process, follows no
// link, opens nothing but pipes, never waits, and keeps away from file systems
// that a process answers for, which could hold the daemon as long as it likes.
//
// The first pipe that can be written to gets the request; whether init obeys is
// not known. InvalidArgument for other levels, NotFound if the process has ended,
// UnsupportedOperation if there is no pipe, System if there is one that takes
// nothing (it is full: init does not read).
func (p *Process) RequestRunlevel(level byte) error {
	if level != '0' && level != '6' {
		return fault.New(fault.InvalidArgument, fault.Host, "init is not asked for run level %q", level)
	}
	mounts, err := p.mounts()
	if err != nil {
		return err
	}
	root, err := os.OpenFile(p.procPath("root"), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err := p.settle(err); err != nil {
		if root != nil {
			root.Close()
		}
		return err
	}
	defer root.Close()
	for _, name := range initPipes {
		if answeredByProcess(mounts, path.Dir(name)) {
			continue
		}
		sent, err := send(root, name, request(level))
		if err != nil {
			return fault.Wrap(err, fault.System, "cannot write to '%s' of the container", name)
		}
		if sent {
			return nil
		}
	}
	return fault.New(fault.UnsupportedOperation, fault.Driver, "Container does not provide an initctl pipe")
}

// send writes to the pipe called name below root; false if there is none, none
// with a reader, or only the host's own.
func send(root *os.File, name string, message []byte) (bool, error) {
	// A path descriptor first: looking at a device must not open it.
	fd, err := unix.Openat2(int(root.Fd()), strings.TrimPrefix(name, "/"), &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return false, nil // absent or unreachable: nobody to ask
	}
	defer unix.Close(fd)
	var found, own unix.Stat_t
	if err := unix.Fstat(fd, &found); err != nil || found.Mode&unix.S_IFMT != unix.S_IFIFO {
		return false, nil
	}
	for _, host := range initPipes {
		if unix.Stat(host, &own) == nil && own.Dev == found.Dev && own.Ino == found.Ino {
			return false, nil
		}
	}
	pipe, err := unix.Open("/proc/self/fd/"+strconv.Itoa(fd), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if errors.Is(err, unix.ENXIO) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	_, err = unix.Write(pipe, message) // less than PIPE_BUF: whole or not at all
	return err == nil, errors.Join(err, unix.Close(pipe))
}

// mounts lists the FUSE mounts that the process sees, with mount points below its
// own root: as the paths that are walked.
func (p *Process) mounts() ([]*mountinfo.Info, error) {
	f, err := os.Open(p.procPath("mountinfo"))
	var mounts []*mountinfo.Info
	if err == nil {
		mounts, err = mountinfo.GetMountsFromReader(f, func(i *mountinfo.Info) (skip, stop bool) {
			return !strings.HasPrefix(i.FSType, "fuse"), false
		})
		err = errors.Join(err, f.Close())
	}
	if err := p.settle(err); err != nil {
		return nil, err
	}
	return mounts, nil
}

// answeredByProcess says whether a FUSE mount is at dir or above. One at the pipe
// itself does not hurt: looking at it by O_PATH asks nobody, and it is no pipe.
func answeredByProcess(fuse []*mountinfo.Info, dir string) bool {
	for _, m := range fuse {
		if m.Mountpoint == "/" || m.Mountpoint == dir || strings.HasPrefix(dir, m.Mountpoint+"/") {
			return true
		}
	}
	return false
}
