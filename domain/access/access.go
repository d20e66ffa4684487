// Package access names who calls and what may be asked for. Who is allowed what
// is not decided here but behind the Access port.
package access

// Caller is the other end of a connection, as the kernel vouches for it
// (unix(7), SO_PEERCRED): who it was when it connected, whatever it became
// since. A uid without an account is an ordinary caller.
type Caller struct {
	UID, GID uint32
	PID      int
	// Start is when PID started, in clock ticks since boot (proc(5), stat field
	// 22): a pid alone may be another process by the time somebody asks about
	// it. 0: unknown, and then nobody may be asked by pid.
	Start    uint64
	ReadOnly bool // the connection may only read, whatever the caller may
}

// Permission is one right on the connection or on a container, spelled as the
// interface's access control does: "connect.getattr", "domain.send-signal".
// With "org.libvirt.api." before it, it is the action that polkit(8) rules name,
// so a spelling cannot be changed.
type Permission string

// Rights on the whole connection. None of them gives one on a container.
const (
	ConnectGetattr Permission = "connect.getattr" // open it
	ConnectRead    Permission = "connect.read"    // look at the host
	ConnectWrite   Permission = "connect.write"   // change the host
	ConnectSearch  Permission = "connect.search-domains"
)

// Rights on one container. A call may need several: each is asked for.
const (
	Getattr     Permission = "domain.getattr" // know that it exists; without it lists leave it out
	Read        Permission = "domain.read"
	ReadSecure  Permission = "domain.read-secure" // its secrets too
	Write       Permission = "domain.write"       // change it
	Save        Permission = "domain.save"        // change what is stored of it, besides Write
	Delete      Permission = "domain.delete"
	Start       Permission = "domain.start"
	Stop        Permission = "domain.stop" // by force
	Suspend     Permission = "domain.suspend"
	InitControl Permission = "domain.init-control" // ask its init to end or reboot
	SendSignal  Permission = "domain.send-signal"
	OpenDevice  Permission = "domain.open-device"    // its consoles
	OpenNames   Permission = "domain.open-namespace" // the descriptors that let a caller in
)
