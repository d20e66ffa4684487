package porttest

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/container"
	"virtlxcd/ports"
)

// MachinesHarness is a host with a service manager and a registry of machines.
type MachinesHarness struct {
	Machines  ports.Machines
	Partition string
	// Holder starts a process that sleeps and that a unit may be made for.
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

// TestMachines checks a Machines.
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
func machine(h MachinesHarness, name string, holder int) ports.Machine {
	return ports.Machine{
		Name: name, UUID: container.UUID{0xfe, 1, 15: name[len(name)-1]}, Partition: h.Partition,
		Holder: holder, Leader: holder, Shares: new(uint64(2048)),
	}
}

func machinesPlace(t *testing.T, h MachinesHarness) {
	one := h.Machines.Place(soon(t), h.Partition, "lxc-1-vlxa")
	two := h.Machines.Place(soon(t), h.Partition, "lxc-2-vlxb")
	assert.NotEmpty(t, one)
	assert.NotEqual(t, one, two)
	assert.Equal(t, one, h.Machines.Place(soon(t), h.Partition, "lxc-1-vlxa"))
	assert.Empty(t, h.Members(t, one), "nothing is made")
}

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

func machinesRegisterNothing(t *testing.T, h MachinesHarness) {
	holder := h.Holder(t)
	defer holder.End()
	m := machine(h, "lxc-1-vlxa", holder.PID)
	require.NoError(t, h.Machines.Register(soon(t), m))
	_, known := h.Known(t, m.Name)
	assert.False(t, known)
}

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

// ScopesHarness is a host whose control groups can be in a unit's. Missing is as
// in CgroupsHarness.
type ScopesHarness struct {
	Cgroups ports.Cgroups // implements ports.CgroupScopes
	// Scope makes the group of a unit with a process in it, as the service manager
	// would. The harness removes it.
	Scope func(t *testing.T) (scope string, holder Child)
	// Spawn is as in CgroupsHarness.
	Spawn   func(t *testing.T, group ports.Cgroup) Child
	Missing []string
}

// TestCgroupScopes checks a Cgroups that implements ports.CgroupScopes.
func TestCgroupScopes(t *testing.T, build func(t *testing.T) ScopesHarness) {
	run(t, build, []check[ScopesHarness]{
		{"creates where it says", scopeCreates},
		{"lets processes live next to the holder", scopeHolds},
		{"creates nowhere without a scope", scopeMissing},
	})
}

// createIn makes a group in the unit of a process of its own.
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

func scopeCreates(t *testing.T, h ScopesHarness) {
	group, _ := createIn(t, h)
	found, err := h.Cgroups.Open(soon(t), group.Path())
	require.NoError(t, err)
	assert.Equal(t, group.Path(), found.Path())
	require.NoError(t, group.Remove(soon(t)))
}

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

func scopeMissing(t *testing.T, h ScopesHarness) {
	scope, holder := h.Scope(t)
	_, err := h.Cgroups.(ports.CgroupScopes).CreateIn(soon(t), scope+"-vlxmissing", holder.PID)
	assert.Error(t, err)
}
