package cgroup

import (
	"context"
	"errors"
	"path"
	"strconv"
	"strings"

	"github.com/containerd/cgroups/v3/cgroup2"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
	"virtlxcd/domain/policy"
)

// change is one control file to be written.
type change struct {
	controller string // that must be there
	path       string
	value      string
	what       string // for messages: "memory limit"
}

// Apply: see ports.Cgroup. All limits are checked and put in order before the first is
// written; then all are written or, if the kernel refuses one, none. Not even the order
// is left to chance: the kernel looks at some limits together.
//
// UnsupportedConfig for a controller, or a file of one, that this host lacks;
// InvalidArgument for values that contradict each other or that the kernel refuses;
// System with EBUSY for a limit of memory below what is in use and cannot be
// reclaimed; NotFound for a group that is gone.
//
// The values are those of memtune, cputune and vcpu of the container's document; what
// becomes of each:
//
//	            version 1                     version 2
//	hard        memory.limit_in_bytes         memory.max
//	soft        memory.soft_limit_in_bytes    memory.high
//	swap        memory.memsw.limit_in_bytes   memory.swap.max, less hard
//	shares      cpu.shares                    cpu.weight, converted
//	period      cpu.cfs_period_us             cpu.max, second word
//	quota       cpu.cfs_quota_us              cpu.max, first word
//	processors  cpuset.cpus                   cpuset.cpus
//	processes   pids.max                      pids.max
func (g *Group) Apply(ctx context.Context, limits policy.Limits) error {
	if err := ctx.Err(); err != nil {
		return stopped(err, "unable to set the limits of '%s'", g.short())
	}
	changes, err := g.plan(limits)
	if err != nil {
		return err
	}
	return g.perform(changes)
}

// plan turns limits into writes, in the order the kernel accepts. It writes nothing
// itself, save that memory may be reclaimed.
func (g *Group) plan(limits policy.Limits) ([]change, error) {
	var changes []change
	for _, part := range []func(policy.Limits) ([]change, error){g.planMemory, g.planCPU, g.planRest} {
		more, err := part(limits)
		if err != nil {
			return nil, err
		}
		changes = append(changes, more...)
	}
	return changes, nil
}

// perform writes all changes or, if one fails, none: what was there before is
// put back in reverse order, so that each step undoes one that was allowed. A step back
// can fail only if others write the same files, or memory grew meanwhile: that is
// logged, and the first error is the one that is returned.
func (g *Group) perform(changes []change) error {
	before := make([]string, len(changes))
	for i, c := range changes {
		// Read and written through one descriptor.
		old, err := swapValue(c.path, c.value)
		if err == nil {
			before[i] = old
			continue
		}
		// The failed one itself changed nothing.
		for k := i - 1; k >= 0; k-- {
			// An empty write would not reach the kernel, and an empty cpuset is
			// what it may have been.
			if undo := writeValue(changes[k].path, before[k]+"\n"); undo != nil {
				g.log.Warn("unable to restore a limit", "path", changes[k].path, "value", before[k], "error", undo)
			}
		}
		return g.refused(err, c)
	}
	return nil
}

// refused says in words why a limit was not taken. ENOSPC is what a cpuset answers
// that would be left without processors while processes live in it, EACCES one that
// asks for more than its parent has; a file may be missing though its controller is
// there (memory.memsw.* without swap accounting).
func (g *Group) refused(err error, c change) error {
	switch {
	case vanished(err) && exists(path.Dir(c.path)):
		return unsupported("the '%s' control group controller of this host has no %s (%s)", c.controller, c.what, path.Base(c.path))
	case vanished(err):
		return gone(g.path)
	case errors.Is(err, unix.EBUSY) && c.controller == "memory":
		return tooSmall(err, c.what)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ERANGE), errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EACCES):
		wrapped := fault.Wrap(err, fault.InvalidArgument, "the kernel refuses '%s' as %s", c.value, c.what)
		wrapped.Area = fault.ControlGroup
		return wrapped
	}
	return failed(err, "unable to set the %s to '%s'", c.what, c.value)
}

// tooSmall: the container uses more than the limit would allow, and the kernel
// could not make it use less.
func tooSmall(err error, what string) error {
	return failed(err, "unable to set the %s below what is in use", what)
}

// in starts a change in the hierarchy of a controller. UnsupportedConfig without it.
func (g *Group) in(controller, file, value, what string) (change, error) {
	dir, _, ok := g.dir(controller)
	if !ok {
		return change{}, missing(controller)
	}
	return change{controller: controller, path: dir + "/" + file, value: value, what: what}, nil
}

// planCPU takes a quota of 0 for none wished, as clients write it, and any below for
// no limit. Version 1 has a file for each, which the kernel checks by itself.
func (g *Group) planCPU(limits policy.Limits) ([]change, error) {
	if limits.CPUShares == nil && limits.CPUPeriod == nil && (limits.CPUQuota == nil || *limits.CPUQuota == 0) {
		return nil, nil
	}
	dir, version, ok := g.dir("cpu")
	if !ok {
		return nil, missing("cpu")
	}
	if version == 2 {
		return planCPUUnified(dir, limits)
	}
	var changes []change
	add := func(file, value, what string) {
		changes = append(changes, change{"cpu", dir + "/" + file, value, what})
	}
	if limits.CPUShares != nil {
		add("cpu.shares", strconv.FormatUint(*limits.CPUShares, 10), "processor shares")
	}
	if limits.CPUPeriod != nil {
		add("cpu.cfs_period_us", strconv.FormatUint(*limits.CPUPeriod, 10), "processor period")
	}
	if quota := limits.CPUQuota; quota != nil && *quota != 0 {
		add("cpu.cfs_quota_us", strconv.FormatInt(max(*quota, -1), 10), "processor quota")
	}
	return changes, nil
}

// planCPUUnified writes quota and period together, keeping what is not wished. The
// file holds both, in microseconds: "max 100000", "25000 50000".
func planCPUUnified(dir string, limits policy.Limits) ([]change, error) {
	var changes []change
	if limits.CPUShares != nil {
		weight := strconv.FormatUint(cgroup2.ConvertCPUSharesToCgroupV2Value(*limits.CPUShares), 10)
		changes = append(changes, change{"cpu", dir + "/cpu.weight", weight, "processor shares"})
	}
	quota := limits.CPUQuota
	if quota != nil && *quota == 0 {
		quota = nil
	}
	if quota == nil && limits.CPUPeriod == nil {
		return changes, nil
	}
	text, err := readValue(dir + "/cpu.max")
	if err != nil && !vanished(err) {
		return nil, failed(err, "unable to read the processor quota")
	}
	words := strings.Fields(text)
	if len(words) != 2 {
		words = []string{"max", "100000"} // what a new group has
	}
	if quota != nil {
		words[0] = "max"
		if *quota > 0 {
			words[0] = strconv.FormatInt(*quota, 10)
		}
	}
	if limits.CPUPeriod != nil {
		words[1] = strconv.FormatUint(*limits.CPUPeriod, 10)
	}
	return append(changes, change{"cpu", dir + "/cpu.max", words[0] + " " + words[1], "processor quota"}), nil
}

// planRest: neither processes nor processors depend on other limits.
func (g *Group) planRest(limits policy.Limits) ([]change, error) {
	var changes []change
	if limits.PIDs != nil {
		value := "max"
		if *limits.PIDs < policy.Unlimited {
			value = strconv.FormatUint(*limits.PIDs, 10)
		}
		c, err := g.in("pids", "pids.max", value, "process limit")
		if err != nil {
			return nil, err
		}
		changes = append(changes, c)
	}
	if limits.CPUSet != "" {
		c, err := g.in("cpuset", "cpuset.cpus", limits.CPUSet, "processor set")
		if err != nil {
			return nil, err
		}
		changes = append(changes, c)
	}
	return changes, nil
}
