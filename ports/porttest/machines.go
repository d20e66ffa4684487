package porttest

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/container"
	"virtlxcd/ports"
)

// MachinesHarness is a host with a service manager and a registry of machines. Members
// and Known ask the service manager and the kernel on their own. Places are told by the
// port, and hooks take them as they are.
type MachinesHarness struct {
	Machines  ports.Machines
	Partition string
	// Holder starts a process that sleeps and that a unit may be made for. The process
	// is in some group outside of the unit, from which the unit takes it.
	Holder func(t *testing.T) Child
	// Members lists the processes in the group at a place and below, wherever the
	// unit is; none if there is no such group.
	Members func(t *testing.T, place string) []int
	// Known says whether the registry knows a machine, and its leader.
	Known func(t *testing.T, name string) (leader int, ok bool)
	// Gone returns when the unit at a place is no more.
	Gone func(t *testing.T, place string)
	// Restart starts the registry anew and returns when it is as it will be. May be nil.
	Restart func(t *testing.T)
}

// TestMachines checks a Machines. The unit is a scope: it has no process of its own to
// start, takes one that runs, and ends with the last in it (systemd.scope(5)).
func TestMachines(t *testing.T, build func(t *testing.T) MachinesHarness) {
	run(t, build, []check[MachinesHarness]{
		{"places machines apart", machinesPlace},
		{"encloses", machinesEnclose},
		{"leaves nothing when it cannot enclose", machinesEncloseNobody},
		{"registers and releases", machinesRegister},
		{"registers nothing without a unit", machinesRegisterNothing},
		{"registers again", machinesRegisterAgain},
	})
}

// machine is a container whose controller is its init as well: the port does not mind.
// Shares differ from the default of 1024, and the last byte of the uuid is that of the
// name.
func machine(h MachinesHarness, name string, holder int) ports.Machine {
	return ports.Machine{
		Name: name, UUID: container.UUID{0xfe, 1, 15: name[len(name)-1]}, Partition: h.Partition,
		Holder: holder, Leader: holder, Shares: new(uint64(2048)),
	}
}

// machinesPlace: the path must be known before the unit is made. So it depends on
// nothing but the names, and to ask is not to make.
func machinesPlace(t *testing.T, h MachinesHarness) {
	one := h.Machines.Place(soon(t), h.Partition, "lxc-1-vlxa")
	two := h.Machines.Place(soon(t), h.Partition, "lxc-2-vlxb")
	assert.NotEmpty(t, one)
	assert.NotEqual(t, one, two)
	assert.Equal(t, one, h.Machines.Place(soon(t), h.Partition, "lxc-1-vlxa"))
	assert.Empty(t, h.Members(t, one), "nothing is made")
}

// machinesEnclose: the holder is moved, and nobody else is in the unit. When it ends
// the unit goes too, without being told: a port that keeps it referenced would leave
// one for each container.
func machinesEnclose(t *testing.T, h MachinesHarness) {
	holder := h.Holder(t)
	defer holder.End()
	m := machine(h, "lxc-1-vlxa", holder.PID)
	place := h.Machines.Place(soon(t), h.Partition, m.Name)
	require.NoError(t, h.Machines.Enclose(soon(t), m))
	assert.Equal(t, []int{holder.PID}, h.Members(t, place))
	holder.End()
	h.Gone(t, place)
}

// machinesEncloseNobody: the holder may die meanwhile. The name must be free for the
// next attempt: service managers remember a unit that failed until it is reset.
func machinesEncloseNobody(t *testing.T, h MachinesHarness) {
	gone := h.Holder(t)
	gone.End()
	place := h.Machines.Place(soon(t), h.Partition, "lxc-1-vlxa")
	require.Error(t, h.Machines.Enclose(soon(t), machine(h, "lxc-1-vlxa", gone.PID)))
	assert.Empty(t, h.Members(t, place))
	holder := h.Holder(t)
	defer holder.End()
	require.NoError(t, h.Machines.Enclose(soon(t), machine(h, "lxc-1-vlxa", holder.PID)))
	holder.End()
	h.Gone(t, place)
}

// machinesRegister: the unit comes first and is not yet a machine. Registering again,
// as a new daemon does, changes nothing. To release is to forget: the unit ends with
// its last process and not before.
func machinesRegister(t *testing.T, h MachinesHarness) {
	holder := h.Holder(t)
	defer holder.End()
	m := machine(h, "lxc-1-vlxa", holder.PID)
	require.NoError(t, h.Machines.Enclose(soon(t), m))
	_, known := h.Known(t, m.Name)
	assert.False(t, known, "not yet")
	require.NoError(t, h.Machines.Register(soon(t), m))
	leader, known := h.Known(t, m.Name)
	assert.True(t, known)
	assert.Equal(t, holder.PID, leader)
	require.NoError(t, h.Machines.Register(soon(t), m), "it stays known")
	_, known = h.Known(t, m.Name)
	assert.True(t, known)

	require.NoError(t, h.Machines.Release(soon(t), m.Name))
	_, known = h.Known(t, m.Name)
	assert.False(t, known)
	place := h.Machines.Place(soon(t), h.Partition, m.Name)
	assert.Equal(t, []int{holder.PID}, h.Members(t, place), "the unit is left alone")
	assert.NoError(t, h.Machines.Release(soon(t), m.Name), "unknown ones are fine")
	holder.End()
	h.Gone(t, place)
}

// machinesRegisterNothing: a container from before the service manager was there, or
// whose unit could not be made, is left out without an error. A registry that makes a
// unit of its own for it would move its processes.
func machinesRegisterNothing(t *testing.T, h MachinesHarness) {
	holder := h.Holder(t)
	defer holder.End()
	m := machine(h, "lxc-1-vlxa", holder.PID)
	require.NoError(t, h.Machines.Register(soon(t), m))
	_, known := h.Known(t, m.Name)
	assert.False(t, known)
}

// machinesRegisterAgain: the registry keeps nothing in memory over its restart that the
// port could rely on. What was released must not come back with it.
func machinesRegisterAgain(t *testing.T, h MachinesHarness) {
	needHook(t, h.Restart != nil, "Restart")
	holder := h.Holder(t)
	defer holder.End()
	m := machine(h, "lxc-1-vlxa", holder.PID)
	require.NoError(t, h.Machines.Enclose(soon(t), m))
	require.NoError(t, h.Machines.Register(soon(t), m))
	h.Restart(t)
	_, known := h.Known(t, m.Name)
	assert.True(t, known)
	require.NoError(t, h.Machines.Release(soon(t), m.Name))
	h.Restart(t)
	_, known = h.Known(t, m.Name)
	assert.False(t, known, "released for good")
}

// ScopesHarness is a host whose control groups can be in a unit's. Missing is as in
// CgroupsHarness. A unit's group belongs to the service manager, which promises to
// leave alone what is below it (Delegate=, systemd.resource-control(5)).
type ScopesHarness struct {
	Cgroups ports.Cgroups // implements ports.CgroupScopes
	// Scope makes the group of a unit with a process in it, as the service manager
	// would. The harness removes it.
	Scope func(t *testing.T) (scope string, holder Child)
	// Spawn is as in CgroupsHarness.
	Spawn   func(t *testing.T, group ports.Cgroup) Child
	Missing []string
}

// TestCgroupScopes checks a Cgroups that implements ports.CgroupScopes. It is a second
// way to make groups; what is made is checked by TestCgroups.
func TestCgroupScopes(t *testing.T, build func(t *testing.T) ScopesHarness) {
	run(t, build, []check[ScopesHarness]{
		{"creates where it says", scopeCreates},
		{"lets processes live next to the holder", scopeHolds},
		{"creates nowhere without a scope", scopeMissing},
	})
}

// createIn makes a group in the unit of a process of its own. The path is compared with
// what PathIn told beforehand, since whoever was told that one looks there.
func createIn(t *testing.T, h ScopesHarness) (ports.Cgroup, Child) {
	t.Helper()
	scope, holder := h.Scope(t)
	group, err := h.Cgroups.(ports.CgroupScopes).CreateIn(soon(t), scope, holder.PID)
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, group.Kill(soon(t)))
		assert.NoError(t, group.Remove(soon(t)))
	})
	assert.Equal(t, h.Cgroups.(ports.CgroupScopes).PathIn(scope), group.Path())
	return group, holder
}

// scopeCreates: the path alone leads to the group, as it does for those of Create.
func scopeCreates(t *testing.T, h ScopesHarness) {
	group, _ := createIn(t, h)
	found, err := h.Cgroups.Open(soon(t), group.Path())
	require.NoError(t, err)
	assert.Equal(t, group.Path(), found.Path())
	require.NoError(t, group.Remove(soon(t)))
}

// scopeHolds: with version 2 a group with processes cannot pass controllers on to those
// below it, so the holder has to go into one of its own. What the container uses and
// what is killed with it must not include the controller.
func scopeHolds(t *testing.T, h ScopesHarness) {
	need(t, h.Missing, "pids")
	group, holder := createIn(t, h)
	child := h.Spawn(t, group)
	defer child.End()
	used, err := group.Usage(soon(t))
	require.NoError(t, err)
	assert.True(t, used.Populated)
	assert.EqualValues(t, 1, used.PIDs, "the holder does not count")
	require.NoError(t, group.Kill(soon(t)))
	awaitClosed(t, child.Ended, "killed")
	stillOpen(t, holder.Ended, "the holder is not killed with it")
	require.NoError(t, group.Remove(soon(t)))
}

// scopeMissing: a scope that is gone must not be made: the service manager would not
// know of it.
func scopeMissing(t *testing.T, h ScopesHarness) {
	scope, holder := h.Scope(t)
	_, err := h.Cgroups.(ports.CgroupScopes).CreateIn(soon(t), scope+"-vlxmissing", holder.PID)
	assert.Error(t, err)
}
