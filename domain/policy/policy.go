// Package policy holds what a container may use and do: limits, capabilities,
// devices, id maps. It merges, defaults and validates; adapters apply.
package policy

// Unlimited is the KiB value that stands for "no limit" on the wire: the largest
// number of KiB whose bytes fit 63 bits.
const Unlimited uint64 = 9007199254740991

// Limits is the wanted state of a container's resources. Nil means "not set":
// leave what the kernel has.
type Limits struct {
	MemoryHard  *uint64 // KiB
	MemorySoft  *uint64 // KiB
	SwapHard    *uint64 // KiB, memory plus swap
	CPUShares   *uint64 // 2 ... 262144, default 1024
	CPUPeriod   *uint64 // microseconds, 1000 ... 1000000
	CPUQuota    *int64  // microseconds, 1000 ... 17592186044415; negative: none
	BlockWeight *uint   // stored and shown only today
	PIDs        *uint64
	CPUSet      string // cpuset.cpus in list format
}

// DeviceRule allows access to device nodes. A device list is "deny all, then
// these" (admin-guide/cgroup-v1/devices; with v2 a program of bpf(2) says the same).
type DeviceRule struct {
	Block                bool  // else character
	Major, Minor         int64 // AnyNumber: every one
	Read, Write, MakeNod bool
}

// AnyNumber stands for every major or minor number.
const AnyNumber int64 = -1

// DefaultDevices is what every container may use: null, zero, full, random,
// urandom, tty, ptmx, fuse and terminals, by their numbers (admin-guide/devices.txt).
// The slice is the caller's.
func DefaultDevices() []DeviceRule {
	rules := make([]DeviceRule, 0, 12)
	for _, number := range [][2]int64{{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 2}, {10, 229}, {136, AnyNumber}} {
		rules = append(rules, DeviceRule{Major: number[0], Minor: number[1], Read: true, Write: true, MakeNod: true})
	}
	return rules
}

// MakeAnyNode lets a container that keeps the mknod capability make every
// node, though not open it.
func MakeAnyNode() []DeviceRule {
	return []DeviceRule{
		{Block: true, Major: AnyNumber, Minor: AnyNumber, MakeNod: true},
		{Major: AnyNumber, Minor: AnyNumber, MakeNod: true},
	}
}
