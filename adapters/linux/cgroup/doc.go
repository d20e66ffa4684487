// Package cgroup keeps containers in control groups, on hosts with version 1
// hierarchies, version 2 or both side by side.
//
// A Group is one path that exists below the mount point of every hierarchy.
// Which hierarchy a controller is on is found once, from mountinfo, per mount:
// what is mounted as version 1 is used there, the rest is what the root of the
// version 2 tree offers. Freezing, killing and waiting for the last process go
// through the version 2 tree whenever there is one, controllers or not, because
// it alone has cgroup.kill and events.
//
// Device lists go to the version 1 devices controller where it is mounted and
// to a program on the version 2 group elsewhere, never both, so that one place
// says what is allowed. Where both are possible version 1 wins: writing a list
// takes some tens of microseconds there against half a millisecond for loading
// a program, and a list can be read back by everybody.
//
// By layout, for one container:
//
//	version 1   memory/machine/lxc-1-web.libvirt-lxc   limits, counters, devices
//	            freezer/machine/lxc-1-web.libvirt-lxc  freezing, listing, killing
//	            systemd/machine/lxc-1-web.libvirt-lxc  there, as everywhere
//	hybrid      the same, but freezing, killing and waiting in
//	            unified/machine/lxc-1-web.libvirt-lxc
//	version 2   machine/lxc-1-web.libvirt-lxc          everything
//
// A group can also be inside a unit that the service manager made and delegated
// (CreateIn). The manager then owns the unit's directories where it made them;
// in hierarchies it does not know they are made, and removed, along with the
// group.
//
// Control files are opened by path when they are needed, except for those that
// Usage reads, which stay open from the first reading to Remove. Each write is one
// call: the kernel takes it as one command (cgroups(7)).
//
// What the files mean is in the kernel's admin-guide/cgroup-v2 and
// admin-guide/cgroup-v1. How groups are named is settled by the programs that look
// for containers on a host, and written down at groupPath and CreateIn.
//
// Errors: NotFound for a group that is gone, UnsupportedConfig for a controller or a
// file that this host lacks, InvalidArgument for a value that the kernel refuses,
// Busy for a group in which something lives, Aborted or Timeout when the context
// ended first, System with the errno for the rest. All are of area ControlGroup.
package cgroup
