// Package fault says why something failed, in words that know nothing of the
// wire. Adapters turn errno into a Kind where they meet it, app adds what was
// being done to what, and adapters/rpc/remote alone turns a Kind into a number.
package fault

import (
	"errors"
	"fmt"
)

// Kind is a reason for failure. A Kind is itself an error, so that
// errors.Is(err, fault.NotFound) works on any wrapped Error.
type Kind uint8

// The kinds. Internal is the zero value: whatever nobody classified.
const (
	Internal             Kind = iota
	NotImplemented            // no such call here
	InvalidArgument           // wrong whatever the container is
	Failed                    // tried, and it could not be done
	BadDefinition             // a well-formed document that says something impossible
	Malformed                 // a document that is not well formed
	NoName                    // a definition without a name
	NoSource                  // a device without a source
	NoTarget                  // a device without a target
	NoOSType                  // a definition that does not say what it runs
	ReadOnly                  // the connection may only read
	System                    // the kernel refused; the errno is inside
	NotFound                  // no such container, process, group, link
	NoNetwork                 // no such virtual network
	AuthFailed                // the caller is not who it must be
	WrongState                // fine in another state: running, off, paused
	UnsupportedConfig         // fine on another host
	Timeout                   // it would have taken too long
	HookFailed                // the site's program said no
	UnsupportedArgument       // fine elsewhere, never for containers
	Aborted                   // whoever asked went away, or the daemon ends
	MetadataMissing           // the element that was asked for is not there
	Overflow                  // a number does not fit what carries it
	UnsupportedOperation      // this container cannot do it
	Busy                      // somebody else has it
	AccessDenied              // the caller may not
	DeviceMissing             // the definition has no such device
	AuthCancelled             // the person who was asked declined
	AuthUnavailable           // nobody is there who could be asked
	kinds                     // number of kinds
)

var kindNames = [kinds]string{
	"internal error", "not implemented", "invalid argument", "failed", "bad definition",
	"malformed document", "name missing", "source missing", "target missing", "system type missing",
	"read only", "system error", "not found", "network not found", "authentication failed", "wrong state",
	"unsupported configuration", "timed out", "hook failed", "unsupported argument", "aborted",
	"metadata missing", "overflow", "unsupported operation", "busy", "access denied", "device missing",
	"authentication cancelled", "authentication unavailable",
}

// Error makes a Kind usable as the target of errors.Is.
func (k Kind) Error() string {
	if k >= kinds {
		return "unknown fault"
	}
	return kindNames[k]
}

// Area is the part of the daemon that complains. Clients see it as the error's
// origin and some branch on it. The zero value is Driver.
type Area uint8

// The areas.
const (
	Driver   Area = iota
	API           // checks that do not depend on the driver, and the document's semantics
	Document      // attributes and structure of a document
	Wire
	Host // helpers below the driver: no area of their own
	Network
	Console
	ControlGroup
	Security
	Access
	Capability // looking up what this host can run
	Hook       // the site's programs
)

// Error is one failure. It is shared once it is returned: During copies it instead of
// filling it in.
type Error struct {
	Op      string // what was being done, in the verb of the use case: "start", "suspend"
	Kind    Kind
	Area    Area
	Subject string // what it was done to: a container's name, a path, an interface
	Text    string // what the client is told; empty: built from the rest
	Err     error  // what lay beneath; an errno is always kept here
}

// New returns an Error whose client text is made from format.
func New(kind Kind, area Area, format string, args ...any) *Error {
	return &Error{Kind: kind, Area: area, Text: fmt.Sprintf(format, args...)}
}

// Wrap returns an Error of the kind that keeps err, says format to the client
// and appends err's own text. The kind is the new one; errors.Is still finds that of
// err. The area is Driver.
func Wrap(err error, kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Text: fmt.Sprintf(format, args...), Err: err}
}

// Error joins operation, subject, text and cause.
func (e *Error) Error() string {
	text := e.Message()
	if e.Subject != "" {
		text = e.Subject + ": " + text
	}
	if e.Op != "" {
		text = e.Op + " " + text
	}
	return text
}

// Message is what a client is told: the text and the cause, without the
// operation and the subject (the client knows what it asked for).
func (e *Error) Message() string {
	switch {
	case e.Text == "" && e.Err == nil:
		return e.Kind.Error()
	case e.Text == "":
		return e.Err.Error()
	case e.Err == nil:
		return e.Text
	}
	return e.Text + ": " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is matches a Kind, and only its own: that of a cause is found by errors.Is, which
// goes on to it.
func (e *Error) Is(target error) bool {
	kind, ok := target.(Kind)
	return ok && kind == e.Kind
}

// KindOf returns the kind of the outermost Error in err, Internal if there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// During returns err with the operation and subject filled in where they were
// empty. A nil err stays nil. What is no Error itself is kept inside one, with
// the kind and area of the Error within it, if there is one.
func During(err error, op, subject string) error {
	if err == nil {
		return nil
	}
	e, ok := err.(*Error) // only the outermost can be filled in
	if !ok {
		outer := &Error{Op: op, Subject: subject, Err: err}
		if errors.As(err, &e) {
			outer.Kind, outer.Area = e.Kind, e.Area
		}
		return outer
	}
	named := *e
	if named.Op == "" {
		named.Op = op
	}
	if named.Subject == "" {
		named.Subject = subject
	}
	return &named
}
