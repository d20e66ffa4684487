package driver

import (
	"context"
	"errors"
	"path"

	"virtlxcd/domain/access"
	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// Signals by their Linux numbers (signal(7)), and those that systemd as a
// container's init takes for its own (systemd(1)). They are spelled here
// because use cases may not import syscall. SIGRTMIN is glibc's 34, after the
// two that it keeps for itself.
const (
	sigHUP  = 1
	sigILL  = 4
	sigABRT = 6
	sigBUS  = 7
	sigKILL = 9
	sigSEGV = 11
	sigTERM = 15

	systemdPoweroff = 38 // SIGRTMIN+4
	systemdReboot   = 39 // SIGRTMIN+5

	// SIGRTMAX; 0 is let through and only checks that init is there (kill(2)).
	lastSignal = 64
)

// plea is one way of asking init for its end. Init control is a fifo to which a
// request of System V init is written (init(8), initctl): the level as its
// ASCII digit.
type plea struct {
	level   byte // for init control
	signal  int
	systemd int // signal for systemd, to which the other means something else
}

// Level 0 is halt and 6 reboot. SIGTERM and SIGHUP are what the interface has
// always sent to programs without init control.
var (
	poweroff = plea{level: '0', signal: sigTERM, systemd: systemdPoweroff}
	reboot   = plea{level: '6', signal: sigHUP, systemd: systemdReboot}
)

// Shutdown implements ports.Lifecycle. To have asked is success: init may
// refuse, or take hours. WrongState if nothing runs.
func (c *connection) Shutdown(ctx context.Context, ref container.Ref, how ports.Asking) error {
	return c.ask(ctx, callShutdown, ref, poweroff, how)
}

// Reboot implements ports.Lifecycle. Whether a reboot follows is init's affair;
// it is seen only in its exit (reboot.go).
func (c *connection) Reboot(ctx context.Context, ref container.Ref, how ports.Asking) error {
	return c.ask(ctx, callReboot, ref, reboot, how)
}

// ask runs with the gate held, so that init is not replaced while it is asked. It does
// not wait for what init makes of it.
func (c *connection) ask(ctx context.Context, call string, ref container.Ref, p plea, how ports.Asking) error {
	wish := request{call: call, ref: ref, permissions: []access.Permission{access.InitControl}}
	return c.change(ctx, wish, func(_ context.Context, e *entry) error {
		r := e.Data.run.Load()
		if r == nil {
			return fault.NotRunning()
		}
		return p.put(r.process, how)
	})
}

// put asks: by init control, where that is absent and not demanded by a signal.
// UnsupportedOperation if only init control is wanted and there is none. A
// demanded signal is the plain one even for systemd, since the client named the
// way.
func (p plea) put(process ports.Process, how ports.Asking) error {
	if how.BySignal && !how.InitControl {
		return process.Signal(p.signal)
	}
	err := process.RequestRunlevel(p.level)
	switch {
	case !errors.Is(err, fault.UnsupportedOperation):
		return err
	case how.InitControl:
		return fault.New(fault.UnsupportedOperation, fault.Driver, "Container does not provide an initctl pipe")
	}
	signal, err := p.signalFor(process)
	if err != nil {
		return err
	}
	return process.Signal(signal)
}

// signalFor looks at what init executes now. Programs that are systemd by
// another name are asked like any other. It is asked each time, as a small init
// may have executed another since.
func (p plea) signalFor(process ports.Process) (int, error) {
	program, err := process.Program()
	if err == nil && path.Base(program) == "systemd" {
		return p.systemd, nil
	}
	return p.signal, err
}

// putIfHeard asks unless nobody would listen: as process 1 of a namespace an
// init without a handler never gets to see the signal. StopAll asks so, since
// waiting for an init that is deaf would cost the whole limit.
func (p plea) putIfHeard(process ports.Process) (heard bool, err error) {
	err = process.RequestRunlevel(p.level)
	if !errors.Is(err, fault.UnsupportedOperation) {
		return err == nil, err
	}
	signal, err := p.signalFor(process)
	if err != nil {
		return false, err
	}
	if heard, err = process.Catches(signal); err != nil || !heard {
		return false, err
	}
	return true, process.Signal(signal)
}

// Signal implements ports.Lifecycle. The number is checked before the container
// is looked for, and the pid after: errors come in the order in which clients
// know them.
func (c *connection) Signal(ctx context.Context, ref container.Ref, pid int64, signum uint) error {
	if err := c.writable(callSignal); err != nil {
		return err
	}
	if signum > lastSignal {
		return fault.New(fault.InvalidArgument, fault.Driver, "signum value %d is out of range", signum)
	}
	wish := request{call: callSignal, ref: ref, permissions: []access.Permission{access.SendSignal}}
	return c.change(ctx, wish, func(_ context.Context, e *entry) error {
		r := e.Data.run.Load()
		switch {
		case r == nil:
			return fault.NotRunning()
		case pid != 1:
			return fault.New(fault.UnsupportedArgument, fault.Driver, "Only the init process may be killed")
		}
		if err := r.process.Signal(int(signum)); err != nil {
			return fault.Wrap(err, fault.System, "Unable to send %d signal to process %d", signum, r.process.PID())
		}
		return nil
	})
}
