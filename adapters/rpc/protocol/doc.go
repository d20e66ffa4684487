// Package protocol holds the messages and procedures of the programs spoken on
// the wire. Types, limits and tables are generated from the files in tables;
// only what the tables cannot say is written by hand: typed parameters and what
// a procedure is.
//
// Names are those of the tables in Go's spelling: what cannot be absent has the
// plain name (Domain), what can is a pointer to it. Messages of program remote
// have no prefix, those of the others begin with Lxc or Admin.
package protocol

//go:generate go run ./internal/generate

import (
	"slices"

	"virtlxcd/adapters/rpc/xdr"
)

// KeepaliveProgram is answered below the programs; it has no messages.
const (
	KeepaliveProgram = 0x6b656570
	KeepaliveVersion = 1
	KeepalivePing    = 1
	KeepalivePong    = 2
)

// UUID is sixteen bytes in the order they are printed.
type UUID [16]byte

// Message is anything with an encoding.
type Message interface {
	// AppendXDR appends the encoding. On xdr.ErrTooLong, the only error, what it
	// returns holds a part of the message.
	AppendXDR(b []byte) ([]byte, error)
	// DecodeXDR replaces the message by what it reads and returns the decoder's
	// error. Afterwards the message shares no memory with the data.
	DecodeXDR(d *xdr.Decoder) error
}

// grow makes room for n more bytes, so that a long list is not copied often.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	return slices.Grow(b, n)
}
