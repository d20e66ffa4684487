package rpc

import (
	"fmt"
	"strings"
	"syscall"
	"unicode/utf8"

	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/adapters/rpc/protocol"
)

// Numbers of the errors this package raises itself.
const (
	codeInternal = 1
	codeSystem   = 38
	codeRPC      = 39

	fromRPC     = 7
	fromStreams = 38

	levelError = 2
)

// maxText is the longest string a client accepts, in bytes.
const maxText = 4194304

// newError has the form of all errors but those about arguments: a template, the detail
// that is put into it, and -1 for both numbers.
func newError(code, domain int32, template, detail, message string) *protocol.Error {
	return &protocol.Error{
		Code: code, Domain: domain, Message: &message, Level: levelError,
		Str1: &template, Str2: &detail, Int1: -1, Int2: -1,
	}
}

// rpcError complains about a packet or a call, not about what it asks for.
func rpcError(text string) *protocol.Error { return newError(codeRPC, fromRPC, "%s", text, text) }

// streamError is rpcError from the part that clients know as "streams".
func streamError(text string) *protocol.Error {
	return newError(codeRPC, fromStreams, "%s", text, text)
}

// internalError is for mistakes of this daemon.
func internalError(text string) *protocol.Error {
	return newError(codeInternal, fromRPC, "internal error: %s", text, "internal error: "+text)
}

// streamWriteError is what a client is told when a stream's sink fails.
func streamWriteError(errno syscall.Errno) *protocol.Error {
	text := "cannot write to stream: " + errnoText(errno)
	failure := newError(codeSystem, fromStreams, "%s", text, text)
	failure.Int1 = int32(errno)
	return failure
}

// silentFailure is the answer of a handler that gave none.
func silentFailure() *protocol.Error {
	text := "Library function returned error but did not set virError"
	return &protocol.Error{Code: codeInternal, Domain: fromRPC, Message: &text, Level: levelError}
}

// unknownProgram and the texts below are the original's: clients print them unchanged.
func unknownProgram(header *frame.Header) string {
	return fmt.Sprintf("Cannot find program %d version %d", header.Program, header.Version)
}

func unexpectedStatus(header *frame.Header) string {
	return fmt.Sprintf("Unexpected message status %d", header.Status)
}

func unknownProcedure(header *frame.Header) string {
	return fmt.Sprintf("unknown procedure: %d", header.Procedure)
}

func badStreamStatus(status frame.Status) string {
	return fmt.Sprintf("stream aborted with unexpected status %d", status)
}

// encodeError makes a packet of the given type that carries failure.
func encodeError(call frame.Header, kind frame.Type, failure *protocol.Error) *outgoing {
	call.Type, call.Status = kind, frame.Error
	packet, err := encode(call, fitting(failure), nil)
	if err != nil { // not reached: fitting leaves nothing that is too long
		packet, _ = encode(call, rpcError("Unable to encode message payload"), nil)
	}
	return packet
}

// fitting is failure with its texts cut to what a string may hold.
func fitting(failure *protocol.Error) *protocol.Error {
	cut := *failure
	for _, text := range []**string{&cut.Message, &cut.Str1, &cut.Str2, &cut.Str3} {
		if *text != nil && len(**text) > maxText {
			short := cutText(**text, maxText)
			*text = &short
		}
	}
	return &cut
}

// cutText cuts text to at most limit bytes, between characters.
func cutText(text string, limit int) string {
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

// errnoText is what the C library says to errno: Go's text with a capital.
func errnoText(errno syscall.Errno) string {
	text := errno.Error()
	return strings.ToUpper(text[:1]) + text[1:]
}
