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
// A group can also be inside a unit that the service manager made and delegated
// (CreateIn). The manager then owns the unit's directories where it made them;
// in hierarchies it does not know they are made, and removed, along with the
// group.
//
// Control files are opened by path when they are needed, except for those that
// Usage reads, which stay open from the first reading to Remove.
package cgroup
