package policy_test

import (
	"math"
	"math/bits"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
	"virtlxcd/domain/policy"
)

const everything = uint64(1)<<41 - 1

func without(names ...string) uint64 {
	set := everything
	for _, name := range names {
		set &^= 1 << policy.CapNumbers[name]
	}
	return set
}

func only(names ...string) uint64 { return everything &^ without(names...) }

func TestCapabilitySets(t *testing.T) {
	usual := []string{"sys_module", "sys_time", "mknod", "audit_control", "mac_admin"}
	for name, test := range map[string]struct {
		wish              policy.Capabilities
		kept, inheritable uint64
	}{
		"default":      {policy.Capabilities{}, without(usual...), 0},
		"default, one": {policy.Capabilities{States: map[string]bool{"mknod": true, "chown": false}}, without("sys_module", "sys_time", "audit_control", "mac_admin", "chown"), 0},
		"allow":        {policy.Capabilities{Policy: policy.CapAllow}, everything, 0},
		"allow but":    {policy.Capabilities{Policy: policy.CapAllow, States: map[string]bool{"sys_admin": false}}, without("sys_admin"), 0},
		"deny":         {policy.Capabilities{Policy: policy.CapDeny}, 0, 0},
		"deny but":     {policy.Capabilities{Policy: policy.CapDeny, States: map[string]bool{"net_raw": true, "kill": true}}, only("net_raw", "kill"), only("net_raw", "kill")},
	} {
		kept, inheritable := test.wish.Set(everything)
		assert.Equal(t, test.kept, kept, name)
		assert.Equal(t, test.inheritable, inheritable, name)
	}
}

func TestNobodyGetsWhatTheDaemonLacks(t *testing.T) {
	held := without("sys_admin", "net_raw")
	for _, p := range []policy.CapPolicy{policy.CapDefault, policy.CapAllow, policy.CapDeny} {
		wish := policy.Capabilities{Policy: p, States: map[string]bool{"sys_admin": true, "net_raw": true}}
		kept, inheritable := wish.Set(held)
		assert.Zero(t, (kept|inheritable)&^held, p.String())
		assert.False(t, wish.Keeps("net_raw", held))
	}
	assert.True(t, policy.Capabilities{Policy: policy.CapAllow}.Keeps("mknod", held))
}

func TestCapabilityNumbersAreDistinct(t *testing.T) {
	var seen uint64
	for name, number := range policy.CapNumbers {
		assert.Zero(t, seen&(1<<number), name)
		seen |= 1 << number
	}
	assert.Equal(t, len(policy.CapNumbers), bits.Len64(seen), "no gaps")
}

func TestCapabilityCloneIsItsOwn(t *testing.T) {
	original := policy.Capabilities{States: map[string]bool{"kill": true}}
	clone := original.Clone()
	clone.States["kill"] = false
	assert.True(t, original.States["kill"])
}

func TestIDMaps(t *testing.T) {
	root := []policy.IDRange{{Start: 0, Target: 100000, Count: 65536}}
	many := make([]policy.IDRange, 341)
	for i := range many {
		many[i] = policy.IDRange{Start: uint32(i), Target: uint32(i), Count: 1}
	}
	for name, test := range map[string]struct {
		wish policy.IDMap
		text string // of the refusal; empty: fine
	}{
		"none":        {policy.IDMap{}, ""},
		"both":        {policy.IDMap{Users: root, Groups: root}, ""},
		"users only":  {policy.IDMap{Users: root}, "uid and gid should be mapped both"},
		"groups only": {policy.IDMap{Groups: root}, "uid and gid should be mapped both"},
		"no root":     {policy.IDMap{Users: []policy.IDRange{{Start: 1, Target: 5, Count: 5}}, Groups: root}, "You must map the root user of container"},
		"no wheel":    {policy.IDMap{Users: root, Groups: []policy.IDRange{{Start: 1, Target: 5, Count: 5}}}, "You must map the root user of container"},
		"too many":    {policy.IDMap{Users: many, Groups: root}, "the kernel takes at most 340 id map entries"},
	} {
		_, err := test.wish.Normalize()
		if test.text == "" {
			assert.NoError(t, err, name)
			continue
		}
		assert.EqualError(t, err, test.text, name)
		assert.ErrorIs(t, err, fault.UnsupportedConfig, name)
	}
}

func TestNormalizeSortsACopy(t *testing.T) {
	wish := policy.IDMap{
		Users:  []policy.IDRange{{Start: 4000000000, Target: 7, Count: 1}, {Start: 1000, Target: 1000, Count: 1}, {Start: 0, Target: 100000, Count: 1000}},
		Groups: []policy.IDRange{{Start: 5, Target: 5, Count: 1}, {Start: 0, Target: 100000, Count: 5}},
	}
	sorted, err := wish.Normalize()
	require.NoError(t, err)
	assert.Equal(t, []policy.IDRange{{Start: 0, Target: 100000, Count: 1000}, {Start: 1000, Target: 1000, Count: 1}, {Start: 4000000000, Target: 7, Count: 1}}, sorted.Users)
	assert.Equal(t, uint32(4000000000), wish.Users[0].Start)

	for id, want := range map[uint32]uint32{0: 100000, 999: 100999, 1000: 1000, 4000000000: 7} {
		got, ok := sorted.HostUser(id)
		assert.True(t, ok)
		assert.Equal(t, want, got)
	}
	_, ok := sorted.HostUser(1001)
	assert.False(t, ok)
	group, ok := sorted.HostGroup(5)
	assert.True(t, ok, "the first of a range belongs to it")
	assert.Equal(t, uint32(5), group)
	group, ok = policy.IDMap{}.HostGroup(77)
	assert.True(t, ok, "without a map ids are the host's")
	assert.Equal(t, uint32(77), group)
}

func TestDefaultDevices(t *testing.T) {
	rules := policy.DefaultDevices()
	assert.Len(t, rules, 9)
	for _, rule := range rules {
		assert.True(t, rule.Read && rule.Write && rule.MakeNod && !rule.Block, "%+v", rule)
	}
	assert.Contains(t, rules, policy.DeviceRule{Major: 136, Minor: policy.AnyNumber, Read: true, Write: true, MakeNod: true})
	for _, rule := range policy.MakeAnyNode() {
		assert.False(t, rule.Read || rule.Write, "made, not opened")
		assert.True(t, rule.MakeNod)
	}
}

// TestRangesDoNotComeRound: what lies behind the last id of the host is not mapped,
// and above all not to its root.
func TestRangesDoNotComeRound(t *testing.T) {
	m := policy.IDMap{Users: []policy.IDRange{{Start: 0, Target: math.MaxUint32 - 1, Count: 10}, {Start: 5, Target: 7, Count: 1}}}
	for id, want := range map[uint32]uint32{0: math.MaxUint32 - 1, 1: math.MaxUint32, 5: 7} {
		got, ok := m.HostUser(id)
		assert.True(t, ok, "id %d", id)
		assert.Equal(t, want, got)
	}
	for _, id := range []uint32{2, 4, 9, 10, math.MaxUint32} {
		_, ok := m.HostUser(id)
		assert.False(t, ok, "id %d", id)
	}
}

// TestUnknownCapabilitiesCountForNothing: a name that is none stands for no number,
// so not for the 0 of chown.
func TestUnknownCapabilitiesCountForNothing(t *testing.T) {
	for _, on := range []bool{true, false} {
		wish := policy.Capabilities{Policy: policy.CapAllow, States: map[string]bool{"no_such": on, "CHOWN": on, "": on}}
		kept, _ := wish.Set(everything)
		assert.Equal(t, everything, kept)
		wish.Policy = policy.CapDeny
		kept, inheritable := wish.Set(everything)
		assert.Zero(t, kept|inheritable)
	}
	assert.False(t, policy.Capabilities{Policy: policy.CapAllow}.Keeps("no_such", everything))
}

// FuzzIDMap: what Normalize takes is sorted, maps root, loses no range, is left
// alone the second time, and maps every id as the ranges it was made of do.
func FuzzIDMap(f *testing.F) {
	f.Add(uint32(0), uint32(100000), uint32(1000), uint32(1000), uint32(5), uint32(1), uint32(1000))
	f.Add(uint32(0), uint32(math.MaxUint32), uint32(2), uint32(1), uint32(0), uint32(0), uint32(1))
	f.Add(uint32(7), uint32(7), uint32(7), uint32(0), uint32(9), uint32(7), uint32(9))
	f.Fuzz(func(t *testing.T, start1, target1, count1, start2, target2, count2, id uint32) {
		ranges := []policy.IDRange{{Start: start1, Target: target1, Count: count1}, {Start: start2, Target: target2, Count: count2}}
		wish := policy.IDMap{Users: ranges, Groups: ranges}
		sorted, err := wish.Normalize()
		if err != nil {
			assert.ErrorIs(t, err, fault.UnsupportedConfig)
			assert.NotZero(t, min(start1, start2), "the only thing that can be wrong with it")
			return
		}
		assert.Zero(t, sorted.Users[0].Start)
		assert.LessOrEqual(t, sorted.Users[0].Start, sorted.Users[1].Start)
		assert.ElementsMatch(t, ranges, sorted.Users)
		again, err := sorted.Normalize()
		assert.NoError(t, err)
		assert.Equal(t, sorted, again)
		got, ok := sorted.HostUser(id)
		fits := func(r policy.IDRange) bool {
			distance := uint64(id) - uint64(r.Start)
			return id >= r.Start && distance < uint64(r.Count) && uint64(r.Target)+distance <= math.MaxUint32
		}
		assert.Equal(t, fits(ranges[0]) || fits(ranges[1]), ok)
		if ok {
			from := func(r policy.IDRange) bool { return fits(r) && got-r.Target == id-r.Start && got >= r.Target }
			assert.True(t, from(ranges[0]) || from(ranges[1]))
		}
	})
}

func TestNamesOfPolicies(t *testing.T) {
	for name, p := range map[string]policy.CapPolicy{"default": policy.CapDefault, "allow": policy.CapAllow, "deny": policy.CapDeny} {
		assert.Equal(t, name, p.String())
	}
}

// TestSetsOfNothing: a daemon that has no capability gives none,
// whatever was wished.
func TestSetsOfNothing(t *testing.T) {
	states := map[string]bool{}
	for name := range policy.CapNumbers {
		states[name] = true
	}
	for _, p := range []policy.CapPolicy{policy.CapDefault, policy.CapAllow, policy.CapDeny} {
		kept, inheritable := policy.Capabilities{Policy: p, States: states}.Set(0)
		assert.Zero(t, kept|inheritable, p.String())
	}
}

// TestAtMostAsManyRangesAsTheKernelTakes: the limit itself is fine.
func TestAtMostAsManyRangesAsTheKernelTakes(t *testing.T) {
	ranges := make([]policy.IDRange, 340)
	for i := range ranges {
		ranges[i] = policy.IDRange{Start: uint32(i), Target: uint32(i), Count: 1}
	}
	_, err := policy.IDMap{Users: ranges, Groups: ranges}.Normalize()
	assert.NoError(t, err)
}
