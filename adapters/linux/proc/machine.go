package proc

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/container"
	"virtlxcd/domain/host"
)

// arch is the kernel's name for the machine, "x86_64". It is asked (uname(2)) where it
// does not tell in a file (before 6.1).
func (h *Host) arch() string {
	if arch := h.line("/proc/sys/kernel/arch"); arch != "" {
		return arch
	}
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Machine[:])
}

// Where the uuids of the machine (DMI, readable by root only) and of the installation
// are (machine-id(5), without dashes).
var firmwareUUID = []string{"/sys/class/dmi/id/product_uuid", "/sys/devices/virtual/dmi/id/product_uuid"}

const installationUUID = "/etc/machine-id"

// findUUID takes the administrator's, as a rule else the firmware's, as other
// programs of the interface do, else the installation's, else one derived from the
// host name, which at least stays the same. A host always has one: clients tell hosts
// apart by it when they migrate. Firmware of cheap boards has all digits
// alike: that is none.
func (h *Host) findUUID() [16]byte {
	if h.uuid != ([16]byte{}) {
		return h.uuid
	}
	for _, path := range h.files {
		uuid, err := container.ParseUUID(h.line(path))
		if err == nil && strings.Trim(hex.EncodeToString(uuid[:]), hex.EncodeToString(uuid[:1])[:1]) != "" {
			return uuid
		}
	}
	var uuid [16]byte
	sum := sha256.Sum256([]byte("virtlxcd host " + h.line("/proc/sys/kernel/hostname")))
	copy(uuid[:], sum[:])
	uuid[6] = uuid[6]&0x0f | 0x80 // version 8: made by a rule of our own
	uuid[8] = uuid[8]&0x3f | 0x80
	return uuid
}

// mhz is the speed of the first processor when it was first asked for; 0 where the
// kernel does not tell, as on ARM. The label depends on the architecture:
//
//	cpu MHz         : 2394.454        x86
//	clock           : 3425.000000MHz  POWER
//	cpu MHz static  : 5200            s390
func (h *Host) mhz() int {
	text := h.read("/proc/cpuinfo")
	for _, label := range []string{"cpu MHz", "clock", "cpu MHz static"} {
		digits, _, _ := strings.Cut(strings.TrimSuffix(field(text, label), "MHz"), ".")
		if mhz, err := strconv.Atoi(digits); err == nil && mhz > 0 {
			return mhz
		}
	}
	return 0
}

// suspendModes reads what the kernel offers (admin-guide/pm/sleep-states), by the names
// of the capabilities document (power_management). Hybrid is suspend to disk that
// ends in suspend to memory instead of power off. /sys/power/disk has the mode in use
// in brackets, "[platform] shutdown suspend", or "[disabled]".
func (h *Host) suspendModes() []string {
	var modes []string
	states := strings.Fields(h.line("/sys/power/state"))
	if slices.Contains(states, "mem") {
		modes = append(modes, "suspend_mem")
	}
	how := strings.Fields(strings.NewReplacer("[", " ", "]", " ").Replace(h.line("/sys/power/disk")))
	if slices.Contains(states, "disk") && !slices.Contains(how, "disabled") {
		modes = append(modes, "suspend_disk")
		if slices.Contains(how, "suspend") {
			modes = append(modes, "suspend_hybrid")
		}
	}
	return modes
}

// lastCapability is the highest number this kernel knows (capabilities(7)); 0 where it
// is not told or would not fit into a set of 64.
func (h *Host) lastCapability() uint {
	last, err := strconv.ParseUint(h.line("/proc/sys/kernel/cap_last_cap"), 10, 8)
	if err != nil || last > 63 {
		return 0
	}
	return uint(last)
}

// capabilities are those a child of this process can have: permitted here and
// within the bounding set, bit n for capability n. A daemon that is itself in a container
// may lack some, and so will what it starts.
func (h *Host) capabilities() uint64 {
	status := h.read("/proc/self/status")
	permitted, err := strconv.ParseUint(field(status, "CapPrm"), 16, 64)
	if err != nil {
		return 0
	}
	bounding, err := strconv.ParseUint(field(status, "CapBnd"), 16, 64)
	if err != nil {
		return 0
	}
	return permitted & bounding
}

// memory reads the total of a meminfo file in KiB, of the host or of a node:
//
//	MemTotal:       16316412 kB
//	Node 0 MemTotal:       16316412 kB
func (h *Host) memory(path string) uint64 {
	for line := range strings.Lines(string(h.read(path))) {
		_, value, found := strings.Cut(line, "MemTotal:")
		if !found {
			continue
		}
		digits, _, _ := strings.Cut(strings.TrimSpace(value), " ")
		kib, err := strconv.ParseUint(digits, 10, 64)
		if err != nil {
			return 0
		}
		return kib
	}
	return 0
}

// pageSizes lists the base size, which all memory comes in, and the pools of huge pages
// (admin-guide/mm/hugetlbpage), smallest first. memory is the host's, in KiB. Count is
// how many pages there are, in use or not.
func (h *Host) pageSizes(memory uint64) []host.PageSize {
	const pools = "/sys/kernel/mm/hugepages"
	base := uint64(os.Getpagesize()) >> 10
	sizes := []host.PageSize{{KiB: base, Count: memory / base}}
	for _, name := range h.names(pools) {
		digits, isPool := strings.CutPrefix(name, "hugepages-")
		kib, err := strconv.ParseUint(strings.TrimSuffix(digits, "kB"), 10, 64)
		if !isPool || err != nil {
			continue
		}
		count, err := strconv.ParseUint(h.line(pools+"/"+name+"/nr_hugepages"), 10, 64)
		if err == nil {
			sizes = append(sizes, host.PageSize{KiB: kib, Count: count})
		}
	}
	slices.SortFunc(sizes, func(a, b host.PageSize) int { return cmp.Compare(a.KiB, b.KiB) })
	return sizes
}
