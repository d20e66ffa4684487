package fakes

import (
	"context"
	"path"
	"slices"
	"strings"
	"syscall"

	"virtlxcd/domain/fault"
	"virtlxcd/domain/policy"
	"virtlxcd/domain/usage"
	"virtlxcd/ports"
)

// group is one control group. There is one hierarchy, as with version 2 alone, and a
// group is at its path ("/machine/web"). Partitions are no groups of their own: nothing
// lives in them.
type group struct {
	path    string
	limits  policy.Limits
	devices []policy.DeviceRule
	// By pid.
	members map[int]*process
	frozen  bool
	// Nanoseconds, and how many members the kernel killed for lack of memory.
	cpu uint64
	oom uint64
}

// Cgroups makes control groups on the Host.
type Cgroups struct{ host *Host }

// NewCgroups returns the port.
func NewCgroups(host *Host) *Cgroups { return &Cgroups{host} }

// Create makes the group partition/name. A leftover is replaced as a whole, so its
// limits and counters do not come back. Handles on it are handles on the new group from
// then on, as they go by the path.
func (c *Cgroups) Create(ctx context.Context, partition, name string) (made ports.Cgroup, err error) {
	at := path.Join("/", partition, name)
	err = c.host.do(ctx, "Cgroups.Create", func() error {
		if old := c.host.groups[at]; old != nil && len(old.members) > 0 {
			return fault.New(fault.Busy, fault.ControlGroup, "something lives in '%s'", at)
		}
		c.host.groups[at] = &group{path: at, members: map[int]*process{}}
		made = &Cgroup{host: c.host, path: at}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return made, nil
}

// Open finds a group. It keeps nothing open, so there is nothing to close.
func (c *Cgroups) Open(ctx context.Context, at string) (found ports.Cgroup, err error) {
	err = c.host.do(ctx, "Cgroups.Open", func() error {
		if c.host.groups[at] == nil {
			return notFound("no control group '%s'", at)
		}
		found = &Cgroup{host: c.host, path: at}
		return nil
	})
	return found, err
}

// Sweep looks at all groups of the host but those of units, which are the service
// manager's. Keep is called without the lock. Keep may look at the Host itself. A group
// that is filled between the look and the removal would be lost: the driver sweeps
// while it recovers, when nobody starts anything.
func (c *Cgroups) Sweep(ctx context.Context, keep func(path string) bool) (removed []string, err error) {
	var empty []string
	err = c.host.do(ctx, "Cgroups.Sweep", func() error {
		for _, at := range sorted(c.host.groups) {
			if len(c.host.groups[at].members) == 0 && !c.host.inUnit(at) {
				empty = append(empty, at)
			}
		}
		return nil
	})
	for _, at := range empty {
		if keep(at) {
			continue
		}
		c.host.look(func() { delete(c.host.groups, at) })
		removed = append(removed, at)
	}
	return removed, err
}

// Cgroup is a handle on the group at a path.
type Cgroup struct {
	host *Host
	path string
}

// Path is below the partition.
func (c *Cgroup) Path() string { return c.path }

// here runs effect on the group; NotFound if it is gone. Effect is called with the host
// locked.
func (c *Cgroup) here(ctx context.Context, op string, effect func(g *group) error) error {
	return c.host.do(ctx, op, func() error {
		g := c.host.groups[c.path]
		if g == nil {
			return notFound("no control group '%s'", c.path)
		}
		return effect(g)
	})
}

// Apply keeps wishes; what is unlimited is kept as nil. All is checked before anything
// is kept, so a refused wish leaves the limits as they were, which the port promises.
func (c *Cgroup) Apply(ctx context.Context, wish policy.Limits) error {
	return c.here(ctx, "Cgroup.Apply", func(g *group) error {
		if missing := c.host.lacks(wish); missing != "" {
			return fault.New(fault.UnsupportedConfig, fault.ControlGroup, "the '%s' controller is not mounted", missing)
		}
		if bad := impossible(&wish); bad != "" {
			return refused(syscall.EINVAL, "cannot set %s", bad)
		}
		merge(&g.limits, wish)
		return nil
	})
}

// impossible names a wish that no kernel takes (admin-guide/cgroup-v2): a period is
// between a millisecond and a second, a quota no less than a millisecond, and a list of
// processors has numbers, commas and dashes. The real adapter leaves these checks to
// the kernel; here they stand for its EINVAL, so that a start or a change of limits can
// fail late without an injected fault.
func impossible(wish *policy.Limits) string {
	const shortest, longest = 1000, 1_000_000 // microseconds
	switch {
	case wish.CPUPeriod != nil && (*wish.CPUPeriod < shortest || *wish.CPUPeriod > longest):
		return "the period"
	case wish.CPUQuota != nil && *wish.CPUQuota >= 0 && *wish.CPUQuota < shortest:
		return "the quota"
	case strings.Trim(wish.CPUSet, "0123456789,-") != "":
		return "the processors"
	}
	return ""
}

// lacks names a controller that the wish needs and the host has not. In the order of
// names, so that of several the same is named each time. Block weights need none:
// MissController does not know one for them.
func (h *Host) lacks(wish policy.Limits) string {
	needs := map[string]bool{
		"memory": wish.MemoryHard != nil || wish.MemorySoft != nil || wish.SwapHard != nil,
		"cpu":    wish.CPUShares != nil || wish.CPUPeriod != nil || wish.CPUQuota != nil,
		"pids":   wish.PIDs != nil,
		"cpuset": wish.CPUSet != "",
	}
	for _, controller := range sorted(needs) {
		if needs[controller] && h.partial[controller] {
			return controller
		}
	}
	return ""
}

// merge keeps wishes one by one, as the files of a control group do. What stands for
// "no limit" is kept as nil, which is how it is read back. An empty list of processors
// is no wish. The copies of both sides share nothing.
func merge(have *policy.Limits, wish policy.Limits) {
	mergeSize(&have.MemoryHard, wish.MemoryHard)
	mergeSize(&have.MemorySoft, wish.MemorySoft)
	mergeSize(&have.SwapHard, wish.SwapHard)
	mergeValue(&have.CPUShares, wish.CPUShares)
	mergeValue(&have.CPUPeriod, wish.CPUPeriod)
	mergeValue(&have.CPUQuota, wish.CPUQuota)
	if have.CPUQuota != nil && *have.CPUQuota < 0 {
		have.CPUQuota = nil
	}
	mergeValue(&have.BlockWeight, wish.BlockWeight)
	mergeValue(&have.PIDs, wish.PIDs)
	if wish.CPUSet != "" {
		have.CPUSet = wish.CPUSet
	}
}

// mergeSize is mergeValue for a size, which may be unlimited. Whatever is
// policy.Unlimited or more counts as that, in KiB.
func mergeSize(have **uint64, wish *uint64) {
	mergeValue(have, wish)
	if wish != nil && *wish >= policy.Unlimited {
		*have = nil
	}
}

// mergeValue keeps a copy: the wish is its maker's.
func mergeValue[T any](have **T, wish *T) {
	if wish != nil {
		*have = new(*wish)
	}
}

// AllowDevices keeps the list. It is printed by its length and seen by Host.Devices,
// but never consulted: no process of the fakes opens a device.
func (c *Cgroup) AllowDevices(ctx context.Context, rules []policy.DeviceRule) error {
	return c.here(ctx, "Cgroup.AllowDevices", func(g *group) error {
		g.devices = slices.Clone(rules)
		return nil
	})
}

// What each process of a group uses: a millisecond between two looks, unless it
// is frozen, and a mebibyte.
const (
	cpuPerLook = 1_000_000 // nanoseconds
	memoryEach = 1 << 20   // bytes
)

// Usage advances the processor time by a fixed amount per process. So a test can tell
// how often it was called, and that frozen processes use nothing. Three quarters are
// user time; there is swap, and none of it used.
func (c *Cgroup) Usage(ctx context.Context) (used usage.Usage, err error) {
	err = c.here(ctx, "Cgroup.Usage", func(g *group) error {
		members := uint64(len(g.members))
		if !g.frozen {
			g.cpu += members * cpuPerLook
		}
		used = usage.Usage{
			CPU: g.cpu, CPUUser: g.cpu / 4 * 3, CPUSystem: g.cpu / 4, Memory: members * memoryEach, HasSwap: true,
			PIDs: members, OOMKills: g.oom, Frozen: g.frozen, Populated: members > 0,
		}
		return nil
	})
	return used, err
}

// Freeze keeps signals from being delivered and input from being read. It is at once:
// there is nothing to wait for. Members that come later are frozen as well, so a
// Proceed waits for the thaw.
func (c *Cgroup) Freeze(ctx context.Context) error {
	return c.here(ctx, "Cgroup.Freeze", func(g *group) error {
		g.frozen = true
		return nil
	})
}

// Thaw delivers what came meanwhile. Processes in the order of their birth, signals in
// the order in which they came; those after the one that ended a process are dropped.
// What was typed is read after the signals.
func (c *Cgroup) Thaw(ctx context.Context) error {
	return c.here(ctx, "Cgroup.Thaw", func(g *group) error {
		g.frozen = false
		for _, p := range g.processes() {
			pending := p.pending
			p.pending = nil
			for _, signum := range pending {
				if !p.dead() {
					c.host.deliver(p, signum)
				}
			}
			if p.isInit() && !p.dead() {
				c.host.readConsoles(p.guest)
			}
		}
		return nil
	})
}

// processes returns the members by pid. It is a copy: members leave the group while it
// is gone through.
func (g *group) processes() []*process {
	members := make([]*process, 0, len(g.members))
	for _, p := range g.members {
		members = append(members, p)
	}
	slices.SortFunc(members, func(a, b *process) int { return a.pid - b.pid })
	return members
}

// each signals every member; a group that is gone has none. So it does not go by here,
// which answers NotFound.
func (c *Cgroup) each(ctx context.Context, op string, signum int) error {
	return c.host.do(ctx, op, func() error {
		if g := c.host.groups[c.path]; g != nil {
			for _, p := range g.processes() {
				c.host.signal(p, signum)
			}
		}
		return nil
	})
}

// Signal is recorded with each process: see Host.Signals.
func (c *Cgroup) Signal(ctx context.Context, signum int) error {
	return c.each(ctx, "Cgroup.Signal", signum)
}

// Kill leaves the group frozen if it was. The end of an init ends its container,
// reports included, before the call returns.
func (c *Cgroup) Kill(ctx context.Context) error {
	return c.each(ctx, "Cgroup.Kill", sigKILL)
}

// Remove waits for the group to become empty. The host is not locked meanwhile. Groups
// below it stay; those of a unit go with the unit.
func (c *Cgroup) Remove(ctx context.Context) error {
	return c.host.do(ctx, "Cgroup.Remove", func() error {
		empty := func() bool {
			g := c.host.groups[c.path]
			return g == nil || len(g.members) == 0
		}
		if err := c.host.wait(ctx, empty); err != nil {
			return err
		}
		delete(c.host.groups, c.path)
		return nil
	})
}

// MissController makes the host lack a cgroup controller: "memory", "cpu", "cpuset" or
// "pids". Wishes that need it are refused from then on, also after Boot; limits that
// were set before stay.
func (h *Host) MissController(name string) { h.look(func() { h.partial[name] = true }) }

// AddGroup makes a control group in which nothing lives, as a daemon that died leaves
// one. For a path at which there is none: members of another would be forgotten.
func (h *Host) AddGroup(at string) {
	h.look(func() {
		at = path.Clean("/" + strings.TrimPrefix(at, "/"))
		h.groups[at] = &group{path: at, members: map[int]*process{}}
	})
}

// Limits tells what a group has; the zero value if there is no such group. What is
// unlimited is nil. The pointers are the caller's.
func (h *Host) Limits(at string) (limits policy.Limits) {
	h.look(func() {
		if g := h.groups[at]; g != nil {
			limits = policy.Limits{}
			merge(&limits, g.limits)
		}
	})
	return limits
}

// Devices tells what a group may use. Nil until a list was set.
func (h *Host) Devices(at string) (rules []policy.DeviceRule) {
	h.look(func() {
		if g := h.groups[at]; g != nil {
			rules = slices.Clone(g.devices)
		}
	})
	return rules
}
