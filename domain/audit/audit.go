// Package audit says what the host's audit trail is to hold of containers: who
// was started with what, and how it ended. Readers of the trail know the names
// and their order, so both are spelled here, once.
package audit

import "virtlxcd/domain/container"

// Kind is the type of a record (linux/audit.h, AUDIT_FIRST_USER_MSG2 and above, which
// the kernel passes on unread; see auditctl(8) and ausearch(8) for their readers).
type Kind uint16

// The kinds, by their numbers.
const (
	Control   Kind = 2500 // VIRT_CONTROL: starts and stops
	Resource  Kind = 2501 // VIRT_RESOURCE: what a container is given
	MachineID Kind = 2502 // VIRT_MACHINE_ID: its security label
)

// Record is one line of the trail.
type Record struct {
	Kind Kind
	// Container is whom it is about, for those who sort records; Fields name it too.
	Container container.Identity
	Success   bool
	// Fields are the record, in order. The writer adds only what it knows better:
	// the program, and where it was called from (nowhere), and the outcome.
	Fields []Field
}

// Field is one piece of a record.
type Field struct {
	Name  string
	Value string
	// Text marks values that others chose: they are quoted or encoded. Others are
	// numbers, addresses and fixed words, free of blanks and quotes.
	Text bool
	// Missing values are printed as "?", whatever Value is.
	Missing bool
}
