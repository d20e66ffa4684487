package domxml

import (
	"errors"
	"fmt"
	"strings"

	"virtlxcd/domain/fault"
)

// The refusals of a document. Kind and area together are what clients see as
// code and origin. Texts that other implementations of the interface have, word
// for word, are kept whole, capitals and full stops included: clients and test
// suites look for them. Texts of our own start in lower case.

// bad says that the document does not make sense.
// It is the kind of most refusals.
func bad(format string, args ...any) error {
	return fault.New(fault.BadDefinition, fault.API, format, args...)
}

// unsupported says that it does, but not here.
// Another host or another driver could run it.
func unsupported(format string, args ...any) error {
	return fault.New(fault.UnsupportedConfig, fault.API, format, args...)
}

// internal is for what clients know as an internal error although the document is
// to blame.
// It is no mistake of this program, and is used for nothing else here.
func internal(format string, args ...any) error {
	return fault.New(fault.Internal, fault.API, format, args...)
}

// badStructure is bad for attributes and elements as such.
// The area differs from bad's, since others check these in a part of their own.
func badStructure(format string, args ...any) error {
	return fault.New(fault.BadDefinition, fault.Document, format, args...)
}

// badAttr is for an attribute whose value is none of the words that exist.
// owner is the element that has the attribute.
func badAttr(owner *node, name, value string) error {
	return badStructure("Invalid value for attribute '%s' in element '%s': '%s'.", name, owner.local, value)
}

// badNumber is for an attribute that should be a whole number, 0 or more.
func badNumber(owner *node, name, value string) error {
	return badStructure("Invalid value for attribute '%s' in element '%s': '%s'. Expected non-negative integer value",
		name, owner.local, value)
}

// missingAttr is for an attribute that must stand there.
func missingAttr(owner *node, name string) error {
	return badStructure("Missing required attribute '%s' in element '%s'", name, owner.local)
}

// nameless carries only the detail: clients see a fixed text around it.
// The text that clients see is made where codes are.
func nameless() error { return &fault.Error{Kind: fault.NoName, Area: fault.API} }

// sourceless and targetless carry only the detail, too: the other end of the
// device, by which its author finds it.
// An empty detail is fine.
func sourceless(target string) error {
	return &fault.Error{Kind: fault.NoSource, Area: fault.API, Text: target}
}
func targetless(source string) error {
	return &fault.Error{Kind: fault.NoTarget, Area: fault.API, Text: source}
}

// noCapability is for a machine that this host cannot be. The blank at the end
// is part of the text.
func noCapability(what string) error {
	return fault.New(fault.InvalidArgument, fault.Capability, "could not find capabilities for %s ", what)
}

// maxShown is how many bytes of a text an error repeats.
const maxShown = 2048

// brief cuts the text of a refusal that repeats what a document holds: values
// may be megabytes, errors go into logs and back to the client.
// Those of the scanner are cut where they are made, see illFormed.
func brief(err error) error {
	var e *fault.Error
	if !errors.As(err, &e) || len(e.Text) <= maxShown {
		return err
	}
	short := *e
	short.Text = clip(e.Text)
	return &short
}

// clip keeps the beginning, in whole characters.
// A character that is cut in half would not be valid on the wire.
func clip(text string) string {
	if len(text) <= maxShown {
		return text
	}
	return strings.ToValidUTF8(text[:maxShown], "") + "..."
}

// maxShownLine is how much of a source line an error quotes.
// A document that was written without line ends is one line of up to 4 MiB: more would
// hide the message around it.
const maxShownLine = 512

// illFormed says where a document breaks the rules of XML: label and line, the
// source line, and a pointer to the column.
// As others print it:
//
// (domain_definition):2: Opening and ending tag mismatch: name line 2 and b
// <name>web</b>
// -------------^
//
// An offset outside of the document counts as its nearest end.
func illFormed(label, document string, offset int, format string, args ...any) error {
	offset = min(max(offset, 0), len(document))
	line := 1 + strings.Count(document[:offset], "\n")
	start := offset
	for start > 0 && atLineEnd(document, start) && atLineEnd(document, start-1) {
		start--
	}
	if cut := strings.LastIndexAny(document[:start], "\r\n"); cut >= 0 {
		start = cut + 1
	} else {
		start = 0
	}
	line -= strings.Count(document[start:offset], "\n")
	source := document[start:]
	if end := strings.IndexAny(source, "\r\n"); end >= 0 {
		source = source[:end]
	}
	column := min(offset-start, len(source))
	source, column = window(source, column)
	return fault.New(fault.Malformed, fault.API, "%s:%d: %s\n%s\n%s^",
		label, line, clip(fmt.Sprintf(format, args...)), printable(source), pointer(source[:column]))
}

// atLineEnd holds at the end of the document too: what is missing there is
// missed in the last line that has something in it.
// It is asked for bytes, so a line end of two bytes is two of them.
func atLineEnd(document string, at int) bool {
	return at == len(document) || document[at] == '\n' || document[at] == '\r'
}

// window cuts a long line down to what surrounds the column.
// The column stays under the same character.
func window(line string, column int) (string, int) {
	if len(line) <= maxShownLine {
		return line, column
	}
	from := max(0, column-maxShownLine/2)
	to := min(len(line), from+maxShownLine)
	return line[from:to], column - from
}

// pointer draws the line below the source, one dash for each character; tabs stay,
// or it would point elsewhere.
func pointer(before string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return '-'
	}, before)
}

// printable keeps an error text valid on the wire whatever the document held.
// Lines come from anywhere, also from documents that are no text at all.
func printable(line string) string {
	return strings.Map(func(r rune) rune {
		if r == 0 {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(line, "?"))
}
