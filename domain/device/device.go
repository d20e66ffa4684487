// Package device holds the devices of a container as values. The words in them
// are those of the documents clients send (formatdomain, "Devices"), so that what
// was written can be shown again. Whether a device can be started here is
// decided in domain/launch, not by the type.
package device

import "net/netip"

// Leftover is a piece of a document that no field stands for. The codec that
// wrote it alone understands Place; everybody else carries it along, with the
// device or definition it belongs to and in the order it came in.
type Leftover struct {
	Place string // counted from the owner
	Text  string // an element or the value of an attribute; may be empty
}

// FilesystemKind is where the content of a filesystem comes from: the attribute
// "type" of <filesystem>.
type FilesystemKind string

// The kinds. Only the first three are mounted today; the others are stored, and
// start refuses them.
const (
	HostDir    FilesystemKind = "mount" // a directory or file of the host, bound
	GuestDir   FilesystemKind = "bind"  // a path inside the container, bound
	Memory     FilesystemKind = "ram"   // a tmpfs(5)
	Block      FilesystemKind = "block"
	ImageFile  FilesystemKind = "file"
	Template   FilesystemKind = "template"
	PoolVolume FilesystemKind = "volume"
)

// Filesystem is one mount of the container. Several may have one Target: they
// are mounted in their order, each over the one before; of those for "/" the
// first is the root.
type Filesystem struct {
	Kind       FilesystemKind
	AccessMode string // "passthrough", "mapped" or "squash": stored and shown only
	Source     string // path, device or template; empty for Memory and PoolVolume
	Usage      uint64 // KiB, Memory only; 0 is no limit for the kernel
	Target     string // path inside
	ReadOnly   bool
	Leftovers  []Leftover
}

// LinkKind is how a network interface is made: the attribute "type" of
// <interface>. Kinds without a constant are stored, and start refuses them.
type LinkKind string

// The kinds that mean something here. Bridge and Ethernet can be started today.
const (
	Bridge   LinkKind = "bridge"   // a veth(4) pair whose host end is a port of a bridge
	Ethernet LinkKind = "ethernet" // a veth(4) pair whose host end stands alone
	Network  LinkKind = "network"  // whatever a virtual network hands out
	Direct   LinkKind = "direct"   // a macvlan on a device of the host
)

// Link is one network interface. One link or more give the container a network
// namespace of its own.
type Link struct {
	Kind   LinkKind
	MAC    MAC    // of the end inside; unicast
	Source string // bridge, network or lower device, by Kind; else empty
	// HostName is the host end, at most 15 bytes for the kernel. Empty: chosen at
	// start. Names from "vnet" on are always chosen, and live definitions alone
	// have them.
	HostName  string
	GuestName string // inside; empty: chosen at start, ethN counting those without
	// LinkState is "up", "down" or empty, as written. The end inside is brought
	// up where it is "up" or there is an address: "down" does not hold it down.
	LinkState string
	Addresses []Address // inside, the main one of a family first
	Routes    []Route   // inside
	HostSide  HostSide  // Ethernet only
	Isolated  bool      // no traffic to other isolated ports of the bridge (bridge(8), "isolated")
	MTU       uint      // bytes, of both ends; 0: the kernel's
	Leftovers []Leftover
}

// HostSide is what an Ethernet link gets at its host end, where no bridge
// connects it to anything.
type HostSide struct {
	Addresses []Address
	Routes    []Route
}

// MAC is a hardware address of 48 bits. An odd first byte makes it a group's,
// which no link can have.
type MAC [6]byte

// Address is an IP address with its prefix length; Peer is the other end of a
// point-to-point link, of the same family, invalid if there is none. An address
// has no zone. An IPv4 address written as IPv6 (::ffff:1.2.3.4) counts as IPv6.
type Address struct {
	IP     netip.Addr
	Prefix int // 1 ... 32 or 128; -1: not written, DefaultPrefix in effect
	Peer   netip.Addr
}

// Route is a static route. Of Prefix and Netmask one at most was written; with
// neither the prefix is 0 for an all-zero To, else DefaultPrefix.
type Route struct {
	Family  string     // as written: "ipv4", "ipv6" or empty, which is IPv4
	To      netip.Addr // of the network: no bit set beyond its prefix
	Prefix  int        // -1: not written
	Netmask netip.Addr // invalid: not written; IPv4 only
	Gateway netip.Addr
	Metric  uint // 0: not written, 1 in effect
}

// Console is one terminal. Its port is its place in the list: the n-th is
// /dev/tty(n+1) inside, and the first is /dev/console too. TTY and Alias are
// empty in what is not running.
type Console struct {
	Kind       string // what it is connected to; "pty" is what can be started
	TargetKind string // "lxc" unless written otherwise
	TTY        string // host path of the slave (pty(7))
	Alias      string // how clients name it to open it: "console0"
	Leftovers  []Leftover
}

// DefaultPrefix is the prefix length of an address that was written without
// one: 64 for IPv6; for IPv4 by the classes of RFC 791, where 24 stands for
// everything from class C up. It panics for an address that is not valid.
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
