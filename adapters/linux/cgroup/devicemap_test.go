package cgroup

import (
	"maps"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/policy"
)

// granted is what the program would find for a device: see deviceProgram.
func granted(list deviceList, device deviceKey) (rights uint32) {
	for _, major := range []uint32{device.Major, anyNumber} {
		for _, minor := range []uint32{device.Minor, anyNumber} {
			rights |= list[deviceKey{device.Type, major, minor}]
		}
	}
	return rights
}

// walk takes the steps and checks at each that what both lists grant is granted,
// and nothing that neither does.
func walk(t *testing.T, before, after deviceList) {
	t.Helper()
	now := maps.Clone(before)
	steps, room := transition(before, after)
	check := func() {
		require.LessOrEqual(t, len(now), room)
		for major := range uint32(3) {
			for minor := range uint32(3) {
				device := deviceKey{charType, major, minor}
				old, wish, got := granted(before, device), granted(after, device), granted(now, device)
				require.Equal(t, old&wish, old&wish&got, "lost on the way: %v in %v", device, now)
				require.Zero(t, got&^(old|wish), "never meant: %v in %v", device, now)
			}
		}
	}
	for _, step := range steps {
		check()
		if step.rights == 0 {
			delete(now, step.key)
		} else {
			now[step.key] = step.rights
		}
	}
	check()
	require.Equal(t, after, now)
}

func TestTransitionLosesNothing(t *testing.T) {
	one, other := deviceKey{charType, 1, 1}, deviceKey{charType, 1, 2}
	kind, all := deviceKey{charType, 1, anyNumber}, deviceKey{charType, anyNumber, anyNumber}
	lists := []deviceList{
		{}, {one: mayRead}, {one: mayRead | mayWrite}, {one: mayWrite, other: mayRead}, {kind: mayWrite, one: mayRead},
		{kind: mayRead | mayWrite}, {all: mayMake}, {all: mayMake | mayRead, one: mayWrite}, {deviceKey{blockType, 1, 1}: mayRead},
	}
	for _, before := range lists {
		for _, after := range lists {
			walk(t, before, after)
		}
		steps, room := transition(before, before)
		assert.Empty(t, steps, "nothing to do")
		assert.Equal(t, len(before), room)
	}
}

// FuzzTransition builds two lists from bytes: a byte is a key of nine and rights.
func FuzzTransition(f *testing.F) {
	f.Add([]byte{0x11, 0x23}, []byte{0x15})
	f.Add([]byte{0x81, 0x12, 0x77}, []byte{0x82, 0x11, 0x70, 0x33})
	f.Fuzz(func(t *testing.T, one, two []byte) {
		build := func(from []byte) deviceList {
			numbers := [3]uint32{1, 2, anyNumber}
			list := deviceList{}
			for _, b := range from {
				if rights := uint32(b & 7); rights != 0 {
					list[deviceKey{charType, numbers[b>>3%3], numbers[b>>5%3]}] |= rights
				}
			}
			return list
		}
		walk(t, build(one), build(two))
	})
}

// TestAListThatCannotBeReadIsNotEmpty: taken for empty, its rules would stay for ever.
func TestAListThatCannotBeReadIsNotEmpty(t *testing.T) {
	needRoot(t)
	list, err := newDeviceList(policy.DefaultDevices())
	require.NoError(t, err)
	rules, err := newMap(list)
	require.NoError(t, err)
	got, err := readMap(rules)
	require.NoError(t, err)
	assert.Equal(t, list, got)
	require.NoError(t, rules.Close())
	_, err = readMap(rules)
	require.Error(t, err)

	other, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 16, ValueSize: 4, MaxEntries: 1})
	require.NoError(t, err)
	defer other.Close()
	require.NoError(t, other.Put(make([]byte, 16), uint32(1)))
	_, err = readMap(other)
	require.Error(t, err, "keys of another form")
}

func TestALongListIsRefused(t *testing.T) {
	list := make(deviceList)
	for minor := range uint32(mostRoom/2 + 1) {
		list[deviceKey{charType, 1, minor}] = mayRead
	}
	_, err := newMap(list)
	require.Error(t, err)
}
