package step

// List is a sequence of operations, carried out from first to last; the first
// that fails ends it. Its indexes are what a failure names.
type List []Op

// Namespaces says which namespaces (namespaces(7)) the first process gets of its
// own. Process and mount namespaces it always gets; its cgroup namespace is made
// later, by NewCgroupView, when it has joined its cgroups.
type Namespaces struct {
	User, Net, IPC, UTS bool
}

// Range maps Count ids from Inside on to Outside on: one line of uid_map
// (user_namespaces(7)). The kernel takes 340 lines and refuses overlaps.
type Range struct{ Inside, Outside, Count uint32 }

// Script is a whole start, as it travels to the controller, which keeps it: a
// restart from inside runs it again.
type Script struct {
	Name       string
	UUID       [16]byte
	Prepare    List
	Enter      List
	Slots      int   // how many descriptor slots the lists use, numbered from 0
	Terminals  []int // slots of the guest terminals' masters, by console; these stay outside
	Namespaces Namespaces
	Users      []Range // both empty: no id map
	Groups     []Range
	// WaitLinks: the links are lost with the network namespace at a restart, so
	// that the daemon must make them again.
	WaitLinks bool
}
