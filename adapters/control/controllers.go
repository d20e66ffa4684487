// Package control is the daemon's end of its conversation with controllers: it
// starts them, finds them again, and turns messages into the Controllers port.
//
// A controller is a process of its own: what running containers need of a parent
// lives there, so that a daemon may end at any moment. What package wire carries, package endpoint reads at the other end. Three
// things may break off in the middle: the daemon, then the controller abandons what
// nobody let go on; the controller, then every request ends with NotFound and init
// runs on; a request's ctx, then a late answer is thrown away.
package control

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// Options say where things are.
type Options struct {
	Program string // the controller's binary, read once by New
	State   string // directory of the control sockets, made if missing
	Log     string // directory of the containers' logs, made if missing
	// Shared opens what a controller writes into instead of a log of its container's
	// own; nil if it is to have one. Called for every container. May be nil.
	Shared func() (*os.File, error)
	// Group opens the control group that controllers live in: the directory of
	// the v2 group (nil if there is none) and the tasks file of each v1 group.
	// Nil: they stay in the daemon's own.
	Group func(context.Context) (unified *os.File, tasks []*os.File, err error)
	// Home opens the v1 tasks files that the thread which starts controllers
	// goes back to in the end, so that their group can be removed. May be nil.
	Home func() ([]*os.File, error)
}

// Controllers implements ports.Controllers.
// Its methods are for any goroutine. What New opened is kept to Close.
type Controllers struct {
	options Options
	image   *os.File
	nursery *nursery
	young   children
	spare   spare
	sockets *os.File // the State directory
	log     *slog.Logger
}

// New prepares to start controllers. It reads the program once: what containers
// see of it is a sealed copy (a payload could otherwise reach the host's file
// through /proc/self/exe).
// Both errors are of kind System; with one nothing is left open. The first spare
// controller is made in the background, so a program that cannot be executed shows
// at the first Launch.
func New(options Options, log *slog.Logger) (*Controllers, error) {
	image, err := sealedCopy(options.Program)
	if err != nil {
		return nil, fault.Wrap(err, fault.System, "cannot read the controller program '%s'", options.Program)
	}
	sockets, err := openDirs(options)
	if err != nil {
		image.Close()
		return nil, err
	}
	c := &Controllers{options: options, image: image, sockets: sockets, nursery: newNursery(options, log), log: log}
	c.spare.breed(c.spawn)
	return c, nil
}

// openDirs makes the two directories and opens that of the sockets.
func openDirs(options Options) (*os.File, error) {
	for _, dir := range []string{options.State, options.Log} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fault.Wrap(err, fault.System, "cannot make directory '%s'", dir)
		}
	}
	sockets, err := os.Open(options.State)
	if err != nil {
		return nil, fault.Wrap(err, fault.System, "cannot open directory '%s'", options.State)
	}
	return sockets, nil
}

// Close lets go of what New took; Launch fails from then on. Controllers run on,
// but for the spare one, and are awaited if they are about to end. Controller
// values stay usable.
// Spare controller first, since it is a child that is about to end; then the thread
// that makes children, and then those who wait for them.
func (c *Controllers) Close() error {
	c.spare.close()
	c.nursery.close()
	c.young.close()
	return errors.Join(c.image.Close(), c.sockets.Close())
}

// Launch implements ports.Controllers. A spare is there as a rule. Kind System if
// the program cannot be executed or the log not be opened; ctx is for the wait
// until another start is over.
func (c *Controllers) Launch(ctx context.Context, identity container.Identity) (ports.Controller, error) {
	complaints, err := c.openLog(identity.Name)
	if err != nil {
		return nil, err
	}
	one := c.spare.take()
	if one == nil {
		if one, err = c.spawn(ctx); err != nil {
			complaints.Close()
			return nil, err
		}
	}
	one.complaints = complaints
	return one, nil
}

// openLog opens what a container's controller complains into.
// A log of its own is appended to: it goes on over starts, and only root may read it.
func (c *Controllers) openLog(name string) (*os.File, error) {
	if c.options.Shared != nil {
		file, err := c.options.Shared()
		if err != nil {
			return nil, fault.Wrap(err, fault.System, "cannot open the daemon's log for the controller of '%s'", name)
		}
		if file != nil {
			return file, nil
		}
	}
	path := filepath.Join(c.options.Log, name+".log")
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fault.Wrap(err, fault.System, "cannot open the log file '%s'", path)
	}
	return file, nil
}

// spawn starts a controller that holds nothing yet. The socket is bound and listens
// before the program runs, and the daemon is connected already, so nobody has to
// wait until it is ready.
// The controller's ends are closed here in any case: it has its own copies by then.
func (c *Controllers) spawn(ctx context.Context) (*Controller, error) {
	name := newName() + socketSuffix
	path := filepath.Join(c.options.State, name)
	listener, err := c.listen(name)
	if err != nil {
		return nil, fault.Wrap(err, fault.System, "cannot make the control socket '%s'", path)
	}
	defer listener.Close()
	ours, theirs, err := pair()
	if err != nil {
		return nil, fault.Wrap(err, fault.System, "cannot make a control connection")
	}
	defer theirs.Close()
	process, err := c.nursery.start(ctx, birth{
		program: c.options.Program, socket: path, files: []*os.File{listener, theirs},
	})
	if err != nil {
		ours.Close()
		os.Remove(path)
		return nil, fault.Wrap(err, fault.System, "cannot execute the controller '%s'", c.options.Program)
	}
	ref := container.Controller{PID: process.Pid, Start: startTime(process.Pid), Socket: path}
	c.young.watch(process)
	return newController(ref, ours, c), nil
}

// socketSuffix tells control sockets from what else lies in the State directory.
const socketSuffix = ".sock"

// newName is not the container's: a controller is started before it has one.
// 16 hexadecimal digits: two controllers of one host do not meet.
func newName() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Adopt implements ports.Controllers. The start time tells a controller from a later
// process with its number. NotFound removes its socket. The daemon that was connected
// so far is hung up on: a controller serves one.
func (c *Controllers) Adopt(_ context.Context, ref container.Controller) (ports.Controller, error) {
	if ref.PID <= 0 || startTime(ref.PID) != ref.Start {
		return nil, c.lost(ref, unix.ESRCH)
	}
	connection, err := c.dial(filepath.Base(ref.Socket))
	if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOENT) {
		return nil, c.lost(ref, err)
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.System, "cannot reach controller %d", ref.PID)
	}
	return newController(ref, connection, c), nil
}

// lost removes the socket of a controller that is gone. Only the last part of its
// path counts: a status file could name any file.
// The error is what callers take for "the controller died with all that it held".
func (c *Controllers) lost(ref container.Controller, err error) error {
	if ref.Socket != "" {
		unix.Unlinkat(int(c.sockets.Fd()), filepath.Base(ref.Socket), 0)
	}
	return fault.Wrap(err, fault.NotFound, "controller %d is gone", ref.PID)
}

// address names a socket in the State directory: through the directory's
// descriptor, because socket addresses are short (unix(7): 107 bytes) and
// prefixes may be long.
// The result is good as long as the directory is open.
func (c *Controllers) address(name string) *unix.SockaddrUnix {
	return &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(int(c.sockets.Fd())) + "/" + name}
}

// socketType keeps messages apart (unix(7)), so that none is read in halves.
const socketType = unix.SOCK_SEQPACKET | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK

// listen makes a socket that only its owner, root, may connect to. The backlog is
// for one daemon that comes while another goes.
// The name is new, but a file of it that somebody left there must not stop a start.
// The mode is set before listen, so that nobody gets in between.
func (c *Controllers) listen(name string) (*os.File, error) {
	if err := unix.Unlinkat(int(c.sockets.Fd()), name, 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, socketType, 0)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), name)
	if err := unix.Bind(fd, c.address(name)); err != nil {
		file.Close()
		return nil, err
	}
	if err := unix.Fchmodat(int(c.sockets.Fd()), name, 0o700, 0); err != nil {
		file.Close()
		return nil, err
	}
	if err := unix.Listen(fd, 4); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// dial connects without waiting: ECONNREFUSED is a socket without a process, EAGAIN
// one whose backlog is full.
// The caller closes the connection.
func (c *Controllers) dial(name string) (*net.UnixConn, error) {
	fd, err := unix.Socket(unix.AF_UNIX, socketType, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Connect(fd, c.address(name)); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return connection(fd)
}

// pair makes a connected pair: ours for Go's poller, theirs to pass on. The caller
// closes both.
func pair() (ours *net.UnixConn, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, socketType, 0)
	if err != nil {
		return nil, nil, err
	}
	theirs = os.NewFile(uintptr(fds[1]), "control")
	if ours, err = connection(fds[0]); err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

// connection takes fd over, also when it fails.
// The duplicate goes to Go's poller, so that reading from it takes no thread.
func connection(fd int) (*net.UnixConn, error) {
	file := os.NewFile(uintptr(fd), "control")
	defer file.Close() // FileConn duplicates it
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	return conn.(*net.UnixConn), nil
}
