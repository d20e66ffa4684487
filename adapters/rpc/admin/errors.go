package admin

import (
	"errors"
	"fmt"

	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/adapters/rpc/remote"
)

// Numbers that only this program's errors have; what is a fault is numbered by
// remote.ErrorBody.
// See virErrorNumber and virErrorDomain in virterror.h.
const (
	codeInternal   = 1
	codeInvalidArg = 8
	codeNoServer   = 95
	codeNoClient   = 96

	fromRPC   = 7
	fromAdmin = 62

	severity = 2
)

// It is compared by answer, and its text is never sent.
var errUndecodable = errors.New("arguments cannot be decoded")

// complaint is an error in the interface's own terms.
// Its text is part of the interface: virt-admin prints it unchanged.
type complaint struct{ body protocol.Error }

func (c *complaint) Error() string { return *c.body.Message }

// bodyOf numbers every error: a complaint as it is, all others as the remote program
// does. A fault gets the number of its kind, with the texts of package remote.
func bodyOf(err error) *protocol.Error {
	var ready *complaint
	// Also within a chain.
	if errors.As(err, &ready) {
		return &ready.body
	}
	return remote.ErrorBody(err)
}

// detailed is a complaint whose text is a prefix and a detail.
// The template names the position of the detail ("%1$s"), as translations want it.
func detailed(code, from int32, prefix, format string, args ...any) error {
	detail := fmt.Sprintf(format, args...)
	message, template := prefix+detail, prefix+"%1$s"
	return &complaint{protocol.Error{
		Code: code, Domain: from, Message: &message, Level: severity,
		Str1: &template, Str2: &detail, Int1: -1, Int2: -1,
	}}
}

// unknownFlags shows all bits that are not known. Its int1 and int2 are 0, not -1: free
// text was never given positions.
func unknownFlags(function string, bits uint32) error {
	message, argument := fmt.Sprintf("unsupported flags (0x%x) in function %s", bits, function), "flags"
	return &complaint{protocol.Error{
		Code: codeInvalidArg, Domain: fromAdmin, Message: &message, Level: severity,
		Str1: &function, Str2: &argument,
	}}
}

// Two wordings for one thing: most calls are told by the part that looks servers and
// clients up, some say it themselves.

// noServer is the answer of most calls. The name is shown as it came.
func noServer(name string) error {
	return detailed(codeNoServer, fromRPC, "Server not found: ", "No server named '%s'", name)
}

// noMatchingServer is the answer of the calls that set something and of clientInfo.
func noMatchingServer(name string) error {
	return detailed(codeNoServer, fromAdmin, "Server not found: ", "no server with matching name '%s' found", name)
}

// noClient is the answer of lookups and of closeClient.
func noClient(id uint64) error {
	return detailed(codeNoClient, fromRPC, "Client not found: ", "No client with matching ID '%d'", id)
}

// noMatchingClient is the answer of clientInfo.
func noMatchingClient(id uint64) error {
	return detailed(codeNoClient, fromAdmin, "Client not found: ", "no client with matching id '%d' found", id)
}

// tooMany refuses a list that no answer has room for.
func tooMany(things string, count, limit int) error {
	return detailed(codeInternal, fromAdmin, "internal error: ",
		"%d %s are more than the %d of one answer", count, things, limit)
}
