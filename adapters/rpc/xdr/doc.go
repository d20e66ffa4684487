// Package xdr writes and reads the external data representation the protocol
// is made of: big endian, everything a multiple of four bytes.
//
// Encoders append to a slice. The Decoder reads from a slice it does not own,
// checks every announced size against both the declared maximum and the bytes
// that are left before it allocates, and remembers its first error: after that
// every read returns zero values, so callers may check once at the end.
package xdr

import "virtlxcd/domain/fault"

// What can be wrong with data. A decoder reports the first one met; an encoder
// knows only ErrTooLong.
var (
	// ErrShort: the data ends inside a value.
	ErrShort = fault.New(fault.InvalidArgument, fault.Wire, "data ends inside a value")
	// ErrTooLong: a string, a list or opaque data exceeds its declared maximum.
	ErrTooLong = fault.New(fault.InvalidArgument, fault.Wire, "value exceeds its maximum")
	// ErrUnion: a union carries a tag that names no arm.
	ErrUnion = fault.New(fault.InvalidArgument, fault.Wire, "unknown union tag")
)

// padding is the number of zero bytes after n bytes of data.
func padding(n int) int { return -n & 3 }
