// Package device holds the devices of a container as values.
package device

import "net/netip"

// Leftover is a piece of a document that no field stands for. The codec that
// wrote it alone understands Place; everybody else carries it along.
type Leftover struct {
	Place string
	Text  string
}

// FilesystemKind is where the content of a filesystem comes from.
type FilesystemKind string

// The kinds. Only the first three are mounted today.
const (
	HostDir    FilesystemKind = "mount" // a directory or file of the host, bound
	GuestDir   FilesystemKind = "bind"  // a path inside the container, bound
	Memory     FilesystemKind = "ram"   // a tmpfs
	Block      FilesystemKind = "block"
	ImageFile  FilesystemKind = "file"
	Template   FilesystemKind = "template"
	PoolVolume FilesystemKind = "volume"
)

// Filesystem is one mount of the container.
type Filesystem struct {
	Kind       FilesystemKind
	AccessMode string // stored and shown only
	Source     string // path, device or template; empty for Memory
	Usage      uint64 // KiB, Memory only
	Target     string // path inside
	ReadOnly   bool
	Leftovers  []Leftover
}

// LinkKind is how a network interface is made.
type LinkKind string

// The kinds that can be started today are Bridge and Ethernet.
const (
	Bridge   LinkKind = "bridge"
	Ethernet LinkKind = "ethernet"
	Network  LinkKind = "network"
	Direct   LinkKind = "direct"
)

// Link is one network interface.
type Link struct {
	Kind      LinkKind
	MAC       MAC
	Source    string // bridge, network or lower device
	HostName  string // host end; empty: chosen at start
	GuestName string // inside; empty: chosen at start
	// LinkState is "up", "down" or empty, as written.
	LinkState string
	Addresses []Address // inside
	Routes    []Route   // inside
	HostSide  HostSide  // Ethernet only
	Isolated  bool      // bridge port isolation
	MTU       uint      // 0: the kernel's
	Leftovers []Leftover
}

// HostSide is what an Ethernet link gets at its host end.
type HostSide struct {
	Addresses []Address
	Routes    []Route
}

// MAC is a hardware address.
type MAC [6]byte

// Address is an IP address with its prefix length; Peer is the other end of a
// point-to-point link, invalid if there is none.
type Address struct {
	IP     netip.Addr
	Prefix int // -1: not written, the family's default
	Peer   netip.Addr
}

// Route is a static route.
type Route struct {
	Family  string // as written: "ipv4", "ipv6" or empty
	To      netip.Addr
	Prefix  int // -1: not written
	Netmask netip.Addr
	Gateway netip.Addr
	Metric  uint // 0: not written, 1 in effect
}

// Console is one terminal. TTY and Alias are known only while it runs.
type Console struct {
	Kind       string // "pty" is what can be started
	TargetKind string // "lxc"
	TTY        string // host path of the slave
	Alias      string
	Leftovers  []Leftover
}

// DefaultPrefix is the prefix length of an address that was written without
// one: by class for IPv4, 64 for IPv6.
func DefaultPrefix(ip netip.Addr) int {
	if ip.Is6() {
		return 64
	}
	switch first := ip.As4()[0]; {
	case first < 128:
		return 8
	case first < 192:
		return 16
	}
	return 24
}
