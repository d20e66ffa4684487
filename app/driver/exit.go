package driver

import (
	"context"
	"strings"
	"time"

	"virtlxcd/app/jobs"
	"virtlxcd/domain/container"
	"virtlxcd/domain/lifecycle"
	"virtlxcd/ports"
)

// A container that ends within quickEnd of its start has relapsed; after
// maxRelapses in a row it is not started again by itself.
const (
	quickEnd    = time.Second // from Proceed to the end
	maxRelapses = 5           // so one that ends at once is started six times
)

// settle deals with what controllers told about a run, as a job. post spawns it
// for the first note of an empty inbox. The wish is patient and urgent: no
// client waits, and what is not dealt with stays with the controller as
// unacknowledged.
func (d *Driver) settle(e *entry, r *run) {
	wish := jobs.Wish{Name: callExit, Patient: true, Urgent: true}
	err := d.desk.Do(context.Background(), &e.Gate, wish, func(ctx context.Context) error {
		d.drain(ctx, e, r)
		return nil
	})
	if err != nil {
		// The daemon ends. What is not acknowledged is told to the next one.
		for _, n := range r.inbox.close() {
			closeHeld(n.report.Held)
		}
	}
}

// drain deals with all notes, as long as they are about what runs. Called with
// the gate held. A note may end the run, and another may begin in the same
// slot: what was left in the old inbox has been given up by clear.
func (d *Driver) drain(ctx context.Context, e *entry, r *run) {
	for e.Data.run.Load() == r {
		n, ok := r.inbox.next()
		if !ok {
			return
		}
		d.handle(ctx, e, r, n)
	}
}

// handle deals with one note. All but unknown ones are acknowledged only when they
// have been dealt with, by clear or rebooted: a daemon that dies in between hears of
// them again.
func (d *Driver) handle(ctx context.Context, e *entry, r *run, n note) {
	switch {
	case n.lost:
		d.regain(ctx, e, r, n.holder)
	case n.report.Kind == ports.ReportRestarted:
		d.restarted(ctx, e, r, n)
	case n.report.Kind == ports.ReportRestartNeedsLinks:
		d.relink(ctx, e, r, n)
	case n.report.Kind == ports.ReportRestartFailed:
		d.ended(ctx, e, r, n, lifecycle.Exit)
	case n.report.Kind == ports.ReportExited:
		d.ended(ctx, e, r, n, classify(n.report.Exit, d.oomKills(ctx, e, r)))
	default:
		d.log.Warn("a controller sent an unknown report", "container", e.Name, "kind", n.report.Kind)
		d.discard(n)
	}
}

// oomKills must be read before the group is removed. A group that cannot be
// read has killed nobody. The count is of the group and so of all its
// processes.
func (d *Driver) oomKills(ctx context.Context, e *entry, r *run) uint64 {
	used, err := r.cgroup.Usage(ctx)
	if err != nil {
		d.log.Debug("cannot read counters", "container", e.Name, "error", err)
	}
	return used.OOMKills
}

// classify tells from init's wait status (wait(2)) how a container ended. A
// SIGKILL counts as a crash only with the kernel's word for it: without an OOM
// kill it came from somebody who wanted the end. An exit code, whatever it is,
// is an end like any other, and so is every other signal.
func classify(status int, oomKills uint64) lifecycle.Trigger {
	switch status & 0x7f {
	case sigSEGV, sigABRT, sigBUS, sigILL:
		return lifecycle.Crash
	case sigKILL:
		if oomKills > 0 {
			return lifecycle.Crash
		}
	}
	return lifecycle.Exit
}

// ended clears up after a container that stopped without being told to, and
// starts it again if its definition says so. All is cleared before the new
// start, which makes the same names and links again. A reboot that failed is
// not tried again, as it would fail the same way. Called with the gate held.
func (d *Driver) ended(ctx context.Context, e *entry, r *run, n note, trigger lifecycle.Trigger) {
	r.ending, r.exit = time.Now(), n.report.Exit
	before := e.Snapshot()
	step, ok := lifecycle.Next(before.State, trigger)
	if !ok {
		d.log.Warn("an ended container was not running", "container", e.Name, "state", before.State.String())
		step = lifecycle.Step{State: lifecycle.Off, Reason: lifecycle.ShutDown}
	}
	failed := n.report.Kind == ports.ReportRestartFailed
	if failed {
		step.Reason = lifecycle.FailedReason
		d.log.Error("a reboot from inside failed", "container", e.Name, "error", d.explain(ctx, before.Live, r, n.report.Failure))
	}
	d.clear(ctx, e, r, step.Reason, n)
	if failed || d.halt.on() || !restartWanted(before.Live, trigger) || !d.restart(ctx, e, r, step) {
		d.showOff(e, step)
	}
}

// explain says which part of the definition a failed restart stumbled on. The
// plan is made anew: the same definition gives the same one. Without facts or
// plan the bare errno is the answer.
func (d *Driver) explain(ctx context.Context, live *container.Definition, r *run, failure *ports.StepError) error {
	if failure == nil {
		return nil
	}
	facts, err := d.knownFacts(ctx)
	if err != nil {
		return failure
	}
	plan, err := d.planFor(live, facts, r.cgroup)
	if err != nil {
		return failure
	}
	return plan.Explain(failure.Entered, failure.Index, failure.Err, failure.Interpreter)
}

// restartWanted reads on_poweroff or on_crash of the definition that ran:
// "restart", "rename-restart" and "coredump-restart" all start it again. One
// whose end nobody saw stays off, as nobody knows why it ended. What is not set
// is an empty string, which has no such word in it: the container stays off.
func restartWanted(live *container.Definition, trigger lifecycle.Trigger) bool {
	action := live.OnPoweroff
	switch trigger {
	case lifecycle.Crash:
		action = live.OnCrash
	case lifecycle.Lose:
		return false
	}
	return strings.Contains(action, "restart")
}

// restart starts an ended container again; false: it is to stay off. Both the
// end and the new start are announced. A run that lasted longer than quickEnd
// ends the row of relapses. What starts is origin and not the stored
// definition, so a change that was made meanwhile waits for a start that
// somebody asks for. Called with the gate held, after clear; a start that fails
// has already been shown (startFailed), hence true.
func (d *Driver) restart(ctx context.Context, e *entry, r *run, step lifecycle.Step) bool {
	relapses := 0
	if time.Since(r.started) < quickEnd {
		relapses = r.relapses + 1
	}
	if relapses > maxRelapses {
		d.log.Error("a container ends as soon as it is started and stays off", "container", e.Name)
		return false
	}
	if r.owner != nil && r.owner.closed.Load() {
		return false // whoever closed it came too late to find this run, or waits for the gate
	}
	d.publishOff(e, step)
	if s := e.Snapshot(); !s.Persistent { // something must be shown meanwhile
		d.publish(e, func(s *container.Snapshot) { s.Config = r.origin })
	}
	d.announce(e.Snapshot().Identity, step.Event, step.Reason)
	again := starting{definition: r.origin, owner: r.owner, relapses: relapses}
	if err := d.start(ctx, e, again); err != nil {
		d.log.Error("cannot start a container again", "container", e.Name, "error", err)
		d.forgetTransient(e)
		return true
	}
	if gone, err := d.destroyForsaken(ctx, e, again.owner); gone && err != nil {
		d.log.Error("cannot destroy a container whose connection has closed", "container", e.Name, "error", err)
	}
	return true
}

// forgetTransient forgets what was shown only to be started again. A start that
// fails drops a transient one itself; dropping twice is harmless.
func (d *Driver) forgetTransient(e *entry) {
	if s := e.Snapshot(); s != nil && !s.Persistent {
		d.registry.Drop(e)
	}
}

// lose ends a container of which nothing is known but that it does not run. Its
// wait status is unknown, and so it is neither a crash nor started again.
// Called with the gate held, or by Recover.
func (d *Driver) lose(ctx context.Context, e *entry, r *run) {
	d.ended(ctx, e, r, note{lost: true}, lifecycle.Lose)
}
