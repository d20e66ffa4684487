package domxml

import (
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"virtlxcd/domain/fault"
	"virtlxcd/domain/policy"
)

// scaled reads a size whose unit stands in an attribute and returns bytes, at
// most limit. where names the element for the client, as a path: "./memory[1]";
// fallback is the number of bytes in a unit when none is written. Digits alone
// are a number: no sign, no blanks. Kinds BadDefinition for the number,
// InvalidArgument for the unit, Overflow for the product.
// The product is computed in 128 bits, so no size wraps around to a small one.
func scaled(value, unit, where string, fallback, limit uint64) (uint64, error) {
	number, err := strconv.ParseUint(value, 10, 64)
	if err != nil {
		return 0, badStructure("Invalid value '%s' for element or attribute '%s'", value, where)
	}
	scale := fallback
	if unit != "" {
		if scale, err = unitSize(unit); err != nil {
			return 0, err
		}
	}
	if high, product := bits.Mul64(number, scale); high == 0 && product <= limit {
		return product, nil
	}
	return 0, fault.New(fault.Overflow, fault.Host, "value too large: %d%s", number, unit)
}

// unitSize reads units as clients write them (formatdomain, "Memory
// Allocation"), in either case: a letter alone or with iB counts in 1024, with B
// in 1000. "k", "KiB" and "kib" are 1024, "KB" is 1000, "b" and "bytes" are 1.
// The empty unit is the caller's to deal with. A kelvin sign, which folds to "k" in
// another length, is no unit.
func unitSize(unit string) (uint64, error) {
	lower := strings.ToLower(unit)
	if lower == "b" || lower == "byte" || lower == "bytes" {
		return 1, nil
	}
	power := strings.IndexByte("kmgtpe", lower[0]) + 1
	base := uint64(1024)
	switch {
	case len(lower) != len(unit): // a letter beyond ASCII that folds to one within
		power = 0
	case lower[1:] == "", lower[1:] == "ib":
	case lower[1:] == "b":
		base = 1000
	default:
		power = 0
	}
	if power == 0 {
		return 0, fault.New(fault.InvalidArgument, fault.Host, "unknown suffix '%s'", unit)
	}
	size := uint64(1)
	for range power {
		size *= base
	}
	return size, nil
}

const (
	kib = 1024
	// maxMemory is the largest size in bytes, maxLimit the largest limit.
	maxMemory = uint64(math.MaxInt64)
	maxLimit  = policy.Unlimited << 10
)

// memory takes the unit of n and returns its size in KiB, rounded up.
// Kinds are those of scaled. Rounding up keeps a few bytes from becoming 0. limit is in
// bytes, as for scaled.
func memory(n *node, where string, limit uint64) (uint64, error) {
	size, err := scaled(n.content(), n.pick("unit"), where, kib, limit)
	if err != nil {
		return 0, err
	}
	return size/kib + min(1, size%kib), nil
}

// number prints a count or a size.
func number(value uint64) string { return strconv.FormatUint(value, 10) }

// maxCPU bounds the numbers in a list of processors; the interface's own bitmaps
// end there.
const maxCPU = 16384

// maxCPUList bounds the list itself, in bytes: every number once, with room to
// spare. Each part may name all processors, so a list is not read for free.
// Within it there is room for 16384 parts like "0-16383,".
const maxCPUList = 8 * maxCPU

// cpuList reads a list like "0-3,^2,8" (cpuset(7) has the same format but for
// the caret) and returns its canonical form "0-1,3,8": ascending, neighbours
// joined. Parts count in their order, so "^2,0-3" takes nothing away. A list of
// nothing is refused otherwise than one that cannot be read.
// Kinds are InvalidArgument for what cannot be read and UnsupportedConfig for an
// empty set, each with the text that clients know.
func cpuList(list string) (string, error) {
	wrong := fault.New(fault.InvalidArgument, fault.Host, "Failed to parse bitmap '%s'", list)
	if len(list) > maxCPUList {
		return "", wrong
	}
	set := make([]bool, maxCPU)
	for part := range strings.SplitSeq(list, ",") {
		part = strings.Trim(part, " \t\r\n")
		part, negated := strings.CutPrefix(part, "^")
		first, last, ranged := strings.Cut(part, "-")
		if !ranged {
			last = first
		}
		from, err1 := strconv.ParseUint(first, 10, 32)
		to, err2 := strconv.ParseUint(last, 10, 32)
		if err1 != nil || err2 != nil || from > to || to >= maxCPU || negated && ranged {
			return "", wrong
		}
		for cpu := from; cpu <= to; cpu++ {
			set[cpu] = !negated
		}
	}
	if !slices.Contains(set, true) {
		return "", unsupported("Invalid value of 'cpuset': %s", list)
	}
	return formatCPUs(set), nil
}

// formatCPUs writes runs of two and more as ranges.
// "0-1,3": the form in which cpuset files and clients read it.
func formatCPUs(set []bool) string {
	var parts []string
	for from := 0; from < len(set); from++ {
		if !set[from] {
			continue
		}
		to := from
		for to+1 < len(set) && set[to+1] {
			to++
		}
		part := strconv.Itoa(from)
		if to > from {
			part += "-" + strconv.Itoa(to)
		}
		parts = append(parts, part)
		from = to
	}
	return strings.Join(parts, ",")
}
