// Package store keeps definitions and status on disk, in the places and with
// the modes that clients and other tools of the interface know:
//
//	Config/NAME.xml     0600  definition, durable
//	Autostart/NAME.xml        link to the definition: starts with the host
//	State/NAME.xml      0600  status of a running container
//	State/NAME.pid      0644  pid of its controller, decimal, no newline
//	State/driver.pid    0644  locked by the one daemon that owns State
//	State/autostarted   0600  autostart was done since the host booted
//
// A document is written to a temporary file beside its place and renamed over
// it, so that a reader sees the old file or the new one and a failure leaves
// the old one; a full disk is such a failure, found out before the rename.
// Definitions are flushed to the device before and after the
// rename. Status files are not: the page cache outlives the daemon, which is
// all they have to survive, a host that went down took the containers with it,
// and a start should not wait for a disk.
//
// What cannot be read is reported and left where it is: a person may mend it. The next
// save of that container replaces it.
//
// Temporary names end in ".tmp", which no container's file can, and carry a
// token of the process, so that Load removes what a dead daemon left behind and
// never what this one is writing.
package store
