package cgroup

import (
	"strconv"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/policy"
)

// unlimited is more bytes than any limit; also what version 1's "no limit"
// reads as, give or take a page.
const unlimited = uint64(1) << 62

// bytesOf converts KiB as written in limits. Both the value that stands for no limit
// and what comes near it are no limit; nothing overflows.
func bytesOf(kib uint64) uint64 {
	if kib >= policy.Unlimited {
		return unlimited
	}
	return kib * 1024
}

// byteText spells a limit; none is the version's word for no limit. Version 1 says "-1",
// version 2 "max".
func byteText(bytes uint64, none string) string {
	if bytes >= unlimited {
		return none
	}
	return strconv.FormatUint(bytes, 10)
}

// readBytes reads a limit. A file that is missing or unreadable counts as no
// limit: writing it will tell.
func readBytes(path string) uint64 {
	text, err := readValue(path)
	if err != nil || text == "max" {
		return unlimited
	}
	bytes, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return unlimited
	}
	return min(bytes, unlimited)
}

// planMemory refuses what neither version could keep: less memory and swap together
// than memory. It reads what is set now, so a plan is good for one Apply.
func (g *Group) planMemory(limits policy.Limits) ([]change, error) {
	if limits.MemoryHard == nil && limits.MemorySoft == nil && limits.SwapHard == nil {
		return nil, nil
	}
	dir, version, ok := g.dir("memory")
	if !ok {
		return nil, missing("memory")
	}
	// Known from what is wished alone; what is set already is compared later.
	if hard, total := limits.MemoryHard, limits.SwapHard; hard != nil && total != nil && bytesOf(*hard) > bytesOf(*total) {
		return nil, invalid("the memory limit %d KiB is above the limit of memory plus swap %d KiB", *hard, *total)
	}
	if version == 2 {
		return planMemoryUnified(dir, limits)
	}
	return planMemoryV1(dir, limits), nil
}

// planMemoryV1 keeps the limit of memory at or below that of memory plus swap
// at every step, which the kernel demands (admin-guide/cgroup-v1/memory): growing, the
// sum is written first, shrinking, memory.
func planMemoryV1(dir string, limits policy.Limits) []change {
	var changes []change
	if limits.MemorySoft != nil {
		soft := byteText(bytesOf(*limits.MemorySoft), "-1")
		changes = append(changes, change{"memory", dir + "/memory.soft_limit_in_bytes", soft, "soft memory limit"})
	}
	var hard, total []change
	if limits.MemoryHard != nil {
		value := byteText(bytesOf(*limits.MemoryHard), "-1")
		hard = []change{{"memory", dir + "/memory.limit_in_bytes", value, "memory limit"}}
	}
	if limits.SwapHard != nil {
		value := byteText(bytesOf(*limits.SwapHard), "-1")
		total = []change{{"memory", dir + "/memory.memsw.limit_in_bytes", value, "limit of memory plus swap"}}
	}
	// Growing: the sum makes room first.
	if hard != nil && total != nil && bytesOf(*limits.MemoryHard) > readBytes(dir+"/memory.limit_in_bytes") {
		hard, total = total, hard
	}
	return append(append(changes, hard...), total...)
}

// planMemoryUnified: version 2 limits swap alone, so the limit of both is
// divided, anew whenever one of the two changes. What is not wished is read from the
// files: nothing but the kernel remembers it. The soft limit is memory.high, above
// which processes are slowed down and memory is reclaimed, never memory.low, which
// protects.
func planMemoryUnified(dir string, limits policy.Limits) ([]change, error) {
	var changes []change
	add := func(file string, bytes uint64, what string) {
		changes = append(changes, change{"memory", dir + "/" + file, byteText(bytes, "max"), what})
	}
	if limits.MemorySoft != nil {
		add("memory.high", bytesOf(*limits.MemorySoft), "soft memory limit")
	}
	before := readBytes(dir + "/memory.max")
	hard := before
	if limits.MemoryHard != nil {
		hard = bytesOf(*limits.MemoryHard)
		if err := makeRoom(dir, hard); err != nil {
			return nil, err
		}
		add("memory.max", hard, "memory limit")
	}
	total := unlimited
	if limits.SwapHard != nil {
		total = bytesOf(*limits.SwapHard)
	} else if swap := readBytes(dir + "/memory.swap.max"); swap < unlimited {
		// Without a limit of memory the swap limit holds the limit of both.
		total = swap
		if before < unlimited {
			total += before
		}
	}
	// Neither wished nor set: the file is left alone, which a host without swap lacks.
	if limits.SwapHard == nil && total == unlimited {
		return changes, nil
	}
	swap := unlimited
	if total < unlimited {
		if hard > total && hard < unlimited {
			return nil, invalid("the memory limit %d KiB is above the limit of memory plus swap %d KiB", hard/1024, total/1024)
		}
		swap = total
		if hard < unlimited {
			swap = total - hard
		}
	}
	add("memory.swap.max", swap, "limit of memory plus swap")
	return changes, nil
}

// makeRoom refuses a limit below what is in use, as version 1 does by itself:
// version 2 would take it and kill processes. The kernel is asked to give back
// what it can first; without memory.reclaim (before Linux 5.19) only what is in use now
// counts. Processes may take more between the look and the limit: then the kernel
// reclaims, and kills if it must, as for any limit. limit is in bytes.
func makeRoom(dir string, limit uint64) error {
	used := readBytes(dir + "/memory.current")
	if used >= unlimited || used <= limit {
		return nil
	}
	// A partial reclaim is an error too; only what is left matters.
	_ = writeValue(dir+"/memory.reclaim", strconv.FormatUint(used-limit, 10))
	if left := readBytes(dir + "/memory.current"); left < unlimited && left > limit {
		return tooSmall(unix.EBUSY, "memory limit")
	}
	return nil
}
