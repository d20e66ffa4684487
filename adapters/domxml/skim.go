package domxml

import "strings"

const blanks = " \t\r\n"

// skimmer goes over a document for the first name and the first uuid directly
// below the root, before anybody knows whether its sender may define anything:
// so it reads each byte about once and keeps no copy of any. It takes a well-formed document for granted and follows no
// more of it than it has to: one that is not leads it astray and is found out by
// Parse, which nothing gets around.
// It is used once. Places are offsets in bytes from the beginning of document.
type skimmer struct {
	document string
	at       int
	pieces   int // elements, comments and instructions so far
	depth    int
	foreign  bool // the root declares a default namespace
	over     bool // the root was closed

	name, uuid excerpt
	inside     *excerpt // the one of them that is open
	begun      int      // where it began
}

// run ends at the end of the root, or where both were found.
// Only brackets are looked for, which is a search at the speed of memory.
func (s *skimmer) run() error {
	for !s.over && (s.name == "" || s.uuid == "") {
		next := strings.IndexByte(s.document[s.at:], '<')
		if next < 0 {
			return s.cut()
		}
		s.at += next
		if err := s.markup(); err != nil {
			return err
		}
	}
	return nil
}

// The error is that of a document that is not well formed; Peek looks for a better one.
func (s *skimmer) fail(text string) error {
	return illFormed(definitionLabel, s.document, s.at, "%s", text)
}

// cut complains of a document that ends too early.
func (s *skimmer) cut() error {
	if s.pieces == 0 {
		return s.fail("Document is empty")
	}
	return s.fail("Premature end of data")
}

// markup reads over what begins with the bracket at the present place.
// A CDATA section is text and no piece of its own, as in the scanner.
func (s *skimmer) markup() error {
	switch rest := s.document[s.at:]; {
	case strings.HasPrefix(rest, "<![CDATA["):
		return s.past(len("<![CDATA["), "]]>")
	case strings.HasPrefix(rest, "</"):
		if err := s.past(len("</"), ">"); err != nil {
			return err
		}
		return s.leave()
	}
	// Parse does not count the declaration at the top.
	if s.pieces++; s.pieces > clientLimits.elements+1 {
		return s.fail("too many elements")
	}
	switch rest := s.document[s.at:]; {
	case strings.HasPrefix(rest, "<!--"):
		return s.past(len("<!--"), "-->")
	case strings.HasPrefix(rest, "<?"):
		return s.past(len("<?"), "?>")
	case strings.HasPrefix(rest, "<!"):
		return s.fail("document type declarations are not accepted")
	}
	return s.enter()
}

// past goes on behind the next end, which is not among the first bytes.
// Offsets only grow, so that no document is read over twice.
func (s *skimmer) past(first int, end string) error {
	length := strings.Index(s.document[s.at+first:], end)
	if length < 0 {
		return s.cut()
	}
	s.at += first + length + len(end)
	return nil
}

// leave ends an element; of what name does not matter here. Where that is the name
// or the uuid, its source is complete.
// An end tag before the root began is refused.
func (s *skimmer) leave() error {
	s.depth--
	switch {
	case s.depth < 0:
		return s.fail("Start tag expected")
	case s.depth == 0:
		s.over = true
	case s.depth == 1 && s.inside != nil:
		*s.inside, s.inside = excerpt(s.document[s.begun:s.at]), nil
	}
	return nil
}

// enter begins an element, and ends it too where it is empty. Only the root and
// what is directly below it are looked at.
// Deeper elements are only stepped over: their names cost nothing.
func (s *skimmer) enter() error {
	tag, ok := s.tag()
	if !ok {
		return s.cut()
	}
	if s.depth < 2 {
		if err := s.outer(tag); err != nil {
			return err
		}
	}
	s.at += len(tag)
	s.depth++
	if strings.HasSuffix(tag, "/>") {
		return s.leave()
	}
	return nil
}

// tag is the start tag at the present place, brackets included. A bracket within
// quotes does not end it.
// A tag that does not end has whole false.
func (s *skimmer) tag() (tag string, whole bool) {
	rest := s.document[s.at:]
	for i := 1; i < len(rest); i++ {
		switch c := rest[i]; c {
		case '>':
			return rest[:i+1], true
		case '"', '\'':
			length := strings.IndexByte(rest[i+1:], c)
			if length < 0 {
				return "", false
			}
			i += length + 1
		}
	}
	return "", false
}

// outer looks at the tag of the root or of an element directly below it. Those
// that count have no prefix and no default namespace: declared on the root, it
// holds for them too unless they take it back. An element whose name goes on
// without a blank, as in <name>, ends at the bracket.
// Of two with one name the first counts, as for the reader's one.
func (s *skimmer) outer(tag string) error {
	name := tag[1 : 1+strings.IndexAny(tag[1:], blanks+"/>")]
	if s.depth == 0 {
		space, _ := defaultSpace(tag)
		s.foreign = space != ""
		return checkRoot(printable(name[:min(len(name), maxShownLine)]))
	}
	var found *excerpt
	switch name {
	case "name":
		found = &s.name
	case "uuid":
		found = &s.uuid
	}
	if found == nil || *found != "" {
		return nil
	}
	space, declared := defaultSpace(tag)
	if declared && space == "" || !declared && !s.foreign {
		s.inside, s.begun = found, s.at
	}
	return nil
}

// defaultSpace is the default namespace that a start tag declares, as it is
// spelled. Quotes are closed: the tag was read over.
// Values are stepped over, so that "xmlns" in one of them is not taken for a name.
func defaultSpace(tag string) (space string, declared bool) {
	for i := 1; i < len(tag); i++ {
		switch tag[i] {
		case '"', '\'':
			i += 1 + strings.IndexByte(tag[i+1:], tag[i])
		case 'x':
			if !strings.ContainsRune(blanks+"\"'", rune(tag[i-1])) {
				continue
			}
			if space, declared = valueOf("xmlns", tag[i:]); declared {
				return space, true
			}
		}
	}
	return "", false
}

// valueOf is the value of an attribute if text begins with it: xmlns = "u".
// References in it stay as they are: only whether it is empty matters.
// Blanks around the equals sign are allowed (XML 1.0, 2.3 "Eq").
func valueOf(name, text string) (value string, found bool) {
	text, found = strings.CutPrefix(text, name)
	if !found {
		return "", false
	}
	text, found = strings.CutPrefix(strings.TrimLeft(text, blanks), "=")
	text = strings.TrimLeft(text, blanks)
	if !found || text == "" {
		return "", false
	}
	value, _, _ = strings.Cut(text[1:], text[:1])
	return value, true
}
