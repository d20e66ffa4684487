package remote

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"unicode/utf8"

	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/domain/fault"
)

// A code is a number of the public error list; clients branch on it.
// See virErrorNumber in virterror.h; only those that are ever sent are here.
type code int32

const (
	codeInternal             code = 1
	codeNoSupport            code = 3
	codeNoConnect            code = 5
	codeInvalidArg           code = 8
	codeFailed               code = 9
	codeNoSource             code = 19
	codeNoTarget             code = 20
	codeNoName               code = 21
	codeNoOS                 code = 22
	codeXML                  code = 27
	codeDenied               code = 29
	codeXMLDetail            code = 35
	codeSystem               code = 38
	codeRPC                  code = 39
	codeNoDomain             code = 42
	codeNoNetwork            code = 43
	codeAuthFailed           code = 45
	codeInvalid              code = 55
	codeUnsupportedConfig    code = 67
	codeTimeout              code = 68
	codeHook                 code = 70
	codeBadArgument          code = 74
	codeAborted              code = 78
	codeAuthCancelled        code = 79
	codeNoMetadata           code = 80
	codeOverflow             code = 82
	codeUnsupportedOperation code = 84
	codeBusy                 code = 87
	codeAccess               code = 88
	codeAuthUnavailable      code = 94
	codeNoDevice             code = 99
)

// An origin is the number of the part that complains, the error's "domain".
// See virErrorDomain. Some clients tell errors apart by it, so it is never a guess:
// it comes from the fault's Area or from the check that found something.
type origin int32

const (
	fromNone     origin = 0
	fromDocument origin = 5
	fromRPC      origin = 7
	fromDriver   origin = 17
	fromNetwork  origin = 19
	fromAPI      origin = 20
	fromSecurity origin = 24
	fromHook     origin = 34
	fromStreams  origin = 38
	fromCaps     origin = 44
	fromCgroup   origin = 54
	fromAccess   origin = 55
	fromPolkit   origin = 60
)

// meaning is what a code says: alone, and in front of a detail.
// alone is the whole message where nobody has said more; prefix stands before a detail.
type meaning struct {
	code   code
	alone  string
	prefix string
}

// The texts are those of the original's message table: clients print them unchanged and
// scripts look for them. A kind that is added to domain/fault needs a row here; the
// tests compare the lengths.
var meanings = [...]meaning{
	fault.Internal:             {codeInternal, "internal error", "internal error: "},
	fault.NotImplemented:       {codeNoSupport, noSupportText, noSupportText + ": "},
	fault.InvalidArgument:      {codeInvalidArg, "invalid argument", "invalid argument: "},
	fault.Failed:               {codeFailed, "operation failed", "operation failed: "},
	fault.BadDefinition:        {codeXML, "XML description is invalid or not well formed", "XML error: "},
	fault.Malformed:            {codeXMLDetail, "parser error", ""},
	fault.NoName:               {codeNoName, "missing name information", "missing name information in "},
	fault.NoSource:             {codeNoSource, "missing source information for device", "missing source information for device "},
	fault.NoTarget:             {codeNoTarget, "missing target information for device", "missing target information for device "},
	fault.NoOSType:             {codeNoOS, "missing operating system information", "missing operating system information for "},
	fault.ReadOnly:             {codeDenied, "operation forbidden for read only access", "operation forbidden: "},
	fault.System:               {codeSystem, "system call error", ""},
	fault.NotFound:             {codeNoDomain, "Domain not found", "Domain not found: "},
	fault.NoNetwork:            {codeNoNetwork, "Network not found", "Network not found: "},
	fault.AuthFailed:           {codeAuthFailed, "authentication failed", "authentication failed: "},
	fault.WrongState:           {codeInvalid, "Requested operation is not valid", "Requested operation is not valid: "},
	fault.UnsupportedConfig:    {codeUnsupportedConfig, "unsupported configuration", "unsupported configuration: "},
	fault.Timeout:              {codeTimeout, "Timed out during operation", "Timed out during operation: "},
	fault.HookFailed:           {codeHook, "Hook script execution failed", "Hook script execution failed: "},
	fault.UnsupportedArgument:  {codeBadArgument, "argument unsupported", "argument unsupported: "},
	fault.Aborted:              {codeAborted, "operation aborted", "operation aborted: "},
	fault.MetadataMissing:      {codeNoMetadata, "metadata not found", "metadata not found: "},
	fault.Overflow:             {codeOverflow, "numerical overflow", "numerical overflow: "},
	fault.UnsupportedOperation: {codeUnsupportedOperation, "Operation not supported", "Operation not supported: "},
	fault.Busy:                 {codeBusy, "resource busy", "resource busy: "},
	fault.AccessDenied:         {codeAccess, "access denied", "access denied: "},
	fault.DeviceMissing:        {codeNoDevice, "device not found", "device not found: "},
	fault.AuthCancelled:        {codeAuthCancelled, "authentication cancelled", "authentication cancelled: "},
	fault.AuthUnavailable:      {codeAuthUnavailable, "authentication unavailable", "authentication unavailable: "},
}

// origins are the fault areas in the interface's numbers. An area that is added to
// domain/fault needs a row here as well.
var origins = [...]origin{
	fault.Driver:       fromDriver,
	fault.API:          fromAPI,
	fault.Document:     fromDocument,
	fault.Wire:         fromRPC,
	fault.Host:         fromNone,
	fault.Network:      fromNetwork,
	fault.Console:      fromStreams,
	fault.ControlGroup: fromCgroup,
	fault.Security:     fromSecurity,
	fault.Access:       fromAccess,
	fault.Capability:   fromCaps,
	fault.Hook:         fromHook,
}

const (
	noSupportText = "this function is not supported by the connection driver"
	noCauseText   = "Library function returned error but did not set virError"
	stringMax     = protocol.StringMax
	severity      = 2 // every failure; warnings are never sent
)

// complaint is an error in the interface's own terms: before it is encoded, or where a
// check of the interface itself fails and no fault stands behind it. Absent strings are
// nil. int1 and int2 are -1 in errors with a detail, and 0 in those about arguments. It
// is an error, so checks return it as one.
type complaint struct {
	code       code
	origin     origin
	message    string
	str1, str2 *string
	int1, int2 int32
}

// It is the text that clients see, also in our own log.
func (c *complaint) Error() string { return c.message }

// body is what a failed call is answered with.
func (c *complaint) body() *protocol.Error {
	return &protocol.Error{
		Code: int32(c.code), Domain: int32(c.origin), Message: &c.message, Level: severity,
		Str1: c.str1, Str2: c.str2, Int1: c.int1, Int2: c.int2,
	}
}

// complaintOf puts any error into the interface's terms. What nobody classified
// is an internal error.
// A complaint within a chain of errors counts as it is. Of several faults the outermost
// one has the kind; its message holds the others.
func complaintOf(err error) *complaint {
	var ready *complaint
	if errors.As(err, &ready) {
		return ready
	}
	var e *fault.Error
	if !errors.As(err, &e) {
		return detailed(meanings[fault.Internal], fromNone, err.Error())
	}
	return ofFault(e)
}

// ofFault takes an unknown kind or area, which a newer port could bring, as an internal
// error of the driver and not as a panic. System is told apart as its errno has a field
// of its own; a fault that says nothing gets the code's text alone.
func ofFault(e *fault.Error) *complaint {
	sense, from := meanings[fault.Internal], fromDriver
	if int(e.Kind) < len(meanings) {
		sense = meanings[e.Kind]
	}
	if int(e.Area) < len(origins) {
		from = origins[e.Area]
	}
	switch {
	case e.Kind == fault.System:
		return ofSystem(e, sense, from)
	case e.Text == "" && e.Err == nil:
		return short(sense, from)
	}
	return detailed(sense, from, e.Message())
}

// ofSystem tells the errno as a number too, and as C programs spell it.
// A message that ends in the errno's text gets the C library's spelling of it: "No such
// file or directory". Without an errno inside it is a detail like any other.
func ofSystem(e *fault.Error, sense meaning, from origin) *complaint {
	var errno syscall.Errno
	if !errors.As(e.Err, &errno) {
		if e.Text == "" && e.Err == nil {
			return short(sense, from)
		}
		return detailed(sense, from, e.Message())
	}
	text := e.Message()
	// Only at the end: within a message the words may be somebody's own.
	if head, ok := strings.CutSuffix(text, errno.Error()); ok {
		text = head + errnoText(errno)
	}
	c := detailed(sense, from, text)
	c.int1 = int32(errno)
	return c
}

// errnoText is the C library's wording; the syscall package has it with a lower
// case first letter. Scripts look for "No such file or directory", with a capital.
func errnoText(errno syscall.Errno) string {
	text := errno.Error()
	if text[0] < 'a' || text[0] > 'z' {
		return text
	}
	return string(text[0]-'a'+'A') + text[1:]
}

// short is a complaint that says no more than its code. Its template is the whole text:
// there is nothing to put in.
func short(sense meaning, from origin) *complaint {
	return &complaint{code: sense.code, origin: from, message: sense.alone, str1: &sense.alone, int1: -1, int2: -1}
}

// detailed is a complaint with a detail behind the code's prefix. Codes without
// a prefix kept the old placeholder when the others went over to positions. Both texts
// are cut to what a string on the wire may have.
func detailed(sense meaning, from origin, detail string) *complaint {
	template := sense.prefix + "%1$s"
	// Codes 35, 38 and 39 are such.
	if sense.prefix == "" {
		template = "%s"
	}
	// Every string of an answer has this bound.
	detail = cut(detail, stringMax)
	return &complaint{
		code: sense.code, origin: from, message: cut(sense.prefix+detail, stringMax),
		str1: &template, str2: &detail, int1: -1, int2: -1,
	}
}

// cut shortens text to at most limit bytes without splitting a character.
// What does not fit a string would make the answer impossible to encode.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

// invalidArgument is what a check of one argument answers: free text, with the
// names of function and argument beside it.
// str2 is the argument. Both numbers are 0 in these.
func invalidArgument(from origin, function, argument, text string) *complaint {
	return &complaint{code: codeInvalidArg, origin: from, message: text, str1: &function, str2: &argument}
}

// unknownFlags names the bits that function, in the driver's inner spelling, refuses.
func unknownFlags(function string, bits uint32) *complaint {
	return invalidArgument(fromDriver, function, "flags",
		fmt.Sprintf("unsupported flags (0x%x) in function %s", bits, function))
}

// badArgument refuses one argument of a public function; problem says what it must be.
func badArgument(function, argument, problem string) *complaint {
	return invalidArgument(fromAPI, function, argument, argument+" in "+function+" "+problem)
}

// exclusiveFlags refuses two flags that a getter cannot answer at once.
// Public functions of the original check this before they look at unknown flags.
func exclusiveFlags(function, one, other string) *complaint {
	return invalidArgument(fromAPI, function, "ctl",
		fmt.Sprintf("Flags '%s' and '%s' are mutually exclusive", one, other))
}

// noSupport answers a known procedure that nothing behind it serves. Clients take code 3
// as "not here" and do without.
func noSupport(from origin, function string) *complaint {
	return detailed(meanings[fault.NotImplemented], from, function)
}

// readOnly refuses a public function on a connection that may only read. function is the
// public name, "virDomainCreate".
func readOnly(from origin, function string) *complaint {
	return denied(from, "read only access prevents "+function)
}

// Clients branch on code 29 to tell "read only" from "not allowed".
func denied(from origin, text string) *complaint {
	return detailed(meanings[fault.ReadOnly], from, text)
}

// wireFault is an internal error of the interface layer itself. Its origin is 7.
func wireFault(format string, args ...any) *complaint {
	return detailed(meanings[fault.Internal], fromRPC, fmt.Sprintf(format, args...))
}

// wireArgument is an invalid argument found by the interface layer itself.
func wireArgument(format string, args ...any) *complaint {
	return detailed(meanings[fault.InvalidArgument], fromRPC, fmt.Sprintf(format, args...))
}

// undecodable answers arguments that do not follow their schema. The connection stays:
// the frame was whole, only what is in it was not.
func undecodable() *complaint { return rpcFault("Unable to decode message payload") }

// rpcFault complains about the call as such. Its code has no prefix.
func rpcFault(format string, args ...any) *complaint {
	return detailed(meaning{code: codeRPC}, fromRPC, fmt.Sprintf(format, args...))
}

// noDriver refuses a name that no driver here can open.
// Clients that probe several drivers take code 5 as "try the next".
func noDriver(uri string) *complaint {
	sense := meaning{codeNoConnect, "no connection driver available", "no connection driver available for "}
	return detailed(sense, fromRPC, uri)
}

// authRefused answers an authentication method that this socket does not offer.
func authRefused() *complaint {
	return detailed(meanings[fault.AuthFailed], fromRPC, "authentication failed")
}

// noCause answers a call that failed without anybody saying why. It has no strings but
// the message, and both numbers are 0.
func noCause() *complaint {
	return &complaint{code: codeInternal, origin: fromRPC, message: noCauseText}
}
