package driver

import (
	"context"

	"virtlxcd/app/jobs"
	"virtlxcd/domain/container"
	"virtlxcd/domain/lifecycle"
	"virtlxcd/ports"
)

// noExtra is the last argument of a hook; no occasion has another. Scripts get
// it as their fourth argument.
const noExtra = "-"

// hook runs the site's programs. They see the definition as it is at that
// moment; nobody else waits for them but who wants to change the container.
// Called with the gate held: a program that asks for a change of the same
// container waits for itself, until the limit ends it. HookFailed with what the
// program wrote.
func (d *Driver) hook(ctx context.Context, operation, phase string, definition *container.Definition, how ports.Format) error {
	if !d.ports.Hooks.Present() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, d.options.StartLimit)
	defer cancel()
	return d.ports.Hooks.Run(ctx, ports.HookCall{
		Container: definition.Name, Operation: operation, Phase: phase, Extra: noExtra,
		Document: d.ports.Codec.Format(definition, how),
	})
}

// endHook runs those that cannot prevent anything any more. Phase "end": what
// they are told about has happened, so a failure is only logged.
func (d *Driver) endHook(ctx context.Context, operation string, definition *container.Definition, id int) {
	if err := d.hook(ctx, operation, "end", definition, ports.Format{ID: id}); err != nil {
		d.log.Warn("a hook failed", "container", definition.Name, "operation", operation, "error", err)
	}
}

// prepareHook comes before anything is made. What runs at the end of containers
// runs as well if the start fails from here on. A hook that fails itself still
// gets "stopped" and "release" afterwards, as it may have done half of its
// work. The root is added for later hooks only: this one sees the definition
// without it.
func (s *start) prepareHook(ctx context.Context) error {
	s.undo.Push("release hook", func(ctx context.Context) error {
		_ = s.stoppedHook(ctx)
		s.driver.endHook(ctx, "release", s.live, container.NoID)
		return nil
	})
	if err := s.driver.hook(ctx, "prepare", "begin", s.live, ports.Format{ID: container.NoID, Inactive: true}); err != nil {
		return err
	}
	s.shareRoot()
	return nil
}

// startHook sees the terminals and links that were chosen; the container has no
// id yet. That is so although its number is reserved: clients cannot look it up
// before the start is shown.
func (s *start) startHook(ctx context.Context) error {
	return s.driver.hook(ctx, "start", "begin", s.live, ports.Format{ID: container.NoID})
}

// startedHook is the last that can prevent a start, though init runs already: it is
// killed again if the hook fails.
func (s *start) startedHook(ctx context.Context) error {
	return s.driver.hook(ctx, "started", "begin", s.live, ports.Format{ID: s.run.id})
}

// stoppedHook runs once in a start that failed. Two reverses call it, because a
// start may fail before there is a process (prepareHook) or after (begin), and
// it belongs to a certain place in each order.
func (s *start) stoppedHook(ctx context.Context) error {
	if s.stopped {
		return nil
	}
	s.stopped = true
	s.driver.endHook(ctx, "stopped", s.live, s.shownID())
	return nil
}

// shownID is the id that clients would see. 0 is the run's word for none, as
// ReserveID starts at 1.
func (s *start) shownID() int {
	if s.run.id == 0 {
		return container.NoID
	}
	return s.run.id
}

// reconnect tells the site of every container that was found running; one that
// it does not want is killed. Called late in Recover, when controllers are
// listened to already; hence the gates. A container that has ended or was
// replaced meanwhile is left to its own job.
func (d *Driver) reconnect(ctx context.Context) {
	if !d.ports.Hooks.Present() {
		return
	}
	for _, e := range d.registry.Entries() {
		r := e.Data.run.Load()
		if r == nil {
			continue
		}
		err := d.desk.Do(ctx, &e.Gate, jobs.Wish{Name: callRecover, Patient: true}, func(ctx context.Context) error {
			if e.Data.run.Load() != r || ended(r.process) {
				return nil
			}
			return d.reconnectOne(ctx, e, r)
		})
		if err != nil {
			d.log.Error("cannot say whether a container may run on", "container", e.Name, "error", err)
		}
	}
}

// reconnectOne kills a container at once that the site refuses: it had its time
// to shut down while no daemon was there. It is not started again by itself. A
// kill that fails leaves it running and known.
func (d *Driver) reconnectOne(ctx context.Context, e *entry, r *run) error {
	err := d.hook(ctx, "reconnect", "begin", e.Snapshot().Live, ports.Format{ID: r.id})
	if err == nil || ctx.Err() != nil { // it was not refused: the daemon ends
		return err
	}
	d.log.Error("a hook refused a running container and it is killed", "container", e.Name, "error", err)
	step, ok := lifecycle.Next(e.Snapshot().State, lifecycle.Lose)
	if !ok {
		return nil
	}
	if err := d.kill(ctx, e, r, false); err != nil {
		return err
	}
	d.finish(ctx, e, r, step)
	return nil
}
