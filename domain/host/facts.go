// Package host holds facts about the machine, as values. Where they come from
// is the business of the HostInfo port; what they mean for a container is decided
// in domain/launch.
package host

// Facts is what is known about the machine. Gathered when the daemon starts
// and when a client asks for capabilities; every gathering is a value of its
// own. A number that the machine does not tell is 0, a text empty.
type Facts struct {
	UUID          [16]byte // the administrator's, the firmware's or the installation's; zero: none
	Hostname      string
	Arch          string // kernel's machine name (uname(2)): x86_64
	KernelRelease string // uname -r
	BootID        string // /proc/sys/kernel/random/boot_id: another one after each boot
	Memory        uint64 // KiB, what the kernel manages
	CPUs          int    // online
	MHz           int    // of the first CPU, when it was first asked for
	// Nodes, Sockets, Cores and Threads multiply to the CPUs that can be: clients
	// count with that. A machine without such a shape is told as one socket of
	// single-threaded cores.
	Nodes        int // NUMA nodes
	Sockets      int // per node
	Cores        int // per socket
	Threads      int // per core
	Cells        []Cell
	PageSizes    []PageSize // the base size first
	SuspendModes []string   // "suspend_mem", "suspend_disk", "suspend_hybrid"

	LastCapability uint   // number of the kernel's last capability (capabilities(7))
	Capabilities   uint64 // what the daemon holds and may give away, bit n for number n
	NetNamespaces  bool
	UserNamespaces bool // false also where the administrator allows none (user_namespaces(7))
	SecurityFS     bool // mounted on the host
	CgroupV2       bool // every controller lives in the unified tree (cgroups(7))
	Cgroups        []CgroupMount
	// InitPaths are the paths under which the host's own init system can be
	// reached from its root: a container that shares the root must not run them.
	InitPaths []string
}

// Cell is one NUMA node (numa(7)). A machine without any is one cell.
type Cell struct {
	ID        int    // the kernel's; numbers may be missing in between
	Memory    uint64 // KiB
	CPUs      []CPU  // online ones
	Distances []int  // to the cells in their order, itself at 10; empty: not told
}

// CPU is one logical processor with its place, in the kernel's numbers: a Core
// is one only within its Die, a Die within its Socket.
type CPU struct {
	ID, Socket, Die, Core int
	Siblings              string // threads of the same core, in list format (cpuset(7)): "0,4"
}

// PageSize is one supported page size (kernel document admin-guide/mm/hugetlbpage).
type PageSize struct {
	KiB   uint64
	Count uint64 // pages of that size in the pool (all memory for the base size)
}

// CgroupMount is one mounted hierarchy (cgroups(7)) as a container should see it.
type CgroupMount struct {
	Name        string   // directory below /sys/fs/cgroup: "memory", "cpu,cpuacct", "unified", "" for pure v2
	Controllers []string // empty for a hierarchy that only names groups
	V2          bool     // the unified hierarchy, alone or beside others
}
