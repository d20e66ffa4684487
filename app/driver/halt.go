package driver

import (
	"context"
	"errors"
	"sync"
	"time"

	"virtlxcd/app/jobs"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/lifecycle"
)

// halt keeps starts out while everything is being stopped. A start holds one
// place in it from its first step to its last (start). Its mutex is a leaf;
// nobody waits with it held.
type halt struct {
	mu     sync.Mutex
	wanted int // calls of StopAll under way
	starts int // starts under way
	// Made by the first who waits, closed by the last start; nil: nobody waits.
	calm chan struct{}
}

// enter registers a start; false: it must not be. Every true needs one leave.
func (h *halt) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.wanted > 0 {
		return false
	}
	h.starts++
	return true
}

// leave wakes those who wait for the last start to end.
func (h *halt) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.starts--
	if h.starts == 0 && h.calm != nil {
		close(h.calm)
		h.calm = nil
	}
}

// begin keeps starts out from now on. Calls of StopAll may overlap.
func (h *halt) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wanted++
}

// end lets starts in again once no StopAll is left.
func (h *halt) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wanted--
}

// on says whether containers are to stay off: those that end are not started
// again. It is asked by ended, which holds the gate, so that a container which
// shuts down as it was asked does not come back because of on_poweroff.
func (h *halt) on() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.wanted > 0
}

// wait returns when no start is under way. After begin none follows. Without
// begin it may return while the next start comes in.
func (h *halt) wait() {
	h.mu.Lock()
	if h.starts == 0 {
		h.mu.Unlock()
		return
	}
	if h.calm == nil {
		h.calm = make(chan struct{})
	}
	calm := h.calm
	h.mu.Unlock()
	<-calm
}

// halting is the answer to starts meanwhile. Kind Aborted, as for a daemon that
// ends: it may be tried again later.
func halting() error {
	return fault.New(fault.Aborted, fault.Driver, "all containers are being stopped")
}

// StopAll implements ports.Daemon. Meanwhile nothing is started, nor started
// again because its definition says so. It goes over all of them twice: the
// first time may fail for some, and a start that was already under way may not
// have shown its container yet. limit is for both rounds together; in the
// second, when it is over, what is left is destroyed at once. The answer is
// that of the second round.
func (d *Driver) StopAll(ctx context.Context, limit time.Duration) error {
	d.halt.begin()
	defer d.halt.end()
	asking, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := d.stopEach(asking); err != nil {
		d.log.Warn("trying again to stop all containers", "error", err)
	}
	d.halt.wait() // for those that nobody could see yet
	return d.stopEach(asking)
}

// stopEach stops what can be seen now, all at once: a host that goes down has
// one limit for all. The errors name their containers and are joined. State is
// looked at as well as run: a container that is being started has no run in its
// slot and is waited for at its gate.
func (d *Driver) stopEach(asking context.Context) error {
	var running []*entry
	for _, e := range d.registry.Entries() {
		if e.Data.run.Load() != nil || e.Snapshot().State != lifecycle.Off {
			running = append(running, e)
		}
	}
	failures := make([]error, len(running))
	var all sync.WaitGroup
	for i, e := range running {
		all.Go(func() { failures[i] = fault.During(d.stopOne(asking, e), "stop", e.Name) })
	}
	all.Wait()
	return errors.Join(failures...)
}

// stopOne asks a container to shut down and waits as long as asking lasts; then
// it is destroyed. asking only bounds the asking. The destroying waits for its
// turn without it, or a host that is in a hurry would leave containers behind.
// It has ended meanwhile: nil.
func (d *Driver) stopOne(asking context.Context, e *entry) error {
	if asked := d.askToStop(asking, e); asked != nil {
		select {
		case <-asked.cleared:
		case <-asking.Done():
		}
	}
	wish := jobs.Wish{Name: callDestroy, Patient: true, Urgent: true}
	return d.desk.Do(context.WithoutCancel(asking), &e.Gate, wish, func(ctx context.Context) error {
		if e.Data.run.Load() == nil {
			return nil
		}
		return d.destroy(ctx, e)
	})
}

// askToStop returns what was asked; nil: there is nobody who would listen. The
// gate is held only while init is asked, so that its end can be dealt with. A
// paused container is not asked, because frozen processes do not hear. An error
// is logged and not returned: what cannot be asked is destroyed.
func (d *Driver) askToStop(asking context.Context, e *entry) (asked *run) {
	wish := jobs.Wish{Name: callShutdown, Patient: true, Urgent: true}
	err := d.desk.Do(asking, &e.Gate, wish, func(context.Context) error {
		r := e.Data.run.Load()
		if r == nil || e.Snapshot().State != lifecycle.Running {
			return nil
		}
		heard, err := poweroff.putIfHeard(r.process)
		if heard {
			asked = r
		}
		return err
	})
	if err != nil {
		d.log.Warn("cannot ask a container to shut down", "container", e.Name, "error", err)
	}
	return asked
}
