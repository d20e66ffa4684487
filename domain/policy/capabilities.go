package policy

import "maps"

// CapPolicy is the starting point of a capability set.
type CapPolicy uint8

// The policies.
const (
	CapDefault CapPolicy = iota // everything but droppedByDefault
	CapAllow                    // everything
	CapDeny                     // nothing
)

// String is the word of the document (formatdomain, features/capabilities/@policy).
func (p CapPolicy) String() string { return [...]string{"default", "allow", "deny"}[p] }

// Capabilities says which capabilities (capabilities(7)) a container keeps.
// States is keyed by lower-case name without the CAP_ prefix.
type Capabilities struct {
	Policy CapPolicy
	States map[string]bool
}

// CapNumbers are the nameable capabilities with their kernel numbers
// (linux/capability.h). Later ones exist and cannot be named in a document; they
// follow the policy. Read only.
var CapNumbers = map[string]uint{
	"chown": 0, "dac_override": 1, "dac_read_search": 2, "fowner": 3, "fsetid": 4, "kill": 5, "setgid": 6,
	"setuid": 7, "setpcap": 8, "linux_immutable": 9, "net_bind_service": 10, "net_broadcast": 11,
	"net_admin": 12, "net_raw": 13, "ipc_lock": 14, "ipc_owner": 15, "sys_module": 16, "sys_rawio": 17,
	"sys_chroot": 18, "sys_ptrace": 19, "sys_pacct": 20, "sys_admin": 21, "sys_boot": 22, "sys_nice": 23,
	"sys_resource": 24, "sys_time": 25, "sys_tty_config": 26, "mknod": 27, "lease": 28, "audit_write": 29,
	"audit_control": 30, "setfcap": 31, "mac_override": 32, "mac_admin": 33, "syslog": 34, "wake_alarm": 35,
	"block_suspend": 36,
}

// droppedByDefault would reach beyond the container: modules, the clock, nodes of any
// device, the audit rules and the security labels of the host.
var droppedByDefault = []string{"sys_module", "sys_time", "mknod", "audit_control", "mac_admin"}

// Clone copies c.
func (c Capabilities) Clone() Capabilities {
	return Capabilities{Policy: c.Policy, States: maps.Clone(c.States)}
}

// Set is the wanted bounding, permitted, effective and inheritable set: bit n
// is capability n. all is what the daemon itself may give away. Single wishes go
// before the policy; names that are none count for nothing. Only a policy of deny
// makes what is left inheritable, so that programs without file capabilities keep it
// over execve (capabilities(7)).
func (c Capabilities) Set(all uint64) (kept, inheritable uint64) {
	switch c.Policy {
	case CapAllow:
		kept = all
	case CapDeny:
		kept = 0
	default:
		kept = all
		for _, name := range droppedByDefault {
			kept &^= bitOf(name)
		}
	}
	for name, on := range c.States {
		bit := bitOf(name)
		if on {
			kept |= bit & all
		} else {
			kept &^= bit
		}
	}
	if c.Policy == CapDeny {
		inheritable = kept
	}
	return kept, inheritable
}

// Keeps says whether the named capability survives, given what the daemon has.
func (c Capabilities) Keeps(name string, all uint64) bool {
	kept, _ := c.Set(all)
	return kept&bitOf(name) != 0
}

// bitOf is 0 for a name that is none: it must not be taken for capability 0.
func bitOf(name string) uint64 {
	number, known := CapNumbers[name]
	if !known {
		return 0
	}
	return 1 << number
}
