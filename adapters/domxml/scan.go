package domxml

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"virtlxcd/domain/fault"
)

// limits bound what a document may cost before any of it is believed.
type limits struct {
	bytes, depth, elements, attributes, prefixes int
}

var (
	// clientLimits holds for what clients send and for what is stored. The
	// size is that of the longest string the wire carries.
	clientLimits = limits{bytes: 4 << 20, depth: 256, elements: 100_000, attributes: 128, prefixes: 64}
	// metadataLimits holds for one attached element.
	metadataLimits = limits{bytes: 1 << 20, depth: 250, elements: 20_000, attributes: 128, prefixes: 60}
	// ownLimits holds for what this package wrote around an accepted document.
	ownLimits = limits{bytes: 5 << 20, depth: 260, elements: 101_000, attributes: 130, prefixes: 65}
)

type open struct {
	name string
	line int
}

// scanner hands out the tokens of a well-formed document and keeps to limits.
// The decoder below it checks neither nesting nor what stands outside the root.
type scanner struct {
	label    string
	document string
	limits   limits
	decoder  *xml.Decoder
	stack    []open
	elements int
	started  bool
}

func newScanner(label, document string, limits limits) (*scanner, error) {
	if len(document) > limits.bytes {
		return nil, tooLong(label, limits)
	}
	document = strings.TrimPrefix(document, "\ufeff")
	s := &scanner{label: label, document: document, limits: limits}
	if err := s.checkCharacters(); err != nil {
		return nil, err
	}
	s.decoder = xml.NewDecoder(strings.NewReader(document))
	return s, nil
}

func tooLong(label string, limits limits) error {
	return fault.New(fault.Malformed, fault.API, "%s: the document is longer than %d bytes", label, limits.bytes)
}

// checkCharacters covers what the decoder lets pass in comments.
func (s *scanner) checkCharacters() error {
	for i, r := range s.document {
		switch {
		case r == utf8.RuneError:
			if _, size := utf8.DecodeRuneInString(s.document[i:]); size == 1 {
				return s.failAt(i, "Input is not proper UTF-8")
			}
		case r < ' ' && r != '\t' && r != '\n' && r != '\r', r == 0xfffe, r == 0xffff:
			return s.failAt(i, "invalid character value %d", r)
		}
	}
	return nil
}

func (s *scanner) offset() int { return int(s.decoder.InputOffset()) }

func (s *scanner) fail(format string, args ...any) error {
	return s.failAt(s.offset(), format, args...)
}

func (s *scanner) failAt(offset int, format string, args ...any) error {
	return illFormed(s.label, s.document, offset, format, args...)
}

// next returns the next start or end of an element, text inside the root,
// comment or instruction; io.EOF after the root was closed.
func (s *scanner) next() (xml.Token, error) {
	for {
		before := s.offset()
		token, err := s.decoder.RawToken()
		if err != nil {
			return nil, s.broken(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			return token, s.enter(token, before)
		case xml.EndElement:
			return token, s.leave(token)
		case xml.CharData:
			if len(s.stack) > 0 {
				return token, nil
			}
			if err := s.outside(token, before); err != nil {
				return nil, err
			}
		case xml.ProcInst:
			if strings.EqualFold(token.Target, "xml") {
				if before > 0 {
					return nil, s.failAt(before, "XML declaration allowed only at the start of the document")
				}
				continue
			}
			return token, s.tally()
		case xml.Directive:
			return nil, s.failAt(before, "document type declarations are not accepted")
		default:
			return token, s.tally()
		}
	}
}

func (s *scanner) outside(data xml.CharData, before int) error {
	switch {
	case isBlank(string(data)):
		return nil
	case s.started:
		return s.failAt(before, "Extra content at the end of the document")
	}
	return s.failAt(before, "Start tag expected, '<' not found")
}

// broken turns the decoder's complaint into a refusal, and the end of input
// into one unless the root was seen and closed.
func (s *scanner) broken(err error) error {
	var syntax *xml.SyntaxError
	switch {
	case errors.Is(err, io.EOF) && len(s.stack) > 0:
		last := s.stack[len(s.stack)-1]
		return s.fail("Premature end of data in tag %s line %d", last.name, last.line)
	case errors.Is(err, io.EOF) && !s.started:
		return s.fail("Document is empty")
	case errors.Is(err, io.EOF):
		return io.EOF
	case errors.As(err, &syntax):
		return s.fail("%s", syntax.Msg)
	}
	return s.fail("%s", strings.TrimPrefix(err.Error(), "xml: "))
}

func (s *scanner) enter(start xml.StartElement, before int) error {
	if err := s.tally(); err != nil {
		return err
	}
	switch {
	case s.started && len(s.stack) == 0:
		return s.failAt(before, "Extra content at the end of the document")
	case len(s.stack) >= s.limits.depth:
		return s.fail("elements are nested deeper than %d", s.limits.depth)
	case badName(start.Name):
		return s.fail("bad element name '%s'", start.Name.Local)
	}
	s.started = true
	line, _ := s.decoder.InputPos()
	s.stack = append(s.stack, open{qualified(start.Name), line})
	return s.checkAttributes(start.Attr)
}

// tally counts whatever becomes a node of its own.
func (s *scanner) tally() error {
	s.elements++
	if s.elements > s.limits.elements {
		return s.fail("more than %d elements", s.limits.elements)
	}
	return nil
}

func (s *scanner) checkAttributes(attrs []xml.Attr) error {
	if len(attrs) > s.limits.attributes+s.limits.prefixes {
		return s.fail("more than %d attributes", s.limits.attributes)
	}
	plain := 0
	for i, a := range attrs {
		if badName(a.Name) {
			return s.fail("bad attribute name '%s'", a.Name.Local)
		}
		if _, declares := declaration(a.Name); !declares {
			plain++
		}
		for _, earlier := range attrs[:i] {
			if earlier.Name == a.Name {
				return s.fail("Attribute %s redefined", qualified(a.Name))
			}
		}
	}
	if plain > s.limits.attributes {
		return s.fail("more than %d attributes", s.limits.attributes)
	}
	return nil
}

func (s *scanner) leave(end xml.EndElement) error {
	name := qualified(end.Name)
	if len(s.stack) == 0 {
		return s.fail("Extra content at the end of the document")
	}
	last := s.stack[len(s.stack)-1]
	if last.name != name {
		return s.fail("Opening and ending tag mismatch: %s line %d and %s", last.name, last.line, name)
	}
	s.stack = s.stack[:len(s.stack)-1]
	return nil
}

// badName refuses a colon at either end, which the decoder lets pass.
func badName(name xml.Name) bool { return strings.Contains(name.Local, ":") }

func qualified(name xml.Name) string {
	if name.Space == "" {
		return name.Local
	}
	return name.Space + ":" + name.Local
}

// declaration says which prefix an attribute declares, "" for the default.
func declaration(name xml.Name) (prefix string, ok bool) {
	switch {
	case name.Space == "xmlns":
		return name.Local, true
	case name.Space == "" && name.Local == "xmlns":
		return "", true
	}
	return "", false
}

func isBlank(text string) bool { return strings.Trim(text, " \t\r\n") == "" }
