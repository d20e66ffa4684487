package step

// List is a sequence of operations.
type List []Op

// Namespaces says which namespaces the first process gets of its own. Process
// and mount namespaces it always does.
type Namespaces struct {
	User, Net, IPC, UTS bool
}

// Range maps Count ids from Inside on to Outside on.
type Range struct{ Inside, Outside, Count uint32 }

// Script is a whole start, as it travels to the controller, which keeps it: a
// restart from inside runs it again.
type Script struct {
	Name       string
	UUID       [16]byte
	Prepare    List
	Enter      List
	Slots      int   // how many descriptor slots the lists use
	Terminals  []int // slots of the guest terminals' masters, by console
	Namespaces Namespaces
	Users      []Range // both empty: no id map
	Groups     []Range
	// WaitLinks: the links are lost with the network namespace at a restart, so
	// that the daemon must make them again.
	WaitLinks bool
}
