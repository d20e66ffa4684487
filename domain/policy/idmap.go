package policy

import (
	"slices"

	"virtlxcd/domain/fault"
)

// IDRange maps Count ids from Start inside to Target on the host.
type IDRange struct{ Start, Target, Count uint32 }

// IDMap maps the container's users and groups. Empty: no user namespace.
type IDMap struct{ Users, Groups []IDRange }

// maxRanges is how many lines the kernel takes (user_namespaces(7)).
const maxRanges = 340

// Enabled says whether the container lives in a user namespace.
func (m IDMap) Enabled() bool { return len(m.Users) > 0 }

// Normalize sorts both lists by Start and checks them: both or none, root
// mapped, no more lines than the kernel takes. Kind UnsupportedConfig.
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

func sortRanges(ranges []IDRange) []IDRange {
	sorted := slices.Clone(ranges)
	slices.SortStableFunc(sorted, func(a, b IDRange) int {
		return int(int64(a.Start) - int64(b.Start))
	})
	return sorted
}

// HostUser returns the host's id of a user inside; ok is false if it is not mapped.
func (m IDMap) HostUser(id uint32) (host uint32, ok bool) { return lookup(m.Users, id) }

// HostGroup is HostUser for groups.
func (m IDMap) HostGroup(id uint32) (host uint32, ok bool) { return lookup(m.Groups, id) }

func lookup(ranges []IDRange, id uint32) (uint32, bool) {
	if len(ranges) == 0 {
		return id, true
	}
	for _, r := range ranges {
		if id >= r.Start && id-r.Start < r.Count {
			return r.Target + (id - r.Start), true
		}
	}
	return 0, false
}
