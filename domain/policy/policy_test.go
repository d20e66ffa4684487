package policy_test

import (
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
