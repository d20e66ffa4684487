package systemd

import (
	"errors"
	"log/slog"
	"math"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
)

// firstPassed is the number of the first descriptor that a service manager passes
// (SD_LISTEN_FDS_START of sd_listen_fds(3)); the others follow without a gap.
const firstPassed = 3

// Stored are descriptors that an earlier daemon left with the service manager,
// by the name it gave them. See NewEscrow. Whoever takes a Received owns the files in it.
type Stored map[string]*os.File

// Received is what the service manager passed to this process.
type Received struct {
	Sockets map[string][]*Listener // by unit name; empty: not activated, make your own
	Stored  Stored
}

// Receive takes over what the service manager passed: listening sockets with one
// of the names, of which several may have the same, and what an Escrow stored.
// Anything else, and an environment that contradicts itself, is InvalidArgument:
// a daemon that then made sockets of its own would hide the mistake. An
// environment that was meant for another process is none, which is logged.
//
// Descriptors are found by number: call it once, early. Children inherit neither
// the variables nor any descriptor that this process was started with. On failure what
// was passed is closed, unless nobody could tell how many there are.
func Receive(log *slog.Logger, names ...string) (*Received, error) {
	files, err := passedFiles(log)
	if err != nil {
		return nil, err
	}
	received := &Received{Sockets: make(map[string][]*Listener), Stored: make(Stored)}
	var errs []error
	// All are looked at before the first error ends it, so that every mistake is told.
	for _, file := range files {
		if strings.HasPrefix(file.Name(), storedPrefix) {
			received.store(file, log)
			continue
		}
		l, err := fromFile(file, names)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		received.Sockets[file.Name()] = append(received.Sockets[file.Name()], l)
	}
	if len(errs) > 0 {
		return nil, errors.Join(append(errs, received.Close())...)
	}
	return received, nil
}

// store keeps the first of each name: an escrow never leaves two. What another number of
// the same name held is lost to this daemon; the escrow removes both with the name.
func (r *Received) store(file *os.File, log *slog.Logger) {
	if r.Stored[file.Name()] == nil {
		r.Stored[file.Name()] = file
		return
	}
	log.Warn("the service manager kept two descriptors of one name", "name", file.Name())
	file.Close() // only this number of it
}

// Close closes everything, for a daemon that does not get to use it. The service manager
// keeps its own descriptors of the sockets, so clients go on waiting for the next one.
// Paths stay too: they are the socket units'.
func (r *Received) Close() error {
	var errs []error
	for _, several := range r.Sockets {
		for _, l := range several {
			errs = append(errs, l.Close())
		}
	}
	for _, file := range r.Stored {
		errs = append(errs, file.Close())
	}
	return errors.Join(errs...)
}

// passedFiles clears the environment. On failure it leaves the descriptors be,
// as nobody knows whose they are. The files know their names: file.Name is that of
// LISTEN_FDNAMES.
func passedFiles(log *slog.Logger) ([]*os.File, error) {
	// A kernel before 5.11 cannot; what was passed gets it below all the same.
	_ = unix.CloseRange(firstPassed, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	defer clearEnvironment()
	mine, err := checkEnvironment(log)
	if err != nil || !mine {
		return nil, err
	}
	return activation.Files(false), nil
}

// clearEnvironment: children that look for sockets would take any descriptor for one.
// LISTEN_PIDFDID goes with them, which newer managers set.
func clearEnvironment() {
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"} {
		os.Unsetenv(name)
	}
}

// checkEnvironment says whether something was passed to this process: LISTEN_PID is its
// own, LISTEN_FDS a number. The library takes nonsense for nothing, and counts for true.
// A daemon that was started by a wrapper inherits variables meant for that one, so
// another's number is no error.
func checkEnvironment(log *slog.Logger) (mine bool, err error) {
	pid, fds := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS")
	// Started by hand, or by a manager that had nothing to pass.
	if pid == "" && fds == "" {
		return false, nil
	}
	number, err := strconv.Atoi(pid)
	if err != nil {
		return false, fault.New(fault.InvalidArgument, fault.Wire, "LISTEN_PID '%s' is not a process id", pid)
	}
	if number != os.Getpid() {
		log.Info("sockets passed to another process are not used", "pid", number)
		return false, nil
	}
	count, err := strconv.Atoi(fds)
	if err != nil || count < 0 {
		return false, fault.New(fault.InvalidArgument, fault.Wire, "LISTEN_FDS '%s' is not a number of descriptors", fds)
	}
	return count > 0, checkNames(count, os.Getenv("LISTEN_FDNAMES"))
}

// checkNames wants a name for each descriptor, which bounds count, and each to be there.
// LISTEN_FDNAMES has them between colons, "virtlxcd.socket:virtlxcd-ro.socket". The
// unit's name is the default of FileDescriptorName= (systemd.socket(5)).
func checkNames(count int, list string) error {
	var names []string
	if list != "" {
		names = strings.Split(list, ":")
	}
	if len(names) != count {
		return fault.New(fault.InvalidArgument, fault.Wire, "LISTEN_FDNAMES has %d names for %d descriptors", len(names), count)
	}
	for i, name := range names {
		if _, err := unix.FcntlInt(uintptr(firstPassed+i), unix.F_GETFD, 0); err != nil {
			return fault.Wrap(err, fault.InvalidArgument, "descriptor %d, '%s', was announced and not passed", firstPassed+i, name)
		}
	}
	return nil
}

// fromFile takes over file and closes it in any case: the listener has a duplicate. A
// name that nobody asked for is refused: its clients would wait for ever.
func fromFile(file *os.File, names []string) (_ *Listener, err error) {
	defer func() { err = errors.Join(err, file.Close()) }()
	if !slices.Contains(names, file.Name()) {
		return nil, fault.New(fault.InvalidArgument, fault.Wire, "unclaimed activation socket '%s': expected %s", file.Name(), strings.Join(names, ", "))
	}
	if err := checkSocket(file); err != nil {
		return nil, err
	}
	// It knows by itself that the path is not its own to unlink.
	generic, err := net.FileListener(file)
	if err != nil {
		return nil, fault.Wrap(err, fault.InvalidArgument, "activation socket '%s' cannot be used", file.Name())
	}
	return &Listener{UnixListener: generic.(*net.UnixListener)}, nil
}

// checkSocket wants a local stream socket that listens (socket(7)). A unit may pass
// anything: a datagram socket, a fifo, with Accept=yes a connection.
func checkSocket(file *os.File) error {
	wanted := []struct {
		option, value int
		text          string
	}{
		{unix.SO_DOMAIN, unix.AF_UNIX, "is not a local one"},
		{unix.SO_TYPE, unix.SOCK_STREAM, "is not a stream socket"},
		{unix.SO_ACCEPTCONN, 1, "does not listen"},
	}
	for _, w := range wanted {
		value, err := socketOption(file, w.option)
		if err != nil {
			return fault.Wrap(err, fault.InvalidArgument, "activation descriptor '%s' is not a socket", file.Name())
		}
		if value != w.value {
			return fault.New(fault.InvalidArgument, fault.Wire, "activation socket '%s' %s", file.Name(), w.text)
		}
	}
	return nil
}

// socketOption reads a number. ENOTSOCK for other files. Control keeps the descriptor
// open while it is asked.
func socketOption(file *os.File, option int) (value int, err error) {
	conn, err := file.SyscallConn()
	if err != nil {
		return 0, err
	}
	failed := conn.Control(func(fd uintptr) {
		value, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, option)
	})
	return value, errors.Join(failed, err)
}
