package cgroup

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/policy"
)

// Rights to a device, numbered as the kernel's device programs do.
const (
	mayMake  uint32 = 1
	mayRead  uint32 = 2
	mayWrite uint32 = 4
)

// Types of devices, numbered likewise.
const (
	blockType uint32 = 1
	charType  uint32 = 2
)

// anyNumber stands for every major or minor number.
const anyNumber = math.MaxUint32

// deviceKey is what a rule is about. The type belongs to it: 7:1 is one thing
// as a block device and another as a character device. Also the layout of the
// program's map.
type deviceKey struct {
	Type, Major, Minor uint32
}

// deviceList maps to rights. Rules about one key add up.
type deviceList map[deviceKey]uint32

// AllowDevices: see ports.Cgroup. A running container keeps what both the old
// and the new list allow at every moment.
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

func deviceNumber(number int64) (uint32, bool) {
	if number == policy.AnyNumber {
		return anyNumber, true
	}
	return uint32(number), number >= 0 && number < anyNumber
}

// allowV1 changes the difference only. A list that is read as "everything" is
// that of a new group and is emptied first.
func (g *Group) allowV1(dir string, list deviceList) error {
	before := deviceList{}
	everything := g.fresh
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
// kernel takes a single rule per call.
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

// ruleText is a line as the version 1 files take and show it.
func ruleText(key deviceKey, rights uint32) string {
	text := make([]byte, 0, 32)
	if key.Type == blockType {
		text = append(text, "b "...)
	} else {
		text = append(text, "c "...)
	}
	text = append(appendNumber(text, key.Major), ':')
	text = append(appendNumber(text, key.Minor), ' ')
	for _, right := range []struct {
		bit    uint32
		letter byte
	}{{mayRead, 'r'}, {mayWrite, 'w'}, {mayMake, 'm'}} {
		if rights&right.bit != 0 {
			text = append(text, right.letter)
		}
	}
	return string(text)
}

func appendNumber(text []byte, number uint32) []byte {
	if number == anyNumber {
		return append(text, '*')
	}
	return strconv.AppendUint(text, uint64(number), 10)
}

// parseDeviceList reads devices.list; everything: nothing is denied. Lines that
// are not understood are none of ours and are left alone.
func parseDeviceList(text string) (list deviceList, everything bool) {
	list = deviceList{}
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, "a ") {
			return deviceList{}, true
		}
		if key, rights, err := parseRule(line); err == nil {
			list[key] |= rights
		}
	}
	return list, false
}

var errRule = errors.New("not a device rule")

func parseRule(line string) (key deviceKey, rights uint32, err error) {
	words := strings.Fields(line)
	if len(words) != 3 {
		return key, 0, errRule
	}
	switch words[0] {
	case "b":
		key.Type = blockType
	case "c":
		key.Type = charType
	default:
		return key, 0, errRule
	}
	major, minor, _ := strings.Cut(words[1], ":")
	if key.Major, err = parseNumber(major); err != nil {
		return key, 0, err
	}
	if key.Minor, err = parseNumber(minor); err != nil {
		return key, 0, err
	}
	for letter, right := range map[string]uint32{"r": mayRead, "w": mayWrite, "m": mayMake} {
		if strings.Contains(words[2], letter) {
			rights |= right
		}
	}
	return key, rights, nil
}

func parseNumber(text string) (uint32, error) {
	if text == "*" {
		return anyNumber, nil
	}
	number, err := strconv.ParseUint(text, 10, 32)
	if err != nil || number == anyNumber {
		return 0, errRule
	}
	return uint32(number), nil
}
