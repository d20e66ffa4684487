package systemd

import (
	"errors"
	"net"
	"os"
	"slices"

	"github.com/coreos/go-systemd/v22/activation"

	"virtlxcd/domain/fault"
)

// Listeners returns the sockets that the service manager passed, by the name it
// gave them; several may have one name. The map is empty if it passed none to
// this process. A socket with a name that is not among names, or one that no
// stream client can connect to, is an error, and all are closed.
//
// Descriptors are found by number: call it once, before files are opened and
// children started. Children do not inherit the environment variables.
func Listeners(names ...string) (map[string][]*Listener, error) {
	listeners := make(map[string][]*Listener)
	var errs []error
	for _, file := range activation.Files(true) {
		l, err := fromFile(file, names)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		listeners[file.Name()] = append(listeners[file.Name()], l)
	}
	if len(errs) == 0 {
		return listeners, nil
	}
	for _, several := range listeners {
		for _, l := range several {
			errs = append(errs, l.Close())
		}
	}
	return nil, errors.Join(errs...)
}

// fromFile takes over file and closes it in any case.
func fromFile(file *os.File, names []string) (_ *Listener, err error) {
	defer func() { err = errors.Join(err, file.Close()) }()
	if !slices.Contains(names, file.Name()) {
		return nil, fault.New(fault.InvalidArgument, fault.Wire, "unclaimed activation socket '%s'", file.Name())
	}
	generic, err := net.FileListener(file)
	if err != nil {
		return nil, fault.Wrap(err, fault.InvalidArgument, "activation descriptor '%s' is not a socket", file.Name())
	}
	unix, ok := generic.(*net.UnixListener)
	if !ok || unix.Addr().Network() != "unix" {
		err := fault.New(fault.InvalidArgument, fault.Wire, "activation socket '%s' is not a local stream socket", file.Name())
		return nil, errors.Join(err, generic.Close())
	}
	return &Listener{UnixListener: unix}, nil
}
