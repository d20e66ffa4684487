package cgroup

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Remove: see ports.Cgroup. Groups that were made inside go too. It tries at once,
// whatever ctx says, and then waits for the last process, or for the kernel to be done
// with one that has ended (EBUSY). Aborted or Timeout if ctx ends first: hierarchies in
// which nothing lived are gone by then, and Remove can be called again. Afterwards
// Usage answers NotFound.
func (g *Group) Remove(ctx context.Context) error {
	for pause := (pauses{}); ; {
		busy, err := g.removeAll()
		if err != nil {
			return err
		}
		if busy == "" {
			g.counters.close()
			g.leaveScope()
			return nil
		}
		if err := ctx.Err(); err != nil {
			return stopped(err, "control group '%s' is still in use", g.short())
		}
		if err := g.waitEmpty(ctx, busy, &pause); err != nil {
			return err
		}
	}
}

// removeAll tries every hierarchy and returns the first directory that is busy: on
// hosts with a version 2 tree mostly that one, whose events can be waited for. An error
// other than busy does not keep it from trying the rest.
func (g *Group) removeAll() (busy string, err error) {
	for _, dir := range g.dirs {
		switch failure := removeTree(dir); {
		case failure == nil:
		case inUse(failure):
			if busy == "" {
				busy = dir
			}
		case err == nil:
			err = failed(failure, "unable to remove control group '%s'", dir)
		}
	}
	return busy, err
}

// waitEmpty waits until it makes sense to try again: for the event where there
// is one, else for one process, else (nothing lives there, so the kernel is
// just not done) a moment.
func (g *Group) waitEmpty(ctx context.Context, dir string, pause *pauses) error {
	occupied, err := populated(dir)
	if err != nil {
		return err
	}
	if !occupied {
		if err := pause.wait(ctx); err != nil {
			return stopped(err, "control group '%s' is still in use", g.short())
		}
		return nil
	}
	if g.unified() && dir == g.dirs[0] {
		return waitEvents(ctx, dir, "populated", false)
	}
	pids, err := members(dir)
	if err != nil {
		return failed(err, "unable to list the processes of '%s'", dir)
	}
	if len(pids) == 0 {
		return nil
	}
	return waitProcess(ctx, pids[0])
}

// inUse: processes (EBUSY) or other groups (ENOTEMPTY, on some kernels EBUSY too). Both
// pass when whoever is inside has gone.
func inUse(err error) bool { return errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ENOTEMPTY) }

// Sweep: see ports.Cgroups. It looks into standard partitions, those with the
// partition suffix and the service manager's slices, and takes nothing but
// groups, and scopes with a group, named like a container's. What resists is left and
// told in the error, next to the paths of what went; the rest is done all the same. A
// path is among them when the group is gone from every hierarchy.
func (c *Cgroups) Sweep(ctx context.Context, keep func(path string) bool) ([]string, error) {
	var removed []string
	var failures []error
	for _, where := range c.leftovers() {
		if err := ctx.Err(); err != nil {
			return removed, errors.Join(append(failures, stopped(err, "unable to look through all control groups"))...)
		}
		// Asked for each at its time: a container may have started since the listing.
		if keep(where) {
			continue
		}
		gone, err := c.group(where).sweep()
		if gone {
			removed = append(removed, where)
		}
		failures = append(failures, err)
	}
	return removed, errors.Join(failures...)
}

// sweep removes the group if nothing lives in it anywhere. One that somebody
// enters meanwhile is left: the kernel removes no group in which somebody is.
func (g *Group) sweep() (bool, error) {
	if _, inside := g.scope(); inside {
		return g.sweepScope()
	}
	for _, dir := range g.dirs {
		occupied, err := populated(dir)
		if occupied || err != nil {
			return false, err
		}
	}
	busy, err := g.removeAll()
	return busy == "" && err == nil, err
}

// leftovers lists the groups of containers in any hierarchy, in order, each once.
// Directories that cannot be read are passed over.
func (c *Cgroups) leftovers() []string {
	var found []string
	for _, h := range c.all {
		c.walkPartitions(h, func(dir string, isGroup bool) {
			if isGroup {
				found = append(found, strings.TrimPrefix(dir, h.root))
			}
		})
		c.walkSlices(h, func(dir string, isScope bool) {
			if dir += "/" + insideScope; isScope && exists(dir) {
				found = append(found, strings.TrimPrefix(dir, h.root))
			}
		})
	}
	// The same path in several hierarchies is one group.
	slices.Sort(found)
	return slices.Compact(found)
}

// maxDepth bounds how deep partitions are looked for: nobody nests them so, but a
// process inside one might.
const maxDepth = 32

// walkPartitions visits containers' groups, and partitions after what is in them.
func (c *Cgroups) walkPartitions(h *hierarchy, visit func(dir string, isGroup bool)) {
	c.walk(h, visit,
		func(name string) bool { return strings.HasSuffix(name, suffix) },
		func(name string, depth int) bool {
			return depth == 0 && standard(name) || strings.HasSuffix(name, partitionSuffix)
		})
}

// walk visits what isLeaf, and what isBranch after what is in it. Others are not
// looked into.
func (c *Cgroups) walk(h *hierarchy, visit func(dir string, leaf bool), isLeaf func(name string) bool, isBranch func(name string, depth int) bool) {
	var inside func(dir string, depth int)
	inside = func(dir string, depth int) {
		entries, err := os.ReadDir(dir)
		if err != nil || depth > maxDepth {
			return
		}
		for _, entry := range entries {
			name := entry.Name()
			switch {
			case !entry.IsDir():
			case isLeaf(name):
				visit(dir+"/"+name, true)
			case isBranch(name, depth):
				inside(dir+"/"+name, depth+1)
				visit(dir+"/"+name, false)
			}
		}
	}
	inside(h.root+c.base, 0)
}

// Close removes the directories of this daemon's own base in which nothing is
// left; it may be called twice. Containers that go on running keep theirs. Of the host's own partitions only
// the one for controllers was made for the daemon: it goes if none is in it, and the
// standard partition around it if that was all it was for.
func (c *Cgroups) Close() error {
	if c.base == "" {
		for _, h := range c.all {
			_ = unix.Rmdir(h.root + "/machine/" + controllersName)
			_ = unix.Rmdir(h.root + "/machine")
		}
		return nil
	}
	var first error
	for _, h := range c.all {
		remove := func(dir string, isGroup bool) {
			if isGroup {
				return
			}
			_ = unix.Rmdir(dir + "/" + controllersName)
			if err := unix.Rmdir(dir); err != nil && !vanished(err) && !inUse(err) && first == nil {
				first = failed(err, "unable to remove partition '%s'", dir)
			}
		}
		c.walkPartitions(h, remove)
		c.walkSlices(h, remove)
		remove(h.root+c.base, false)
	}
	return first
}
