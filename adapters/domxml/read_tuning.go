package domxml

import (
	"strconv"

	"virtlxcd/domain/policy"
)

// tuning reads the limits (formatdomain, "Memory Tuning", "CPU Tuning", "Block I/O
// Tuning", "NUMA Node Tuning").
func (r *reader) tuning() error {
	for _, step := range []func() error{r.memoryLimits, r.cpuLimits, r.blockLimits, r.numa} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// memoryLimits reads sizes with units. A limit of 0 is one; one of 2^53-1 KiB and
// more is none, as that number says so on the wire.
// min_guarantee has no field, see guarantee.
func (r *reader) memoryLimits() error {
	n := r.root.one("memtune")
	limits := &r.def.Limits
	for _, limit := range []struct {
		name  string
		field **uint64
	}{
		{"hard_limit", &limits.MemoryHard}, {"soft_limit", &limits.MemorySoft}, {"swap_hard_limit", &limits.SwapHard},
	} {
		value, err := memoryLimit(n.one(limit.name))
		if err != nil {
			return err
		}
		*limit.field = value
	}
	return r.guarantee(n)
}

// memoryLimit returns nil for a limit that limits nothing.
// An element that is empty or missing limits nothing either.
func memoryLimit(n *node) (*uint64, error) {
	if n.content() == "" {
		return nil, nil
	}
	value, err := memory(n, "./memtune/"+n.name+"[1]", maxLimit)
	if err != nil || value >= policy.Unlimited {
		return nil, err
	}
	return &value, nil
}

// guarantee brings the one limit without effect, and so without a field, to
// the common unit.
// It becomes a leftover in KiB; one that is empty or without bound is removed.
func (r *reader) guarantee(n *node) error {
	g := n.one("min_guarantee")
	if g == nil {
		return nil
	}
	value, err := memoryLimit(g)
	if err != nil {
		return err
	}
	if value == nil {
		n.remove(func(kid *node) bool { return kid == g })
		return nil
	}
	g.taken = false
	g.set("unit", "KiB")
	g.setText(number(*value))
	return nil
}

// The ranges the interface knows for shares, and for period and quota in
// microseconds. They are those of the kernel's first version of control groups
// (kernel document scheduler/sched-bwc); the adapter for the second converts.
// A value outside of its range is refused when it is read, not when it is set.
const (
	minShares, maxShares = 2, 262144
	minPeriod, maxPeriod = 1000, 1000000
	minQuota, maxQuota   = 1000, 17592186044415
)

// cpuLimits reads how much CPU there is. A negative quota is no limit, and
// kept as it was written.
// Other children, for single processors and for the emulator, stay leftovers.
func (r *reader) cpuLimits() error {
	n := r.root.one("cputune")
	limits := &r.def.Limits
	var err error
	if limits.CPUShares, err = tunable(n, "shares"); err != nil {
		return err
	}
	if limits.CPUPeriod, err = tunable(n, "period"); err != nil {
		return err
	}
	if text := n.word("quota"); text != "" {
		quota, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return bad("can't parse cputune quota value")
		}
		limits.CPUQuota = &quota
	}
	return checkCPULimits(limits)
}

// tunable returns nil for one that is absent or empty.
// 0 is returned as it is: checkCPULimits takes it for none.
func tunable(n *node, name string) (*uint64, error) {
	text := n.word(name)
	if text == "" {
		return nil, nil
	}
	value, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return nil, bad("can't parse cputune %s value", name)
	}
	return &value, nil
}

// checkCPULimits refuses what the kernel would; zero stands for "not set".
// The kind is UnsupportedConfig, the text has both ends of the range.
func checkCPULimits(limits *policy.Limits) error {
	if limits.CPUShares != nil && *limits.CPUShares == 0 {
		limits.CPUShares = nil
	}
	if limits.CPUPeriod != nil && *limits.CPUPeriod == 0 {
		limits.CPUPeriod = nil
	}
	if limits.CPUQuota != nil && *limits.CPUQuota == 0 {
		limits.CPUQuota = nil
	}
	wrong := func(name string, least, most uint64) error {
		return unsupported("Value of cputune '%s' must be in range [%d, %d]", name, least, most)
	}
	switch shares, period, quota := limits.CPUShares, limits.CPUPeriod, limits.CPUQuota; {
	case shares != nil && (*shares < minShares || *shares > maxShares):
		return wrong("shares", minShares, maxShares)
	case period != nil && (*period < minPeriod || *period > maxPeriod):
		return wrong("period", minPeriod, maxPeriod)
	case quota != nil && *quota > 0 && (*quota < minQuota || *quota > maxQuota):
		return wrong("quota", minQuota, maxQuota)
	}
	return nil
}

// blockLimits reads the weight; limits of single devices are checked and carried.
// The path names the device, so one that stands twice has no meaning. A weight of 0 is
// none; its range is not checked here.
func (r *reader) blockLimits() error {
	n := r.root.one("blkiotune")
	if text := n.word("weight"); text != "" {
		value, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return bad("can't parse blkiotune weight value")
		}
		if weight := uint(value); weight > 0 {
			r.def.Limits.BlockWeight = &weight
		}
	}
	seen := map[string]bool{}
	for _, device := range n.each("device") {
		path := device.find("path").content()
		switch {
		case path == "":
			return unsupported("missing per-device path")
		case seen[path]:
			return unsupported("duplicate blkio device path '%s'", path)
		}
		seen[path] = true
	}
	return nil
}

// numa fills in the mode; the element itself has no field.
// "strict" is put first, where it is printed.
func (r *reader) numa() error {
	n := r.root.find("numatune").find("memory")
	if n == nil {
		return nil
	}
	switch mode, written := n.attr("mode"); {
	case !written:
		n.attrs = append([]attr{{name: "mode", value: "strict"}}, n.attrs...)
	case mode != "strict" && mode != "preferred" && mode != "interleave" && mode != "restrictive":
		return badAttr(n, "mode", mode)
	}
	return nil
}
