package policy

import (
	"cmp"
	"math"
	"slices"

	"virtlxcd/domain/fault"
)

// IDRange maps Count ids from Start inside to Target on the host, as a line of uid_map
// does (user_namespaces(7)). The kernel refuses ranges that are empty, overlap, or
// leave 32 bits, when they are written; here they only map nothing.
type IDRange struct{ Start, Target, Count uint32 }

// IDMap maps the container's users and groups. Empty: no user namespace.
type IDMap struct{ Users, Groups []IDRange }

// maxRanges is how many lines the kernel takes (user_namespaces(7)).
const maxRanges = 340

// Enabled says whether the container lives in a user namespace.
func (m IDMap) Enabled() bool { return len(m.Users) > 0 }

// Normalize sorts both lists by Start and checks them: both or none, root
// mapped, no more lines than the kernel takes. Kind UnsupportedConfig. The lists of m
// are left alone. What it returns it returns again for that.
func (m IDMap) Normalize() (IDMap, error) {
	if len(m.Users) == 0 && len(m.Groups) == 0 {
		return IDMap{}, nil
	}
	if len(m.Users) == 0 || len(m.Groups) == 0 {
		return m, fault.New(fault.UnsupportedConfig, fault.API, "uid and gid should be mapped both")
	}
	sorted := IDMap{Users: sortRanges(m.Users), Groups: sortRanges(m.Groups)}
	if sorted.Users[0].Start != 0 || sorted.Groups[0].Start != 0 {
		return m, fault.New(fault.UnsupportedConfig, fault.API, "You must map the root user of container")
	}
	if len(m.Users) > maxRanges || len(m.Groups) > maxRanges {
		return m, fault.New(fault.UnsupportedConfig, fault.API, "the kernel takes at most %d id map entries", maxRanges)
	}
	return sorted, nil
}

// sortRanges keeps the order of those that begin at the same id.
func sortRanges(ranges []IDRange) []IDRange {
	sorted := slices.Clone(ranges)
	slices.SortStableFunc(sorted, func(a, b IDRange) int {
		return cmp.Compare(a.Start, b.Start)
	})
	return sorted
}

// HostUser returns the host's id of a user inside; ok is false if it is not mapped.
func (m IDMap) HostUser(id uint32) (host uint32, ok bool) { return lookup(m.Users, id) }

// HostGroup is HostUser for groups.
func (m IDMap) HostGroup(id uint32) (host uint32, ok bool) { return lookup(m.Groups, id) }

// lookup takes the first range that fits. An empty list is no user namespace, in
// which ids are the host's.
func lookup(ranges []IDRange, id uint32) (uint32, bool) {
	if len(ranges) == 0 {
		return id, true
	}
	for _, r := range ranges {
		if id < r.Start || id-r.Start >= r.Count {
			continue
		}
		// A range that leaves 32 bits must not come round to the host's root.
		if offset := id - r.Start; offset <= math.MaxUint32-r.Target {
			return r.Target + offset, true
		}
	}
	return 0, false
}
