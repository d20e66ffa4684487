// Package access names who calls and what may be asked for.
package access

// Caller is the other end of a connection, as the kernel vouches for it
// (unix(7), SO_PEERCRED). A uid without an account is an ordinary caller.
type Caller struct {
	UID, GID uint32
	PID      int
	Start    uint64 // start time of PID in clock ticks since boot; 0: unknown
	ReadOnly bool   // the connection may only read
}

// Permission is one right on the connection or on a container, spelled as the
// polkit action it maps to: "connect.getattr", "domain.start".
type Permission string

// Rights on the whole connection.
const (
	ConnectGetattr Permission = "connect.getattr"
	ConnectRead    Permission = "connect.read"
	ConnectWrite   Permission = "connect.write"
	ConnectSearch  Permission = "connect.search-domains"
)

// Rights on one container.
const (
	Getattr     Permission = "domain.getattr"
	Read        Permission = "domain.read"
	ReadSecure  Permission = "domain.read-secure"
	Write       Permission = "domain.write"
	Save        Permission = "domain.save"
	Delete      Permission = "domain.delete"
	Start       Permission = "domain.start"
	Stop        Permission = "domain.stop"
	Suspend     Permission = "domain.suspend"
	InitControl Permission = "domain.init-control"
	SendSignal  Permission = "domain.send-signal"
	OpenDevice  Permission = "domain.open-device"
	OpenNames   Permission = "domain.open-namespace"
)
