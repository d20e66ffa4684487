package domxml

import (
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"virtlxcd/domain/fault"
)

// limits bound what a document may cost before any of it is believed. Bytes are
// counted before anything is read; elements count comments and instructions too;
// attributes are those of one element; prefixes are the declarations in force at
// one place, since each element below could use them all.
// A document beyond any of them is Malformed, with a text that names the limit.
type limits struct {
	bytes, depth, elements, attributes, prefixes int
}

// Each limit is what bounds memory or time of one step: bytes the text, depth the
// stack, elements the tree, attributes the comparison of all pairs, prefixes what a
// leftover has to declare anew.
var (
	// clientLimits holds for what clients send and for what is stored. The
	// size is that of the longest string the wire carries.
	clientLimits = limits{bytes: 4 << 20, depth: 256, elements: 100_000, attributes: 128, prefixes: 64}
	// metadataLimits holds for one attached element, and its bytes for the printed
	// one as well: a document must have room for several.
	metadataLimits = limits{bytes: 1 << 20, depth: 250, elements: 20_000, attributes: 128, prefixes: 60}
	// ownLimits holds for what this package wrote around an accepted document: a
	// status, whose live definition has a little more than the one that was
	// checked, and a leftover, which has namespaces declared anew.
	ownLimits = limits{bytes: 5 << 20, depth: 260, elements: 101_000, attributes: 130, prefixes: 65}
)

// open is an element that was begun and not ended, for the message if it never is.
type open struct {
	name string
	line int
}

// scanner hands out the tokens of a well-formed document and keeps to limits.
// The decoder below it checks neither nesting nor what stands outside the root,
// as only raw tokens keep prefixes apart from namespaces. It resolves no entity
// but the five of XML and characters by number, and document types are refused,
// so a document cannot grow by being read, nor make anybody read a file.
// It is used once, by one goroutine.
type scanner struct {
	label    string
	document string // without a byte order mark: offsets count from behind it
	limits   limits
	decoder  *xml.Decoder
	stack    []open
	elements int  // so far, with comments and instructions
	started  bool // the root was seen
}

// newScanner refuses what is too long or has characters that no document may have
// before the decoder sees any of it.
// The text is not copied.
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

// It is made before anything is read, so it has no line.
func tooLong(label string, limits limits) error {
	return fault.New(fault.Malformed, fault.API, "%s: the document is longer than %d bytes", label, limits.bytes)
}

// checkCharacters covers what the decoder lets pass in comments, and names the
// number of the character as other readers do. UTF-8 is the only encoding.
// One pass over all of it is cheaper than a check in each kind of token.
func (s *scanner) checkCharacters() error {
	for i, r := range s.document {
		switch {
		case r == utf8.RuneError:
			if _, size := utf8.DecodeRuneInString(s.document[i:]); size == 1 {
				return s.failAt(i, "Input is not proper UTF-8")
			}
		case !legal(r):
			return s.failAt(i, "invalid character value %d", r)
		}
	}
	return nil
}

// legal says whether a document can hold the character (XML 1.0, 2.2 "Char").
// Surrogates are no runes and need no mention.
func legal(r rune) bool {
	return r >= ' ' && r != 0xfffe && r != 0xffff || r == '\t' || r == '\n' || r == '\r'
}

// offset is how many bytes of the document were read.
func (s *scanner) offset() int { return int(s.decoder.InputOffset()) }

// fail complains of what was read last.
func (s *scanner) fail(format string, args ...any) error {
	return s.failAt(s.offset(), format, args...)
}

// The line and column in the text are those of offset.
func (s *scanner) failAt(offset int, format string, args ...any) error {
	return illFormed(s.label, s.document, offset, format, args...)
}

// next returns the next start or end of an element, text inside the root,
// comment or instruction; io.EOF after the root was closed.
// A token is good until the next call, as the decoder has it. After an error nothing
// more is to be asked.
func (s *scanner) next() (xml.Token, error) {
	for {
		before := s.offset()
		token, err := s.decoder.RawToken()
		if err != nil {
			return nil, s.broken(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if err := s.checkReferences(before); err != nil {
				return nil, err
			}
			return token, s.enter(token, before)
		case xml.EndElement:
			return token, s.leave(token)
		case xml.CharData:
			if len(s.stack) > 0 {
				return token, s.checkReferences(before)
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

// checkReferences looks at the source of a token from before on. The decoder
// refuses references to all illegal characters but surrogates: those it turns
// into U+FFFD, so that a name could become another one. In a CDATA section
// nothing is a reference.
// What stands in the text as "&#xD800;" is found here and nowhere else.
func (s *scanner) checkReferences(before int) error {
	source := s.document[before:s.offset()]
	if strings.HasPrefix(source, "<![CDATA[") {
		return nil
	}
	for {
		_, rest, found := strings.Cut(source, "&#")
		if !found {
			return nil
		}
		digits, _, _ := strings.Cut(rest, ";")
		source = rest
		base := 10
		if hex, ok := strings.CutPrefix(digits, "x"); ok {
			digits, base = hex, 16
		}
		if value, err := strconv.ParseUint(digits, base, 32); err == nil && utf16.IsSurrogate(rune(value)) {
			return s.fail("invalid character value %d", value)
		}
	}
}

// outside looks at text before or after the root: nothing but white space.
// The declaration at the top is no text and does not come here.
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
// into one unless the root was seen and closed. Messages that clients may know
// are spelled as they know them; the others are the decoder's own.
// An encoding other than UTF-8 is among them.
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
	text := strings.TrimPrefix(err.Error(), "xml: ")
	if named, foreign := strings.CutSuffix(text, " declared but Decoder.CharsetReader is nil"); foreign {
		return s.fail("Unsupported %s", named)
	}
	return s.fail("%s", text)
}

// enter begins an element; before is where its tag begins. The root is the only
// one that has none around it.
// The depth is checked before anything is kept of the element.
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
// Text is not counted: between two elements there is at most one piece of it.
func (s *scanner) tally() error {
	s.elements++
	if s.elements > s.limits.elements {
		return s.fail("more than %d elements", s.limits.elements)
	}
	return nil
}

// checkAttributes refuses one name given twice, as it is spelled: two prefixes for
// one namespace are not looked through. The bound comes first, since every pair
// is compared.
// Declarations of namespaces have a bound of their own, which the builder checks.
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

// leave ends the innermost element, which must be the one of this name.
// The decoder compares names only for tokens that are not raw.
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

// qualified is a name as it is spelled: "p:a". In raw tokens Space is the prefix.
// A name without a prefix is the local one alone.
func qualified(name xml.Name) string {
	if name.Space == "" {
		return name.Local
	}
	return name.Space + ":" + name.Local
}

// declaration says whether an attribute declares a namespace, and for
// which prefix: "" for the default.
// xmlns:p declares p, xmlns the default.
func declaration(name xml.Name) (prefix string, ok bool) {
	switch {
	case name.Space == "xmlns":
		return name.Local, true
	case name.Space == "" && name.Local == "xmlns":
		return "", true
	}
	return "", false
}

// isBlank goes by the white space of XML, which is less than that of Unicode.
func isBlank(text string) bool { return strings.Trim(text, " \t\r\n") == "" }
