package settings

import (
	"bytes"

	"virtlxcd/domain/fault"
)

// The language of configuration files, as every program of the family reads it:
//
//	# a comment, to the end of its line
//	name = "text"; other = 'text'   # statements end with the line or a semicolon
//	long = """text
//	of several lines"""
//	number = -5
//	list = [ "a", 2,
//	  [ "b" ], ]
//
// Text has no escapes. There are no booleans and no words without quotes.

// Bounds of what is read from one file. The values of a list count one by one. The size is
// that of other readers of such files; the rest is far above any use.
const (
	maxFileSize = 10 << 20
	maxValues   = 1 << 16
	maxNesting  = 16
)

// kind is what a value looks like in the file.
type kind uint8

const (
	number kind = iota
	text
	list
)

// value is one value as written; what it has to be is not known here. A number
// of any length is well formed: overflow says that magnitude does not hold it. Of the
// fields those count that kind says; text is empty and list nil for the others.
type value struct {
	kind      kind
	text      string
	magnitude uint64
	negative  bool
	overflow  bool
	list      []value
}

// entry is one statement and where it begins. file and line are for messages alone.
type entry struct {
	file  string
	line  int
	key   string
	value value
}

// parser reads one file. line is that of the byte at at. values and depth are counted
// against the bounds above.
type parser struct {
	file   string
	data   []byte
	at     int
	line   int
	values int
	depth  int
}

// parse splits a file into its statements, in order and with repetitions. It
// stops at the first syntax error and returns nothing then. file only serves
// the error's text.
func parse(data []byte, file string) ([]entry, error) {
	p := parser{file: file, data: data, line: 1}
	if len(data) > maxFileSize {
		return nil, p.fail("the file is larger than 10 MiB")
	}
	var entries []entry
	for p.skipEmpty(); p.at < len(p.data); p.skipEmpty() {
		e, err := p.statement()
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// fail is at the line where the parser is. The words are those of the interface, which
// people look up.
func (p *parser) fail(text string) error {
	return fault.New(fault.Malformed, fault.Host, "configuration file syntax error: %s:%d: %s", p.file, p.line, text)
}

// peek is 0 at the end. A NUL in the file is told apart by at.
func (p *parser) peek() byte {
	if p.at < len(p.data) {
		return p.data[p.at]
	}
	return 0
}

// skipBlanks stays on its line.
func (p *parser) skipBlanks() {
	for p.peek() == ' ' || p.peek() == '\t' {
		p.at++
	}
}

// skipSpace skips blanks and ends of lines. A carriage return ends a line and is not
// counted as one: it comes with a newline, or the file is of no system we run on.
func (p *parser) skipSpace() {
	for p.skipBlanks(); p.peek() == '\n' || p.peek() == '\r'; p.skipBlanks() {
		if p.peek() == '\n' {
			p.line++
		}
		p.at++
	}
}

// skipEmpty goes to the next statement, or to the end.
func (p *parser) skipEmpty() {
	for p.skipSpace(); p.peek() == '#'; p.skipSpace() {
		p.skipComment()
	}
}

// skipComment stops before the end of the line.
func (p *parser) skipComment() {
	length := bytes.IndexAny(p.data[p.at:], "\r\n")
	if length < 0 {
		length = len(p.data) - p.at
	}
	p.at += length
}

// statement reads up to and with the separator behind it. A comment may follow the value,
// but not stand within the statement.
func (p *parser) statement() (entry, error) {
	e := entry{file: p.file, line: p.line, key: p.name()}
	if e.key == "" {
		return e, p.fail("expecting a name")
	}
	p.skipBlanks()
	if p.peek() != '=' {
		return e, p.fail("expecting an assignment")
	}
	p.at++
	p.skipBlanks()
	var err error
	if e.value, err = p.value(); err != nil {
		return e, err
	}
	p.skipBlanks()
	if p.peek() == '#' {
		p.skipComment()
	}
	switch {
	case p.at == len(p.data), p.peek() == '\n', p.peek() == '\r':
		return e, nil
	case p.peek() == ';':
		p.at++
		return e, nil
	}
	return e, p.fail("expecting a separator")
}

// name is a letter, then letters, digits and underscores; empty where none begins.
func (p *parser) name() string {
	start := p.at
	for isLetter(p.peek()) || p.at > start && (isDigit(p.peek()) || p.peek() == '_') {
		p.at++
	}
	return string(p.data[start:p.at])
}

// Letters and digits are ASCII's: 0x20 is what tells the two cases apart.
func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }

// value reads one value, of whichever kind its first byte says. Elements of lists count
// too, so that a list cannot be longer than a file may be.
func (p *parser) value() (value, error) {
	if p.values++; p.values > maxValues {
		return value{}, p.fail("too many values")
	}
	switch c := p.peek(); {
	case c == '[':
		return p.listValue()
	case bytes.HasPrefix(p.data[p.at:], []byte(`"""`)):
		return p.textValue(`"""`)
	case c == '"':
		return p.textValue(`"`)
	case c == '\'':
		return p.textValue(`'`)
	case c == '-', c == '+', isDigit(c):
		return p.numberValue()
	}
	return value{}, p.fail("expecting a value")
}

// textValue takes everything between the quotes as it is: there are no escapes.
// Only the triple quote lets lines end within.
func (p *parser) textValue(quote string) (value, error) {
	start := p.at + len(quote)
	length := bytes.Index(p.data[start:], []byte(quote))
	if length < 0 {
		return value{}, p.fail("unterminated string")
	}
	content := p.data[start : start+length]
	// The line of the error is that of the opening quote.
	if len(quote) == 1 && bytes.ContainsAny(content, "\r\n") {
		return value{}, p.fail("unterminated string")
	}
	if bytes.IndexByte(content, 0) >= 0 {
		return value{}, p.fail("a string holds a NUL byte")
	}
	p.line += bytes.Count(content, []byte{'\n'})
	p.at = start + length + len(quote)
	return value{kind: text, text: string(content)}, nil
}

// numberValue takes a sign and digits. It never fails for being large: the reader of the
// key knows what range to name in the error. After an overflow magnitude has wrapped
// around and says nothing.
func (p *parser) numberValue() (value, error) {
	v := value{kind: number, negative: p.peek() == '-'}
	if !isDigit(p.peek()) {
		p.at++
	}
	if !isDigit(p.peek()) {
		return value{}, p.fail("unterminated number")
	}
	for ; isDigit(p.peek()); p.at++ {
		digit := uint64(p.peek() - '0')
		// The comparison that cannot overflow itself.
		if v.magnitude > (1<<64-1-digit)/10 {
			v.overflow = true
		}
		v.magnitude = v.magnitude*10 + digit
	}
	return v, nil
}

// listValue reads elements between commas; one may follow the last element. The depth is
// bounded as the parser calls itself. No comments are taken within a list. After an error
// depth is wrong, which harms nothing: the first error ends the parse.
func (p *parser) listValue() (value, error) {
	v := value{kind: list}
	if p.depth++; p.depth > maxNesting {
		return v, p.fail("lists are nested too deeply")
	}
	p.at++
	for p.skipSpace(); p.at < len(p.data) && p.peek() != ']'; p.skipSpace() {
		element, err := p.value()
		if err != nil {
			return v, err
		}
		v.list = append(v.list, element)
		p.skipSpace()
		if p.peek() == ',' {
			p.at++
		} else if p.at < len(p.data) && p.peek() != ']' {
			return v, p.fail("expecting a separator in list")
		}
	}
	if p.at == len(p.data) {
		return v, p.fail("list is not closed with ]")
	}
	p.at++
	p.depth--
	return v, nil
}
