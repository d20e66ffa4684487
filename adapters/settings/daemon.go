package settings

import (
	"os"
	"time"
)

// Auth is how a client of a socket shows who it is. Whatever it is, the kernel tells the
// client's process and uid (SO_PEERCRED of unix(7)).
type Auth uint8

// The ways: polkit is asked about everybody but root, or the socket's mode is all there
// is. SASL is known to the file's language but not built in.
const (
	AuthPolkit Auth = iota
	AuthNone
)

// String is the word used in the file.
func (a Auth) String() string {
	if a == AuthNone {
		return "none"
	}
	return "polkit"
}

// The sources of the host's UUID where none is given: the firmware's table
// (/sys/class/dmi/id/product_uuid), or /etc/machine-id (machine-id(5)).
const (
	UUIDFromSMBIOS    = "smbios"
	UUIDFromMachineID = "machine-id"
)

// PolkitAccess is the one access driver there is: it asks polkit about every single call.
const PolkitAccess = "polkit"

// Daemon is what virtlxcd.conf says. A zero maximum of anonymous clients and a
// zero interval of keepalive mean none. virtlxcd.conf(5) says what each key is for; which
// of them a reload changes is written in the tables of daemon_keys.go. It is a value: copy
// it freely, but do not change what its slices hold.
type Daemon struct {
	// Sockets that the daemon makes itself. Modes are permission bits alone.
	UnixSockGroup      string // "": the group of the daemon
	UnixSockROPerms    os.FileMode
	UnixSockRWPerms    os.FileMode
	UnixSockAdminPerms os.FileMode
	// UnixSockDir is absolute. A daemon with moved Paths asks Given whether to use it.
	UnixSockDir string

	// Who may connect to the read-only and to the full socket, and who is asked about
	// single calls once they have.
	AuthUnixRO    Auth
	AuthUnixRW    Auth
	AccessDrivers []string // without "none" and repetitions: nil or PolkitAccess

	SASLAllowedUsernames []string // no effect: there is no SASL

	// The server of clients. Who is above a maximum waits; nobody is turned away. Queued
	// ones wait in the kernel (listen(2)). Prio workers serve calls that never wait for a
	// container. After KeepaliveCount questions without an answer, each
	// KeepaliveInterval after the last sign of life, a client is hung up on.
	MaxClients          uint
	MaxQueuedClients    uint
	MaxAnonymousClients uint
	MinWorkers          uint // not above MaxWorkers
	MaxWorkers          uint
	PrioWorkers         uint
	MaxClientRequests   uint
	KeepaliveInterval   time.Duration
	KeepaliveCount      uint

	// The same for administrators.
	AdminMinWorkers        uint // not above AdminMaxWorkers
	AdminMaxWorkers        uint
	AdminMaxClients        uint
	AdminMaxQueuedClients  uint
	AdminMaxClientRequests uint
	AdminKeepaliveInterval time.Duration
	AdminKeepaliveCount    uint

	// What is logged and where to, in the syntax of package logging, which checks it; ""
	// is no filter, and the default output.
	LogLevel   uint // 1 debug to 4 error; a 0 in the file leaves the default
	LogFilters string
	LogOutputs string

	AuditLevel   uint // 0 never, 1 where the host audits, 2 or not at all
	AuditLogging bool

	HostUUID       string // canonical, or "": HostUUIDSource says where from
	HostUUIDSource string

	OVSTimeout time.Duration // no effect: nothing speaks to Open vSwitch

	// Behind Given and Rejected: file and line of each key that was given. Without a file
	// nothing was.
	origin origin
}

// SocketKeys have no effect on sockets that came from the service manager: systemd.socket(5)
// has its own words for them.
var SocketKeys = []string{
	"unix_sock_group", "unix_sock_ro_perms", "unix_sock_rw_perms", "unix_sock_admin_perms", "unix_sock_dir",
}

// DefaultDaemon is what counts without a file. defaults/virtlxcd.conf and the manual say
// the same; tests compare them.
func DefaultDaemon() Daemon {
	return Daemon{
		UnixSockROPerms: 0o777, UnixSockRWPerms: 0o777, UnixSockAdminPerms: 0o700,
		UnixSockDir: "/run/libvirt",
		MaxClients:  5000, MaxQueuedClients: 1000, MaxAnonymousClients: 20,
		MinWorkers: 5, MaxWorkers: 20, PrioWorkers: 5, MaxClientRequests: 5,
		KeepaliveInterval: 5 * time.Second, KeepaliveCount: 5,
		AdminMinWorkers: 5, AdminMaxWorkers: 20,
		AdminMaxClients: 5000, AdminMaxQueuedClients: 20, AdminMaxClientRequests: 5,
		AdminKeepaliveInterval: 5 * time.Second, AdminKeepaliveCount: 5,
		LogLevel: 3, AuditLevel: 1,
		HostUUIDSource: UUIDFromSMBIOS,
		OVSTimeout:     5 * time.Second,
	}
}

// Given says whether the file has the key, with whatever value, also its default.
func (d *Daemon) Given(key string) bool { return d.origin.given(key) }

// Rejected turns an error of a package that knows more about a key's value (the
// syntax of log filters, the groups of the host) into one that names file, line
// and key. A nil err stays nil. InvalidArgument, whatever kind err is of.
func (d *Daemon) Rejected(key string, err error) error { return d.origin.rejected(key, err) }

// OpenToEveryone says whether any user of the host may do everything, with
// sockets made by the daemon itself. That is the same as being root: a definition may mount
// any directory of the host. Somebody may want it, so it is a warning and no error.
func (d *Daemon) OpenToEveryone() bool { return d.OpenWithMode(d.UnixSockRWPerms) }

// OpenWithMode is OpenToEveryone for a socket made by somebody else.
func (d *Daemon) OpenWithMode(mode os.FileMode) bool {
	return d.AuthUnixRW == AuthNone && mode&0o002 != 0 // connecting is writing
}

// DifferDaemon lists the keys whose values differ: those that can be applied to
// a running daemon, and those that need it to start again. Keys without effect
// never differ. Values count, not how they were written: a default that is written out is
// no change. Both lists are in the order of the tables.
func DifferDaemon(before, after Daemon) (live, restart []string) {
	return differ(&before, &after, daemonKeys)
}
