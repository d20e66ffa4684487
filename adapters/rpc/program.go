package rpc

import "context"

// Body is what a reply or an event carries. The generated types of
// adapters/rpc/protocol are bodies.
type Body interface {
	// AppendXDR appends the encoded form to dst. An error means that the value
	// does not fit its schema (a string or a list above its limit).
	AppendXDR(dst []byte) ([]byte, error)
}

// Raw is a body that is encoded already, for answers passed on untouched.
type Raw []byte

// AppendXDR appends the bytes as they are.
func (r Raw) AppendXDR(dst []byte) ([]byte, error) { return append(dst, r...), nil }

// Program is one numbered set of procedures offered on a server. Programs are
// shared by all sessions and must not change once the server runs.
type Program struct {
	Number, Version uint32
	// Procedure finds a procedure; nil answers "unknown procedure". Event numbers
	// are not procedures. It runs for every call, so it should only index a table.
	Procedure func(number int32) *Procedure
}

// Procedure describes how one call is treated.
type Procedure struct {
	Name string // for the log
	// High marks calls that must get through: they never wait for a worker.
	High bool
	// Inline marks calls that only look at memory, or that must be over before the
	// session's next packet is looked at (closing): they run in the session's reader.
	// A handler that may wait for a lock held over I/O, the kernel, a container or
	// another daemon must not be inline. Inline implies High.
	Inline bool
	// Open marks calls allowed before the client has authenticated.
	Open bool
	// Handle serves one call; it gives exactly one answer through the Call before it
	// returns. ctx ends when the client hangs up or the server closes. A handler that
	// returns without an answer, or panics, is answered with an internal error.
	Handle func(ctx context.Context, call *Call)
}
