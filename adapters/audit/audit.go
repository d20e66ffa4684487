// Package audit writes the host's audit trail through the kernel, where the
// host's own programs (auditd, journald) pick it up. Records of this interface are the
// kinds VIRT_CONTROL, VIRT_RESOURCE and VIRT_MACHINE_ID; ausearch(8) finds them by -vm.
package audit

import (
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"virtlxcd/domain/audit"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// Options are the settings of virtlxcd.conf.
type Options struct {
	// Level is 0 to write nothing, 1 to write if the host audits, 2 and above to
	// insist on it.
	Level int
	// AlsoLog repeats every record in the log, whatever Level is.
	AlsoLog bool
}

const (
	// waiting is how many records may wait for the kernel. Starting a container
	// makes about ten.
	waiting = 2048
	// farewell is how long Close may take.
	farewell = 5 * time.Second
)

// sender is the kernel. Only one goroutine uses it.
type sender interface {
	// send may block as long as the kernel has no room.
	send(kind uint16, text string) error
	Close() error
}

// Audit is the writer of the trail. Record never waits, as the kernel may hold up a writer
// for a minute while its own queue is full, and that must not be a start's: one goroutine
// waits for it, and Close for the goroutine.
type Audit struct {
	log     *slog.Logger
	exe     string
	kernel  sender // nil: nothing is written
	alsoLog atomic.Bool

	queue chan audit.Record
	lost  atomic.Int64
	stop  chan struct{}
	done  chan struct{}
	close sync.Once
	out   bool // of order: the goroutine's alone
}

var _ ports.Auditor = (*Audit)(nil)

// New opens the trail. With Level 1 a host that does not audit is fine and
// told to the log; above, it is a fault of kind System. Where auditing is built
// in and merely switched off, Level 1 keeps writing: the kernel drops what it
// does not want, and it can be switched on later.
func New(options Options, log *slog.Logger) (*Audit, error) {
	var kernel sender
	if options.Level > 0 {
		s, err := open(options.Level > 1)
		switch {
		case err != nil && options.Level > 1:
			return nil, fault.Wrap(err, fault.System, "audit_level asks for an audit trail, but there is none")
		case err != nil:
			log.Info("this host has no audit trail for containers", "error", err)
		default:
			kernel = s
		}
	}
	exe, err := os.Executable()
	if err != nil {
		exe = os.Args[0]
	}
	return start(kernel, exe, options.AlsoLog, log), nil
}

// open fails if the trail cannot be used at all, and also if it is switched off
// and has to be on.
func open(mustBeOn bool) (*socket, error) {
	s, err := openSocket()
	if err != nil {
		return nil, err
	}
	on, err := s.enabled()
	if err == nil && !on && mustBeOn {
		err = errors.New("auditing is switched off in the kernel")
	}
	if err != nil {
		_ = s.Close() // nothing was written to it
		return nil, err
	}
	return s, nil
}

// start owns kernel. Without one there is no goroutine.
func start(kernel sender, exe string, alsoLog bool, log *slog.Logger) *Audit {
	a := &Audit{
		log: log, exe: exe, kernel: kernel,
		queue: make(chan audit.Record, waiting), stop: make(chan struct{}), done: make(chan struct{}),
	}
	a.alsoLog.Store(alsoLog)
	if kernel == nil {
		close(a.done)
	} else {
		go a.run()
	}
	return a
}

// SetAlsoLog changes Options.AlsoLog, for records from now on. Safe from any goroutine.
func (a *Audit) SetAlsoLog(also bool) { a.alsoLog.Store(also) }

// Record queues one record. It never waits: without room the record is lost,
// and how many were is logged when there is room again.
func (a *Audit) Record(record audit.Record) {
	if a.alsoLog.Load() {
		a.repeat(record)
	}
	if a.kernel == nil {
		return
	}
	select {
	case a.queue <- record:
	default:
		a.lost.Add(1)
	}
}

// repeat has a function of its own so that the log knows where it comes from.
func (a *Audit) repeat(record audit.Record) {
	if record.Success {
		a.log.Info("success=yes " + body(record, longest))
		return
	}
	a.log.Warn("success=no " + body(record, longest))
}

// Close writes what is queued, as long as the kernel takes it without delay,
// and ends the writer. Records after it are dropped. Timeout if the kernel
// still holds up a record; its call then ends by itself.
func (a *Audit) Close() error {
	var err error
	a.close.Do(func() {
		close(a.stop)
		timer := time.NewTimer(farewell)
		defer timer.Stop()
		select {
		case <-a.done:
		case <-timer.C:
			err = fault.New(fault.Timeout, fault.Host, "the kernel does not take audit records")
		}
	})
	return err
}

// run writes in the order of Record until Close.
func (a *Audit) run() {
	defer close(a.done)
	defer func() {
		if err := a.kernel.Close(); err != nil {
			a.log.Warn("the audit trail was not closed cleanly", "error", err)
		}
	}()
	for {
		select {
		case record := <-a.queue:
			a.write(record)
		case <-a.stop:
			a.drain(time.Now().Add(farewell))
			return
		}
	}
}

// drain writes what is left until the deadline and counts the rest. One record that the
// kernel holds up takes as long as it takes: Close does not wait for it longer.
func (a *Audit) drain(deadline time.Time) {
	for len(a.queue) > 0 && time.Now().Before(deadline) {
		a.write(<-a.queue)
	}
	if lost := a.lost.Load() + int64(len(a.queue)); lost > 0 {
		a.log.Warn("audit records were lost", "count", lost)
	}
}

// write sends one record. The log is told once when that starts to fail, and
// once how many were lost when it works again.
func (a *Audit) write(record audit.Record) {
	if err := a.kernel.send(uint16(record.Kind), message(record, a.exe)); err != nil {
		a.lost.Add(1)
		if !a.out {
			a.log.Warn("cannot write to the audit trail", "error", err)
		}
		a.out = true
		return
	}
	a.out = false
	if lost := a.lost.Swap(0); lost > 0 {
		a.log.Warn("audit records were lost", "count", lost)
	}
}
