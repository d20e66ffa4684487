package netlink

import (
	"context"
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
)

// failed reports an errno, as kind System.
func failed(err error, format string, args ...any) error {
	wrapped := fault.Wrap(plain(err), fault.System, format, args...)
	wrapped.Area = fault.Host
	return wrapped
}

// invalid: no host could do it.
func invalid(format string, args ...any) error {
	return fault.New(fault.InvalidArgument, fault.Host, format, args...)
}

// stopped says that the context ended before what was waited for: Timeout if it was
// its deadline, else Aborted.
func stopped(err error, format string, args ...any) error {
	kind := fault.Aborted
	if errors.Is(err, context.DeadlineExceeded) {
		kind = fault.Timeout
	}
	wrapped := fault.Wrap(err, kind, format, args...)
	wrapped.Area = fault.Host
	return wrapped
}

// spelled is an errno in the words of the C library, which start in upper case:
// these texts are part of the interface.
type spelled struct{ errno unix.Errno }

// Error starts in upper case: "No such device".
func (s spelled) Error() string {
	text := s.errno.Error()
	return strings.ToUpper(text[:1]) + text[1:]
}

// Unwrap keeps the errno for errors.Is.
func (s spelled) Unwrap() error { return s.errno }

// plain replaces an error that holds an errno by it, so that clients read the
// usual words whatever way it came: the library and os each put their own around it.
// What holds none stays as it is.
func plain(err error) error {
	var errno unix.Errno
	if errors.As(err, &errno) && errno.Error() != "" {
		return spelled{errno}
	}
	return err
}
