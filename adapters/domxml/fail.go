package domxml

import (
	"fmt"
	"strings"

	"virtlxcd/domain/fault"
)

// The refusals of a document. Kind and area together are what clients see as
// code and origin.

// bad says that the document does not make sense.
func bad(format string, args ...any) error {
	return fault.New(fault.BadDefinition, fault.API, format, args...)
}

// unsupported says that it does, but not here.
func unsupported(format string, args ...any) error {
	return fault.New(fault.UnsupportedConfig, fault.API, format, args...)
}

func internal(format string, args ...any) error {
	return fault.New(fault.Internal, fault.API, format, args...)
}

// badStructure is bad for attributes and elements as such.
func badStructure(format string, args ...any) error {
	return fault.New(fault.BadDefinition, fault.Document, format, args...)
}

func badAttr(owner *node, name, value string) error {
	return badStructure("Invalid value for attribute '%s' in element '%s': '%s'.", name, owner.local, value)
}

func badNumber(owner *node, name, value string) error {
	return badStructure("Invalid value for attribute '%s' in element '%s': '%s'. Expected non-negative integer value",
		name, owner.local, value)
}

func missingAttr(owner *node, name string) error {
	return badStructure("Missing required attribute '%s' in element '%s'", name, owner.local)
}

// nameless carries only the detail: clients see a fixed text around it.
func nameless() error { return &fault.Error{Kind: fault.NoName, Area: fault.API} }
func sourceless(target string) error {
	return &fault.Error{Kind: fault.NoSource, Area: fault.API, Text: target}
}
func targetless(source string) error {
	return &fault.Error{Kind: fault.NoTarget, Area: fault.API, Text: source}
}
func noCapability(what string) error {
	return fault.New(fault.InvalidArgument, fault.Capability, "could not find capabilities for %s ", what)
}

// maxShownLine is how much of a source line an error quotes.
const maxShownLine = 512

// illFormed says where a document breaks the rules of XML: label and line, the
// source line, and a pointer to the column.
func illFormed(label, document string, offset int, format string, args ...any) error {
	offset = min(max(offset, 0), len(document))
	line := 1 + strings.Count(document[:offset], "\n")
	start := offset
	for start > 0 && (document[start-1] == '\n' || document[start-1] == '\r') {
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
		label, line, fmt.Sprintf(format, args...), printable(source), pointer(source[:column]))
}

// window cuts a long line down to what surrounds the column.
func window(line string, column int) (string, int) {
	if len(line) <= maxShownLine {
		return line, column
	}
	from := max(0, column-maxShownLine/2)
	to := min(len(line), from+maxShownLine)
	return line[from:to], column - from
}

func pointer(before string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return '-'
	}, before)
}

// printable keeps an error text valid on the wire whatever the document held.
func printable(line string) string {
	return strings.Map(func(r rune) rune {
		if r == 0 {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(line, "?"))
}
