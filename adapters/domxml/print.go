package domxml

import (
	"strings"
	"unicode/utf8"
)

// The printed form: two spaces per level, attributes in single quotes. An
// element that holds text stays on one line with all that is in it, since
// white space there would be content. Metadata is printed as it was always
// printed, with double quotes and as little escaped as possible.

// A carriage return is escaped everywhere, as readers turn it into a newline. A single
// quote needs no escape between double ones, nor a double one in text.
var (
	escapeText = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&apos;", `"`, "&quot;", "\r", "&#13;")
	// A reader turns plain white space in attributes into blanks.
	escapeAttr = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&apos;", `"`, "&quot;",
		"\r", "&#13;", "\n", "&#10;", "\t", "&#9;")
	escapeMetaText = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\r", "&#13;")
	escapeMetaAttr = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;",
		"\r", "&#13;", "\n", "&#10;", "\t", "&#9;")
)

// printer collects the text. double holds inside of an element that has it.
// Metadata is inside of an element that has double quotes; all below it has them, too.
type printer struct {
	strings.Builder
	double bool
}

// render prints n as a block of lines that starts at the given level.
// Every line ends with a newline, the last one included.
func render(n *node, level int) string {
	var p printer
	p.block(n, level)
	return p.String()
}

// fragment prints n for keeping: no indentation of its own, no final newline.
// It is the form of leftovers and of attached metadata.
func fragment(n *node) string { return strings.TrimSuffix(render(n, 0), "\n") }

// Each element that is not inside of text is one.
func (p *printer) block(n *node, level int) {
	p.indent(level)
	p.node(n, level)
	p.WriteByte('\n')
}

// Levels are two blanks deep, as clients of the interface know it.
func (p *printer) indent(level int) {
	for range level {
		p.WriteString("  ")
	}
}

// node prints n without what comes before and after it on its lines.
func (p *printer) node(n *node, level int) {
	switch n.kind {
	case text:
		p.text(n.text)
	case comment:
		p.WriteString("<!--" + n.text + "-->")
	case instruction:
		p.instruction(n)
	default:
		outer := p.double
		p.double = outer || n.double
		p.element(n, level)
		p.double = outer
	}
}

// instruction prints <?target text?>; what is in it is never escaped.
// "?>" cannot be in it: it ends there when it is read.
func (p *printer) instruction(n *node) {
	p.WriteString("<?" + n.name)
	if n.text != "" {
		p.WriteString(" " + n.text)
	}
	p.WriteString("?>")
}

// element prints an element without children as an empty one.
// Children of mixed content are printed inline; all others get lines of their own.
func (p *printer) element(n *node, level int) {
	p.WriteString("<" + n.name)
	for i := range n.attrs {
		p.attr(&n.attrs[i])
	}
	if len(n.kids) == 0 {
		p.WriteString("/>")
		return
	}
	p.WriteByte('>')
	if n.mixed() {
		p.inline(n)
	} else {
		p.WriteByte('\n')
		for _, kid := range n.kids {
			p.block(kid, level+1)
		}
		p.indent(level)
	}
	p.WriteString("</" + n.name + ">")
}

// inline prints everything inside n without adding white space anywhere.
// Quotes are those of the element around: inside of text nothing starts anew.
func (p *printer) inline(n *node) {
	for _, kid := range n.kids {
		if kid.kind != element {
			p.node(kid, 0)
			continue
		}
		p.WriteString("<" + kid.name)
		for i := range kid.attrs {
			p.attr(&kid.attrs[i])
		}
		if len(kid.kids) == 0 {
			p.WriteString("/>")
			continue
		}
		p.WriteByte('>')
		p.inline(kid)
		p.WriteString("</" + kid.name + ">")
	}
}

// Errors are impossible: a strings.Builder has none.
func (p *printer) attr(a *attr) {
	quote, escape := "'", escapeAttr
	if p.double {
		quote, escape = `"`, escapeMetaAttr
	}
	p.WriteString(" " + a.name + "=" + quote)
	_, _ = escape.WriteString(p, clean(a.value))
	p.WriteString(quote)
}

// Inside of metadata, quotes stay as they are.
func (p *printer) text(content string) {
	escape := escapeText
	if p.double {
		escape = escapeMetaText
	}
	_, _ = escape.WriteString(p, clean(content))
}

// clean leaves out what no document can hold, so that a text that was set
// without a document (a description, say) cannot make one that nobody can read
// again. Bytes that are not UTF-8 become U+FFFD.
// The check for a clean text comes first, as almost every text is.
func clean(text string) string {
	if utf8.ValidString(text) && strings.IndexFunc(text, illegal) < 0 {
		return text
	}
	return strings.Map(func(r rune) rune {
		if illegal(r) {
			return -1
		}
		return r
	}, text)
}

// It is legal with the other answer, in the form that strings.IndexFunc takes.
func illegal(r rune) bool { return !legal(r) }

// mixed elements have text directly in them.
// Blank text counts as well: tidy has removed what is layout only.
func (n *node) mixed() bool {
	for _, kid := range n.kids {
		if kid.kind == text {
			return true
		}
	}
	return false
}
