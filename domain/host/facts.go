// Package host holds facts about the machine, as values.
package host

// Facts is what is known about the machine. Gathered when the daemon starts
// and when a client asks for capabilities.
type Facts struct {
	UUID          [16]byte
	Hostname      string
	Arch          string // kernel's machine name: x86_64
	KernelRelease string // uname -r
	BootID        string
	Memory        uint64 // KiB
	CPUs          int    // online
	MHz           int
	Nodes         int // NUMA nodes
	Sockets       int // per node
	Cores         int // per socket
	Threads       int // per core
	Cells         []Cell
	PageSizes     []PageSize
	SuspendModes  []string // "suspend_mem", "suspend_disk", "suspend_hybrid"

	LastCapability uint   // number of the kernel's last capability
	Capabilities   uint64 // what the daemon holds and may give away
	NetNamespaces  bool
	UserNamespaces bool
	SecurityFS     bool // mounted on the host
	CgroupV2       bool // every controller lives in the unified tree
	Cgroups        []CgroupMount
	// InitPaths are the paths under which the host's own init system can be
	// reached from its root: a container that shares the root must not run them.
	InitPaths []string
}

// Cell is one NUMA node.
type Cell struct {
	ID        int
	Memory    uint64 // KiB
	CPUs      []CPU
	Distances []int
}

// CPU is one logical processor with its place.
type CPU struct {
	ID, Socket, Die, Core int
	Siblings              string // list format
}

// PageSize is one supported page size.
type PageSize struct {
	KiB   uint64
	Count uint64 // pages of that size in the pool (all memory for the base size)
}

// CgroupMount is one mounted hierarchy as a container should see it.
type CgroupMount struct {
	Name        string // directory below /sys/fs/cgroup: "memory", "cpu,cpuacct", "unified", "" for pure v2
	Controllers []string
	V2          bool
}
