package client

import (
	"fmt"

	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/adapters/rpc/xdr"
)

// Error is a server's refusal. Absent strings are empty here.
// Code is of virErrorNumber, Domain of virErrorDomain, Level 2 for failures. Str1 to
// Str3, Int1 and Int2 mean what the code says: for most Str1 is the template of the
// message and Str2 what is put into it, for code 38 Int1 is the errno.
type Error struct {
	Code, Domain, Level int32
	Message             string
	Str1, Str2, Str3    string
	Int1, Int2          int32
}

// Error is the message with the numbers that clients branch on.
func (e *Error) Error() string {
	return fmt.Sprintf("%s (code %d, domain %d)", e.Message, e.Code, e.Domain)
}

// decodeError makes an *Error of a payload, or tells why that cannot be done. It is never
// nil, so a refusal cannot pass for success.
func decodeError(payload []byte) error {
	var e protocol.Error
	if err := e.DecodeXDR(xdr.NewDecoder(payload)); err != nil {
		return err
	}
	return &Error{
		Code: e.Code, Domain: e.Domain, Level: e.Level, Message: orEmpty(e.Message),
		Str1: orEmpty(e.Str1), Str2: orEmpty(e.Str2), Str3: orEmpty(e.Str3), Int1: e.Int1, Int2: e.Int2,
	}
}

// orEmpty: no test cares whether a text is absent or empty but those of the bytes.
func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
