package cgroup

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"
)

// batch is how many processes are held by descriptor at a time. More would come near
// the daemon's limit of open files; fewer would list the group more often.
const batch = 128

// Signal: see ports.Cgroup. Frozen processes get it when they are thawed; on version
// 2 one by which they die reaches them before. Processes that fork while it runs are reached too, as long as
// they do so no faster than the group is listed or ctx lasts. A group that is gone has
// nobody to be signalled: no error. Signal 0 only looks.
func (g *Group) Signal(ctx context.Context, signum int) error {
	if _, err := g.signalAll(ctx, signum); err != nil {
		return err
	}
	return nil
}

// signalAll reaches processes that were started meanwhile too: it ends when a
// listing shows nobody new. It returns how many it reached.
func (g *Group) signalAll(ctx context.Context, signum int) (int, error) {
	dir := g.dirs[g.processes()]
	done := map[int]bool{}
	for {
		if err := ctx.Err(); err != nil {
			return len(done), stopped(err, "unable to signal all processes of '%s'", g.short())
		}
		pids, err := members(dir)
		if err != nil {
			return len(done), failed(err, "unable to list the processes of '%s'", g.short())
		}
		var fresh []int
		for _, pid := range pids {
			if !done[pid] {
				fresh = append(fresh, pid)
			}
		}
		// Whoever forks from now on was signalled or is the child of one who was.
		if len(fresh) == 0 {
			return len(done), nil
		}
		fresh = fresh[:min(len(fresh), batch)]
		if err := signalBatch(dir, fresh, unix.Signal(signum)); err != nil {
			return len(done), failed(err, "unable to signal the processes of '%s'", g.short())
		}
		for _, pid := range fresh {
			done[pid] = true
		}
	}
}

// signalBatch holds the processes by descriptor, lists the group once more and
// signals those still in it: a number that has gone to a stranger meanwhile is
// not in the second list. A stranger who takes it after that list is not reached, as
// the descriptor is the former's (pidfd_open(2)). The error is an errno; some may have
// been signalled then.
func signalBatch(dir string, pids []int, signum unix.Signal) error {
	held := make(map[int]int, len(pids))
	defer func() {
		for _, fd := range held {
			_ = unix.Close(fd)
		}
	}()
	for _, pid := range pids {
		// Held before the second list, so that its number cannot change hands unseen.
		fd, err := unix.PidfdOpen(pid, 0)
		if noProcess(err) {
			continue
		}
		if err != nil {
			return err
		}
		held[pid] = fd
	}
	still, err := members(dir)
	if err != nil {
		return err
	}
	for _, pid := range still {
		fd, ok := held[pid]
		if !ok {
			continue
		}
		if err := unix.PidfdSendSignal(fd, signum, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

// Kill: see ports.Cgroup. One write to cgroup.kill (since Linux 5.14) reaches all at
// once, those that are being forked too, and frozen ones; elsewhere it is SIGKILL to
// each. A process that is dead but not reaped counts as gone. A group that is gone is
// killed. When ctx ends first the processes are dying, or some are; nothing is taken
// back.
func (g *Group) Kill(ctx context.Context) error {
	if g.unified() {
		err := writeValue(g.dirs[0]+"/cgroup.kill", "1")
		if err == nil {
			// Written only says that all were signalled: dying takes time.
			return waitEvents(ctx, g.dirs[0], "populated", false)
		}
		if !vanished(err) {
			return failed(err, "unable to kill the processes of '%s'", g.short())
		}
		if !exists(g.dirs[0]) {
			return nil
		}
	}
	return g.killEach(ctx)
}

// killEach is for kernels without cgroup.kill. Freezing keeps a group that
// forks faster than it is killed from winning; where it cannot be frozen
// repetition must do. Each round thaws again, whatever came of it: version 1 does not
// let a frozen process die.
func (g *Group) killEach(ctx context.Context) error {
	for {
		if err := g.setFrozenBriefly(ctx); err != nil {
			g.log.Debug("killing a control group without freezing it", "path", g.path, "error", err)
		}
		reached, err := g.signalAll(ctx, int(unix.SIGKILL))
		// Without the end of ctx: nobody is left frozen.
		thawing := g.Thaw(context.WithoutCancel(ctx))
		if err != nil {
			return err
		}
		if reached == 0 {
			return nil
		}
		if thawing != nil {
			g.log.Warn("unable to thaw a killed control group", "path", g.path, "error", thawing)
		}
		if err := g.waitOne(ctx); err != nil {
			return err
		}
	}
}

// setFrozenBriefly gives up soon: freezing helps to kill, and is not worth a wait for
// a process in uninterruptible sleep. It has half a second.
func (g *Group) setFrozenBriefly(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, freezeLimit/20)
	defer cancel()
	return g.setFrozen(ctx, true)
}

// waitOne waits until the first process of the group has ended. One is enough: the round
// that follows lists the rest anew.
func (g *Group) waitOne(ctx context.Context) error {
	pids, err := members(g.dirs[g.processes()])
	if err != nil {
		return failed(err, "unable to list the processes of '%s'", g.short())
	}
	if len(pids) == 0 {
		return nil
	}
	return waitProcess(ctx, pids[0])
}
