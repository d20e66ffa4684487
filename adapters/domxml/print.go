package domxml

import "strings"

// The printed form: two spaces per level, attributes in single quotes. An
// element that holds text stays on one line with all that is in it, since
// white space there would be content.

var (
	escapeText = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&apos;", `"`, "&quot;", "\r", "&#13;")
	// A reader turns plain white space in attributes into blanks.
	escapeAttr = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&apos;", `"`, "&quot;",
		"\r", "&#13;", "\n", "&#10;", "\t", "&#9;")
	escapeMetaText = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\r", "&#13;")
	escapeMetaAttr = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;",
		"\r", "&#13;", "\n", "&#10;", "\t", "&#9;")
)

type printer struct {
	strings.Builder
	double bool
}

// render prints n as a block of lines that starts at the given level.
func render(n *node, level int) string {
	var p printer
	p.block(n, level)
	return p.String()
}

// fragment prints n for keeping: no indentation of its own, no final newline.
func fragment(n *node) string { return strings.TrimSuffix(render(n, 0), "\n") }

func (p *printer) block(n *node, level int) {
	p.indent(level)
	p.node(n, level)
	p.WriteByte('\n')
}

func (p *printer) indent(level int) {
	for range level {
		p.WriteString("  ")
	}
}

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

func (p *printer) instruction(n *node) {
	p.WriteString("<?" + n.name)
	if n.text != "" {
		p.WriteString(" " + n.text)
	}
	p.WriteString("?>")
}

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

func (p *printer) attr(a *attr) {
	quote, escape := "'", escapeAttr
	if p.double {
		quote, escape = `"`, escapeMetaAttr
	}
	p.WriteString(" " + a.name + "=" + quote)
	_, _ = escape.WriteString(p, a.value)
	p.WriteString(quote)
}

func (p *printer) text(content string) {
	escape := escapeText
	if p.double {
		escape = escapeMetaText
	}
	_, _ = escape.WriteString(p, content)
}

func (n *node) mixed() bool {
	for _, kid := range n.kids {
		if kid.kind == text {
			return true
		}
	}
	return false
}
