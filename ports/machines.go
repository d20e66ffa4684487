package ports

import (
	"context"

	"virtlxcd/domain/container"
)

// Machines makes containers known to the host's service manager and its machine
// registry (systemd and systemd-machined), where there are any. It logs once when
// the host has none, or when they fail, and once when they are back.
type Machines interface {
	// Place tells where the unit of a machine to be started will have its control
	// group: a path from the top of each hierarchy. Empty: there will be none, and
	// groups are made below the partition by whoever needs them.
	Place(ctx context.Context, partition, name string) string
	// Enclose makes the unit, with the process Holder in its control group. When it
	// fails nothing is left, and the caller goes on without.
	Enclose(ctx context.Context, machine Machine) error
	// Register makes the machine known with its leader and links; after a restart
	// of the registry this is done again by itself until Release. A machine that is
	// known already stays so. Leaves units alone: of a container that was started
	// without one, nothing is registered.
	Register(ctx context.Context, machine Machine) error
	// Release forgets the machine. Its unit ends by itself, with its last process.
	// A machine that was never registered here, as its start was cut short by the
	// end of another daemon, may have a unit in which nothing lives: that is ended.
	// Unknown ones are fine.
	Release(ctx context.Context, name string) error
}

// Machine is a container as the registry knows it.
type Machine struct {
	Name      string // as launch.MachineName gives it
	UUID      container.UUID
	Partition string // "/machine"
	Holder    int    // pid of its controller
	Leader    int    // pid of its init, for Register
	Links     []int  // interface indexes of the host ends, for Register
	// Shares is the weight against other machines, in the range of cpu shares
	// (2 ... 262144); nil: the default. It counts at the unit's group, the only
	// limit that does: the others are set inside.
	Shares *uint64
}

// CgroupScopes is implemented by Cgroups that can work inside the group of a unit
// that Machines made.
type CgroupScopes interface {
	// PathIn is where CreateIn would make a group, as Cgroup.Path would give it.
	PathIn(scope string) string
	// CreateIn is Create for a group inside scope (a path that Machines.Place gave),
	// next to the process holder, which it moves out of its way. The group's Remove
	// also removes what of scope the service manager does not know of.
	CreateIn(ctx context.Context, scope string, holder int) (Cgroup, error)
}

// Escrow keeps duplicates of what controllers hold outside of the daemon and of
// the controllers, over a restart of the daemon (sd_pid_notify_with_fds(3), FDSTORE).
type Escrow interface {
	// Keep replaces what is kept of a container. It takes nothing over. A host
	// without a keeper does nothing.
	Keep(uuid container.UUID, held Held) error
	// Drop forgets a container; unknown ones are fine.
	Drop(uuid container.UUID) error
	// Kept hands out, once, what an earlier daemon left. The receiver closes it.
	Kept(uuid container.UUID) (Held, bool)
	// Close forgets what was kept and not asked for: of containers that are gone.
	Close() error
}
