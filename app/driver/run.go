package driver

import (
	"context"
	"os"
	"time"

	"virtlxcd/domain/container"
	"virtlxcd/ports"
)

// run is one container from its start to its end, over restarts from inside.
// What stands first never changes once the run is in its slot, so readers may
// use it; the rest is guarded by the container's gate. Made by a start or by
// Recover, ended by clear; a container that is started again has another one.
type run struct {
	id     int
	cgroup ports.Cgroup
	owner  *connection // destroys it when it closes; nil: nobody
	inbox  inbox
	// cleared is closed when nothing of it is left.
	cleared chan struct{}

	origin   *container.Definition // what was to be started, before names were filled in
	status   container.Status      // as stored
	holder   *holder
	process  ports.Process
	held     ports.Held // escrow: what a new controller needs if this one dies
	started  time.Time
	relapses int // quick ends in a row before this run

	machine string    // its name in the registry of machines, if it is there
	links   []int     // indexes of its host ends, where they are known
	linked  firstPID  // for whom the links were made when the last daemon ended
	exit    int       // wait status of init, once reported
	ending  time.Time // when its end began
}

// firstPID is an init, as a status names it. Both together name a process for
// good, as pids are used again.
type firstPID struct {
	pid   int
	start uint64 // see ports.Process
}

// newRun has neither process nor group yet; its inbox takes reports at once.
// Runs are made here only, as the channels of a zero one are nil.
func newRun() *run {
	return &run{cleared: make(chan struct{}), inbox: newInbox()}
}

// lasting is a context for taking something back. It goes on for UndoLimit
// where ctx has ended: a change that was cut short must not stay half done. The
// values of ctx stay. Whoever calls it must call cancel.
func (d *Driver) lasting(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), d.options.UndoLimit)
}

// saveStatus stores status and remembers it if that worked; otherwise it makes
// sure that what is stored is what was remembered. status is a copy of the
// run's with changes, never the run's own: on failure r.status is as before.
// The first one of a run has no forerunner, and undo removes it. Called with
// the gate held, or by Recover.
func (d *Driver) saveStatus(ctx context.Context, r *run, status container.Status) error {
	err := d.ports.Store.SaveStatus(ctx, &status)
	if err == nil {
		r.status = status
		return nil
	}
	if old := r.status; old.Definition != nil {
		ctx, cancel := d.lasting(ctx)
		defer cancel()
		if err := d.ports.Store.SaveStatus(ctx, &old); err != nil {
			d.log.Warn("cannot restore a status", "container", old.Definition.Name, "error", err)
		}
	}
	return err
}

// closeHandles gives up the daemon's hold on the container's descriptors. Init
// and its controller do not mind. Called when the run is over for this daemon.
func (r *run) closeHandles() {
	if r.process != nil {
		_ = r.process.Close()
	}
	closeHeld(r.held)
	r.held = ports.Held{}
}

// closeHeld closes all descriptors of a set. Errors do not matter: nothing was
// written. nil ones are skipped; the same set must not be closed twice.
func closeHeld(held ports.Held) {
	closeFiles(held.Process, held.Network, held.Plan)
	closeFiles(held.Terminals...)
	closeFiles(held.Hosts...)
}

// closeFiles closes files; nil ones are skipped.
func closeFiles(files ...*os.File) {
	for _, file := range files {
		if file != nil {
			_ = file.Close()
		}
	}
}

// exchange takes over what fresh has and closes what it replaces. What fresh
// leaves out is still good: a reboot from inside keeps the host terminals, and
// the plan. Called with the gate held.
func (r *run) exchange(fresh ports.Held) {
	old := r.held
	merged := fresh
	if fresh.Hosts == nil {
		merged.Hosts, old.Hosts = old.Hosts, nil
	}
	if fresh.Terminals == nil {
		merged.Terminals, old.Terminals = old.Terminals, nil
	}
	if fresh.Plan == nil {
		merged.Plan, old.Plan = old.Plan, nil
	}
	r.held = merged
	closeHeld(old)
}
