package cgroup

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
)

// failed reports an errno, as kind System. The text says what was tried and at what. The
// errno stays inside, for errors.Is.
func failed(err error, format string, args ...any) error {
	wrapped := fault.Wrap(err, fault.System, format, args...)
	wrapped.Area = fault.ControlGroup
	return wrapped
}

// unsupported: this host cannot do what the definition asks for.
func unsupported(format string, args ...any) error {
	return fault.New(fault.UnsupportedConfig, fault.ControlGroup, format, args...)
}

// invalid: no host could do it.
func invalid(format string, args ...any) error {
	return fault.New(fault.InvalidArgument, fault.ControlGroup, format, args...)
}

// missing names a controller, or a feature of one, that this host lacks.
func missing(controller string) error {
	return unsupported("the '%s' control group controller is not available on this host", controller)
}

// gone says that the group is not there any more: removed by us, by the service manager
// with its unit, or by an administrator.
func gone(path string) error {
	return fault.New(fault.NotFound, fault.ControlGroup, "control group '%s' is gone", path)
}

// stopped says that the context ended before what was waited for: Timeout if it was
// its deadline, else Aborted. The group is as it was when the wait ended.
func stopped(err error, format string, args ...any) error {
	kind := fault.Aborted
	if errors.Is(err, context.DeadlineExceeded) {
		kind = fault.Timeout
	}
	wrapped := fault.Wrap(err, kind, format, args...)
	wrapped.Area = fault.ControlGroup
	return wrapped
}

// noProcess is what pidfd_open(2) answers for a number that is no process's any
// more: nobody's (ESRCH), or that of another process's thread (EINVAL, on newer
// kernels ENOENT).
func noProcess(err error) bool {
	return errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT)
}

// vanished: the file or the group below it does not exist (any more). Files
// that were open when their group was removed answer ENODEV.
func vanished(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV)
}
