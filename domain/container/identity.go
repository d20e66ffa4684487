// Package container holds what a container is: its identity, its definition
// and what is known about it while it runs. All values; nothing here acts.
//
// Three of them are easily confused. A Definition is what somebody wants, or,
// once started, what the start made of it. A Snapshot is a container as
// everybody may see it, with both. A Status is the part of it that a new daemon
// needs to find a running container again.
package container

import (
	"encoding/hex"
	"errors"
	"strings"
)

// UUID identifies a container for ever, also when it is renamed or defined anew.
// It is the key of every call. Zero is a UUID like any other: clients may write
// it, so absence is told beside it.
type UUID [16]byte

// ErrBadUUID is returned for a text that is no UUID. Callers say where the text
// stood and give it a fault kind.
var ErrBadUUID = errors.New("malformed uuid")

const blanks = " \t\r\n"

// ParseUUID reads 32 hexadecimal digits, in either case, with hyphens or
// white space before any byte and white space at the end, as clients write
// them. All zeros and all ones are as good as any other. With an error, which
// is ErrBadUUID, the UUID is zero.
func ParseUUID(text string) (UUID, error) {
	var uuid UUID
	for i := range uuid {
		text = strings.TrimLeft(text, "-"+blanks)
		if len(text) < 2 {
			return UUID{}, ErrBadUUID
		}
		if _, err := hex.Decode(uuid[i:i+1], []byte(text[:2])); err != nil {
			return UUID{}, ErrBadUUID
		}
		text = text[2:]
	}
	if strings.TrimLeft(text, blanks) != "" {
		return UUID{}, ErrBadUUID
	}
	return uuid, nil
}

// String prints the canonical lower-case form, 8-4-4-4-12 digits (RFC 4122),
// which ParseUUID reads back.
func (u UUID) String() string {
	text := make([]byte, 36)
	hex.Encode(text, u[:4])
	text[8] = '-'
	hex.Encode(text[9:], u[4:6])
	text[13] = '-'
	hex.Encode(text[14:], u[6:8])
	text[18] = '-'
	hex.Encode(text[19:], u[8:10])
	text[23] = '-'
	hex.Encode(text[24:], u[10:])
	return string(text)
}

// NoID is the id of a container that does not run; so it is on the wire, too.
const NoID = -1

// Identity is how clients name a container. No two containers that are known at
// one time share any of the three, apart from NoID.
type Identity struct {
	Name string // any text but "/" and newlines; not empty
	UUID UUID
	ID   int // of this run, 1 and up: a later run may get it again; NoID while off
}

// Ref picks one container: by UUID (the zero By), by name or by id. With ByUUID
// a Name may be given; it only decorates the error.
type Ref struct {
	By   By
	UUID UUID
	Name string
	ID   int
}

// By says which field of a Ref counts.
type By uint8

// The ways to refer to a container.
const (
	ByUUID By = iota
	ByName
	ByID
	// ByUUIDLookup is ByUUID asked by the lookup call, whose error text differs
	// (fault.NoSuchUUID instead of fault.Gone).
	ByUUIDLookup
)
