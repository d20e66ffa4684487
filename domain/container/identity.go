// Package container holds what a container is: its identity, its definition
// and what is known about it while it runs. All values; nothing here acts.
package container

import (
	"encoding/hex"
	"errors"
	"strings"
)

// UUID identifies a container for ever. It is the key of every call.
type UUID [16]byte

// ErrBadUUID is returned for a text that is no UUID.
var ErrBadUUID = errors.New("malformed uuid")

// ParseUUID reads 32 hexadecimal digits, in either case, with hyphens or
// white space anywhere between bytes, as clients write them.
func ParseUUID(text string) (UUID, error) {
	var uuid UUID
	digits := strings.Map(dropSeparator, text)
	if len(digits) != 32 {
		return uuid, ErrBadUUID
	}
	if _, err := hex.Decode(uuid[:], []byte(digits)); err != nil {
		return uuid, ErrBadUUID
	}
	return uuid, nil
}

func dropSeparator(r rune) rune {
	if r == '-' || r == ' ' || r == '\t' || r == '\n' {
		return -1
	}
	return r
}

// String prints the canonical lower-case form.
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

// NoID is the id of a container that does not run.
const NoID = -1

// Identity is how clients name a container. ID is NoID while it is off.
type Identity struct {
	Name string
	UUID UUID
	ID   int
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
	// ByUUIDLookup is ByUUID asked by the lookup call, whose error text differs.
	ByUUIDLookup
)
