package cgroup

import (
	"context"
	"math"
	"slices"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/policy"
)

// Rights to a device, numbered as the kernel's device programs do
// (BPF_DEVCG_ACC_MKNOD and so on, linux/bpf.h).
const (
	mayMake  uint32 = 1
	mayRead  uint32 = 2
	mayWrite uint32 = 4
)

// Types of devices, numbered likewise (BPF_DEVCG_DEV_BLOCK, BPF_DEVCG_DEV_CHAR).
const (
	blockType uint32 = 1
	charType  uint32 = 2
)

// anyNumber stands for every major or minor number. No device has it: majors have
// 12 bits, minors 20 (linux/kdev_t.h).
const anyNumber = math.MaxUint32

// deviceKey is what a rule is about. The type belongs to it: 7:1 is one thing
// as a block device and another as a character device. Also the layout of the
// program's map: three 32-bit words in the host's order, so neither order nor size of
// the fields may change while programs of an earlier daemon are on groups.
type deviceKey struct {
	Type, Major, Minor uint32
}

// deviceList maps to rights. Rules about one key add up; what no rule is about is
// denied.
type deviceList map[deviceKey]uint32

// AllowDevices: see ports.Cgroup. A running container keeps what both the old
// and the new list allow at every moment; what it has open stays open, as the lists
// are asked at open(2) and mknod(2) only. Rules without any right, and no rules at
// all, allow nothing.
//
// InvalidArgument for what cannot be a number at all, before anything is changed.
// After another failure the list may hold parts of both, never what is in neither.
func (g *Group) AllowDevices(ctx context.Context, rules []policy.DeviceRule) error {
	if err := ctx.Err(); err != nil {
		return stopped(err, "unable to set the device list of '%s'", g.short())
	}
	list, err := newDeviceList(rules)
	if err != nil {
		return err
	}
	dir, _, ok := g.dir("devices")
	switch {
	case ok:
		err = g.allowV1(dir, list)
	case g.unified():
		// Version 2 has no devices controller: no file says what is allowed.
		err = allowByProgram(g.dirs[0], list, g.fresh)
		if err != nil && !exists(g.dirs[0]) {
			err = gone(g.path)
		}
	default:
		err = missing("devices")
	}
	if err == nil {
		g.fresh = false
	}
	return err
}

// newDeviceList adds up rules about one key and drops those without rights.
func newDeviceList(rules []policy.DeviceRule) (deviceList, error) {
	list := make(deviceList, len(rules))
	for _, rule := range rules {
		major, fits := deviceNumber(rule.Major)
		minor, fitsToo := deviceNumber(rule.Minor)
		if !fits || !fitsToo {
			return nil, invalid("%d:%d is not the number of a device", rule.Major, rule.Minor)
		}
		key := deviceKey{charType, major, minor}
		if rule.Block {
			key.Type = blockType
		}
		var rights uint32
		for right, given := range map[uint32]bool{mayMake: rule.MakeNod, mayRead: rule.Read, mayWrite: rule.Write} {
			if given {
				rights |= right
			}
		}
		if rights != 0 {
			list[key] |= rights
		}
	}
	return list, nil
}

// deviceNumber is false for what is neither a number nor policy.AnyNumber.
func deviceNumber(number int64) (uint32, bool) {
	if number == policy.AnyNumber {
		return anyNumber, true
	}
	return uint32(number), number >= 0 && number < anyNumber
}

// allowV1 changes the difference only: first what is new, then what is over. A list
// that is read as "everything" is that of a new group, which has its parent's, and is
// emptied first; nothing can be running in it that would miss something.
func (g *Group) allowV1(dir string, list deviceList) error {
	before := deviceList{}
	everything := g.fresh
	// A new group's list is its parent's: reading it would tell nothing.
	if !g.fresh {
		text, err := readList(dir + "/devices.list")
		if err != nil {
			return g.writeFailed(err, "devices", dir, "unable to read the device list of '%s'", g.short())
		}
		before, everything = parseDeviceList(text)
	}
	if everything {
		if err := writeValue(dir+"/devices.deny", "a"); err != nil {
			return g.writeFailed(err, "devices", dir, "unable to empty the device list of '%s'", g.short())
		}
	}
	if err := writeRules(dir+"/devices.allow", list, before); err != nil {
		return g.writeFailed(err, "devices", dir, "unable to extend the device list of '%s'", g.short())
	}
	if err := writeRules(dir+"/devices.deny", before, list); err != nil {
		return g.writeFailed(err, "devices", dir, "unable to shorten the device list of '%s'", g.short())
	}
	return nil
}

// writeRules writes the rights in list that are not in without, one by one: the
// kernel takes a single rule per call (admin-guide/cgroup-v1/devices). The file is
// opened only if there is something to write. The error is an errno; rules before it
// are in effect.
func writeRules(path string, list, without deviceList) error {
	fd := -1
	for _, key := range sortedKeys(list) {
		rights := list[key] &^ without[key]
		if rights == 0 {
			continue
		}
		if fd < 0 {
			opened, err := openAt(path, unix.O_WRONLY)
			if err != nil {
				return err
			}
			fd = opened
			defer unix.Close(fd)
		}
		if err := writeAll(fd, ruleText(key, rights)); err != nil {
			return err
		}
	}
	return nil
}

// sortedKeys gives an order that does not change from run to run, for what is read
// in traces.
func sortedKeys(list deviceList) []deviceKey {
	keys := make([]deviceKey, 0, len(list))
	for key := range list {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b deviceKey) int {
		return slices.Compare([]uint32{a.Type, a.Major, a.Minor}, []uint32{b.Type, b.Major, b.Minor})
	})
	return keys
}
