package cgroup

import (
	"context"
	"errors"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/cgroups/v3/cgroup2"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// A unit that the service manager made for a container holds two groups: one
// for the container and one for who holds it. On version 2 neither processes
// nor the container could have limits if the holder stayed above both.
const (
	insideScope = "libvirt"
	holderGroup = "supervisor"

	scopeSuffix = ".scope"
	sliceSuffix = ".slice"
	// scopePrefix marks the units of containers, as machines are named.
	scopePrefix = `machine-lxc\x2d`
)

var _ ports.CgroupScopes = (*Cgroups)(nil)

// Weight turns cpu shares (2 ... 262144) into what the cpu controller counts in, for
// whoever sets them elsewhere: a weight (1 ... 10000, where 1024 shares are 100) if it
// is on version 2, else the shares.
func (c *Cgroups) Weight(shares uint64) (value uint64, unified bool) {
	if i, ok := c.by["cpu"]; ok && c.all[i].unified {
		return cgroup2.ConvertCPUSharesToCgroupV2Value(shares), true
	}
	return shares, false
}

// PathIn: see ports.CgroupScopes. It does not check the scope; CreateIn does.
func (c *Cgroups) PathIn(scope string) string { return c.base + scope + "/" + insideScope }

// CreateIn: see ports.CgroupScopes. InvalidArgument if scope is no scope's path,
// NotFound if holder is not in it, Busy if its processes multiply faster than they are
// moved, or something lives in a group of that name. On failure the holder may have
// been moved, which it can be again; the group is nowhere.
//
// The unit must be delegated (systemd's Delegate=): then the manager leaves alone what
// is below it.
func (c *Cgroups) CreateIn(ctx context.Context, scope string, holder int) (ports.Cgroup, error) {
	if err := ctx.Err(); err != nil {
		return nil, stopped(err, "unable to create a control group")
	}
	if !strings.HasPrefix(scope, "/") || path.Clean(scope) != scope || !strings.HasSuffix(scope, scopeSuffix) || strings.ContainsAny(scope, "\x00\n") {
		return nil, invalid("'%s' is not the path of a scope", scope)
	}
	g := c.group(c.PathIn(scope))
	if err := c.moveHolder(g, holder); err != nil {
		return nil, err
	}
	for i := range c.all {
		err := c.makeGroup(i, g.dirs[i])
		if err != nil {
			g.discard(i)
			g.leaveScope()
			return nil, err
		}
	}
	g.fresh = true
	return g, nil
}

// moveHolder empties the scope wherever the service manager put the holder into
// it. Other hierarchies are those it does not know. NotFound if the holder is in none:
// it has ended, or the unit is another's.
func (c *Cgroups) moveHolder(g *Group, holder int) error {
	held := false
	for i, dir := range g.dirs {
		found, err := c.moveAside(i, path.Dir(dir), holder)
		if err != nil {
			return err
		}
		held = held || found
	}
	if !held {
		return fault.New(fault.NotFound, fault.ControlGroup, "process %d is not in '%s'", holder, path.Dir(g.path))
	}
	return nil
}

// moveTries bounds how often a scope is emptied whose processes fork meanwhile.
const moveTries = 16

// moveAside moves all processes of a scope into the group beside the
// container's, and says whether the holder is there. Only then can controllers be
// turned on for what is in the scope. It looks again until the scope is empty: a child
// is born where its parent is, which may be the scope still. Moved twice is fine.
func (c *Cgroups) moveAside(i int, scope string, holder int) (held bool, err error) {
	aside := scope + "/" + holderGroup
	for range moveTries {
		pids, err := own(scope)
		if err != nil {
			return false, failed(err, "unable to list the processes of '%s'", scope)
		}
		if len(pids) == 0 {
			there, err := own(aside)
			return slices.Contains(there, holder), classifyList(err, aside)
		}
		if err := c.makeAside(i, aside); err != nil {
			return false, err
		}
		for _, pid := range pids {
			err := writeValue(aside+"/cgroup.procs", strconv.Itoa(pid))
			if err != nil && !errors.Is(err, unix.ESRCH) {
				return false, failed(err, "unable to move process %d to '%s'", pid, aside)
			}
		}
	}
	return false, fault.New(fault.Busy, fault.ControlGroup, "the processes of '%s' multiply", scope)
}

// classifyList names the directory whose list could not be read.
func classifyList(err error, dir string) error {
	if err == nil {
		return nil
	}
	return failed(err, "unable to list the processes of '%s'", dir)
}

// makeAside makes the holder's group. On version 2 it gets no controllers of
// its own: they can only be turned on once the scope is empty (no internal processes).
func (c *Cgroups) makeAside(i int, dir string) error {
	if err := unix.Mkdir(dir, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
		return failed(err, "unable to create control group '%s'", dir)
	}
	if c.all[i].unified {
		return nil
	}
	return c.equip(i, dir)
}

// own lists the processes directly in dir; none if it does not exist. The error is an
// errno.
func own(dir string) ([]int, error) {
	text, err := readList(dir + "/cgroup.procs")
	if vanished(err) {
		return nil, nil
	}
	return parsePIDs(text), err
}

// scope is the path of the unit that the group is in, if it is in one: what CreateIn
// was given, below the base.
func (g *Group) scope() (string, bool) {
	above, name := path.Split(g.path)
	above = strings.TrimSuffix(above, "/")
	return above, name == insideScope && strings.HasSuffix(above, scopeSuffix)
}

// leftScope says whether something of the scope is left that nobody will remove:
// the daemon was killed while it removed the group. Where the holder is, or its
// group, the service manager will.
func (g *Group) leftScope() bool {
	_, inside := g.scope()
	return inside && slices.ContainsFunc(g.dirs, func(dir string) bool {
		scope := path.Dir(dir)
		// Not there, or still the service manager's.
		if !exists(scope) || exists(scope+"/"+holderGroup) {
			return false
		}
		occupied, err := populated(scope)
		return err == nil && !occupied
	})
}

// leaveScope removes what is left of the scope where the service manager does
// not know of it. Where it does, the holder's group is in the way, as long as
// the unit lives.
func (g *Group) leaveScope() {
	if _, inside := g.scope(); !inside {
		return
	}
	for _, dir := range g.dirs {
		err := unix.Rmdir(path.Dir(dir))
		if err != nil && !vanished(err) && !inUse(err) {
			g.log.Warn("unable to remove a scope's control group", "path", path.Dir(dir), "error", err)
		}
	}
}

// sweepScope removes a scope with all that is in it if nothing lives in it
// anywhere: neither a container nor who holds one.
func (g *Group) sweepScope() (bool, error) {
	scopes := make([]string, len(g.dirs))
	for i, dir := range g.dirs {
		scopes[i] = path.Dir(dir)
		occupied, err := populated(scopes[i])
		if occupied || err != nil {
			return false, err
		}
	}
	gone := true
	for _, dir := range scopes {
		switch err := removeTree(dir); {
		case err == nil:
		case inUse(err):
			gone = false
		default:
			return false, failed(err, "unable to remove control group '%s'", dir)
		}
	}
	return gone, nil
}

// walkSlices visits the scopes of containers, and slices after what is in them, as
// machine.slice/machine-web.slice/machine-lxc\x2d1\x2dweb.scope (systemd.slice(5)).
func (c *Cgroups) walkSlices(h *hierarchy, visit func(dir string, isScope bool)) {
	c.walk(h, visit,
		func(name string) bool {
			return strings.HasPrefix(name, scopePrefix) && strings.HasSuffix(name, scopeSuffix)
		},
		func(name string, _ int) bool { return strings.HasSuffix(name, sliceSuffix) })
}
