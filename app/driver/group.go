package driver

import (
	"context"
	"errors"
	"path"
	"strings"

	"virtlxcd/domain/fault"
	"virtlxcd/domain/launch"
	"virtlxcd/ports"
)

// scopeGroup is how the path of a container's group ends that lies in a unit of
// the service manager (CgroupScopes.PathIn). An example:
// "/machine.slice/machine-lxc\x2d4711\x2dweb.scope/libvirt".
const scopeGroup = ".scope/libvirt"

// inScope says whether the run has a unit, and so may be registered. What lives
// in no unit was never told to the registry of machines and need not be taken
// back from it.
func (r *run) inScope() bool { return inScope(r.status.CgroupPath) }

// inScope looks at a path as a status keeps it, for runs that are not picked up yet.
func inScope(group string) bool { return strings.HasSuffix(group, scopeGroup) }

// chooseGroup tells where the control group will be, before it is made. The
// status needs the path first: a daemon that dies while the group is made
// leaves its successor a trace. Whether there will be a unit is decided here,
// by Place.
func (s *start) chooseGroup(ctx context.Context) (string, error) {
	s.run.machine = launch.MachineName(s.run.id, s.entry.Name)
	if scopes, ok := s.driver.ports.Cgroups.(ports.CgroupScopes); ok {
		s.scope = s.driver.ports.Machines.Place(ctx, s.partition, s.run.machine)
		if s.scope != "" {
			return scopes.PathIn(s.scope), nil
		}
	}
	return s.driver.pathOfGroup(s.partition, s.ownGroup())
}

// ownGroup is the name of a group without a unit. An example:
// "lxc-4711-web.libvirt-lxc".
func (s *start) ownGroup() string { return s.run.machine + ".libvirt-lxc" }

// pathOfGroup is where a group will be, known before it is made.
// Implementations that do not say otherwise have it below the partition. It
// makes nothing.
func (d *Driver) pathOfGroup(partition, name string) (string, error) {
	if namer, ok := d.ports.Cgroups.(ports.CgroupNamer); ok {
		return namer.PathOf(partition, name)
	}
	return path.Join(partition, name), nil
}

// makeGroup makes the group in a unit, or next to other groups if there is no
// service manager or it refuses. The reverse is pushed first: it finds the
// group by the path in the status, whether or not its maker said that it was
// made. That a unit is refused fails no start: the container then only lacks
// its place among the units, and its status is corrected before the other group
// is made.
func (s *start) makeGroup(ctx context.Context) (err error) {
	s.push("remove the control group", s.removeGroup)
	if s.scope != "" {
		if s.run.cgroup, err = s.enclose(ctx); err == nil {
			return nil
		}
		s.run.cgroup = nil
		s.driver.log.Info("a container gets no unit of the service manager", "container", s.entry.Name, "error", err)
		if err := s.stayOutside(ctx); err != nil {
			return err
		}
	}
	cgroup, err := s.driver.ports.Cgroups.Create(ctx, s.partition, s.ownGroup())
	if err == nil {
		s.run.cgroup = cgroup
	}
	return err
}

// enclose makes the group in a unit that begins with the controller in it.
// systemd makes no scope without a process in it, and init does not exist yet:
// CreateIn moves the controller out of the way of the container's group.
func (s *start) enclose(ctx context.Context) (ports.Cgroup, error) {
	d, holder := s.driver, s.controller.Ref().PID
	err := d.ports.Machines.Enclose(ctx, ports.Machine{
		Name: s.run.machine, UUID: s.entry.UUID, Partition: s.partition, Holder: holder,
		Shares: s.live.Limits.CPUShares,
	})
	if err != nil {
		return nil, err
	}
	return d.ports.Cgroups.(ports.CgroupScopes).CreateIn(ctx, s.scope, holder) // chooseGroup asked
}

// stayOutside records that the group will be where it is without a unit. An
// undo from here on looks there, and so does the next daemon.
func (s *start) stayOutside(ctx context.Context) error {
	where, err := s.driver.pathOfGroup(s.partition, s.ownGroup())
	if err != nil {
		return err
	}
	status := s.run.status
	status.CgroupPath = where
	return s.driver.saveStatus(ctx, s.run, status)
}

// removeGroup also finds a group that was made though Create failed. Processes
// go first, since the kernel removes no group with processes in it. Both are
// tried even if the first fails.
func (s *start) removeGroup(ctx context.Context) error {
	group := s.run.cgroup
	if group == nil {
		var err error
		if group, err = s.driver.openGroup(ctx, s.run.status.CgroupPath); err != nil {
			return err
		}
	}
	return errors.Join(group.Kill(ctx), group.Remove(ctx))
}

// openGroup finds a control group; one that is gone has a stand-in. Other
// errors are returned: nobody knows then whether something lives in it.
func (d *Driver) openGroup(ctx context.Context, path string) (ports.Cgroup, error) {
	group, err := d.ports.Cgroups.Open(ctx, path)
	if errors.Is(err, fault.NotFound) {
		return goneGroup{path}, nil
	}
	return group, err
}

// limit runs while init already waits in its group: the limits bind before it
// executes anything, and the controller's part of the start does not wait for
// them. They bind processes that are in the group already. When it fails undo
// removes the group and nothing has to be set back.
func (s *start) limit(ctx context.Context) error {
	if err := s.run.cgroup.Apply(ctx, s.plan.Limits); err != nil {
		return err
	}
	return s.run.cgroup.AllowDevices(ctx, s.plan.Devices)
}
