package cgroup

import (
	"context"
	"time"

	"virtlxcd/domain/fault"
)

// freezeLimit bounds freezing when the caller's context does not: a process in
// uninterruptible sleep on a dead disk never freezes.
const freezeLimit = 10 * time.Second

// Freeze: see ports.Cgroup. On version 2 it waits for the event "frozen 1" of
// cgroup.events, on version 1 it looks at freezer.state again and again, which has no
// event. Freezing what is frozen does nothing; an empty group freezes at once.
func (g *Group) Freeze(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, freezeLimit)
	defer cancel()
	err := g.setFrozen(ctx, true)
	if err == nil || fault.KindOf(err) == fault.NotFound || fault.KindOf(err) == fault.UnsupportedConfig {
		return err
	}
	// ctx may be what ended it; half a container frozen is worse than some seconds more.
	undo, stop := context.WithTimeout(context.WithoutCancel(ctx), freezeLimit)
	defer stop()
	if thawing := g.setFrozen(undo, false); thawing != nil {
		g.log.Warn("unable to thaw a control group that could not be frozen", "path", g.path, "error", thawing)
	}
	return err
}

// Thaw: see ports.Cgroup. It takes no longer than freezeLimit, whatever ctx says. Thawing
// what is not frozen does nothing.
func (g *Group) Thaw(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, freezeLimit)
	defer cancel()
	return g.setFrozen(ctx, false)
}

// setFrozen uses version 2 wherever there is a tree: a process that is killed while
// frozen dies there, on version 1 it has to be thawed first. The two are never mixed:
// what one has frozen the other cannot thaw.
func (g *Group) setFrozen(ctx context.Context, wish bool) error {
	if g.unified() {
		return g.setFrozenUnified(ctx, wish)
	}
	return g.setFrozenV1(ctx, wish)
}

// setFrozenUnified writes cgroup.freeze, which kernels before 5.2 lack.
func (g *Group) setFrozenUnified(ctx context.Context, wish bool) error {
	value := "0"
	if wish {
		value = "1"
	}
	if err := writeValue(g.dirs[0]+"/cgroup.freeze", value); err != nil {
		return g.writeFailed(err, "freezer", g.dirs[0], "unable to freeze or thaw '%s'", g.short())
	}
	return waitEvents(ctx, g.dirs[0], "frozen", wish)
}

// setFrozenV1 repeats the wish: a process that forks while its group freezes
// can be missed by the first. The state goes THAWED, FREEZING, FROZEN
// (admin-guide/cgroup-v1/freezer-subsystem); only the wished one counts.
func (g *Group) setFrozenV1(ctx context.Context, wish bool) error {
	dir, _, ok := g.dir("freezer")
	if !ok {
		return missing("freezer")
	}
	value := "THAWED"
	if wish {
		value = "FROZEN"
	}
	// The kernel has no event for it here.
	for pause := (pauses{}); ; {
		if err := writeValue(dir+"/freezer.state", value); err != nil {
			return g.writeFailed(err, "freezer", dir, "unable to freeze or thaw '%s'", g.short())
		}
		state, err := readValue(dir + "/freezer.state")
		if err != nil {
			return g.writeFailed(err, "freezer", dir, "unable to read the state of '%s'", g.short())
		}
		if state == value {
			return nil
		}
		if err := pause.wait(ctx); err != nil {
			return stopped(err, "control group '%s' did not become %s", g.short(), value)
		}
	}
}

// writeFailed tells a group that is gone, a file this kernel lacks, and a
// refusal apart. The answers are NotFound, UnsupportedConfig and System, in this order.
func (g *Group) writeFailed(err error, controller, dir, format string, args ...any) error {
	if !vanished(err) {
		return failed(err, format, args...)
	}
	if exists(dir) {
		return missing(controller)
	}
	return gone(g.path)
}
