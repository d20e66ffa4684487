package domxml

import "strings"

// nodeKind says what a node is; most are elements.
// Comments and instructions are kept only inside of leftovers and metadata.
type nodeKind uint8

const (
	element nodeKind = iota
	text
	comment
	instruction
)

// node is one piece of a document. Reading a definition takes the nodes and
// attributes that have a field; what is left over at the end is kept as it is.
type node struct {
	kind  nodeKind
	name  string // with its prefix; the target of an instruction
	local string
	space string // URI
	text  string // of everything but elements
	attrs []attr
	kids  []*node

	double bool // printed with double quotes, as attached metadata is
	taken  bool // stands in a field; its attributes and children may still be left over
	owner  bool // keeps its leftovers itself
}

// attr is an attribute. Declarations of namespaces are attributes, too.
type attr struct {
	name, space string // with its prefix; the URI of that, if it was declared
	value       string
	taken       bool // stands in a field
}

// el makes an element from pairs of attribute name and value.
// Names have no namespace. An odd last argument is dropped.
func el(name string, pairs ...string) *node {
	n := &node{name: name, local: name}
	for i := 0; i+1 < len(pairs); i += 2 {
		n.attrs = append(n.attrs, attr{name: pairs[i], value: pairs[i+1]})
	}
	return n
}

// leaf makes an element that holds content, empty if content is.
// Pairs are those of el.
func leaf(name, content string, pairs ...string) *node {
	n := el(name, pairs...)
	n.setText(content)
	return n
}

// add appends children and returns n, so that trees can be written down as such.
// A child belongs to one parent.
func (n *node) add(kids ...*node) *node {
	n.kids = append(n.kids, kids...)
	return n
}

// setText replaces everything inside n.
// An empty text leaves no child, so that the element is printed as an empty one.
func (n *node) setText(content string) {
	n.kids = nil
	if content != "" {
		n.kids = []*node{{kind: text, text: content}}
	}
}

// set changes the attribute of the name where it stands, or adds it at the end.
// The name is compared as it is spelled, prefix included.
func (n *node) set(name, value string) {
	for i := range n.attrs {
		if n.attrs[i].name == name {
			n.attrs[i].value = value
			return
		}
	}
	n.attrs = append(n.attrs, attr{name: name, value: value})
}

// is matches elements without a namespace.
// A foreign element that happens to have the name is another one.
func (n *node) is(name string) bool {
	return n.kind == element && n.space == "" && n.name == name
}

// attr looks at an attribute without taking it. A nil node has none.
func (n *node) attr(name string) (string, bool) {
	if n == nil {
		return "", false
	}
	for i := range n.attrs {
		if n.attrs[i].name == name {
			return n.attrs[i].value, true
		}
	}
	return "", false
}

// get is attr for callers to whom absent and empty are the same.
func (n *node) get(name string) string {
	value, _ := n.attr(name)
	return value
}

// take returns an attribute and marks it as understood. A nil node has none.
// What is taken is printed by a field or not at all.
func (n *node) take(name string) (string, bool) {
	if n == nil {
		return "", false
	}
	for i := range n.attrs {
		if n.attrs[i].name == name {
			n.attrs[i].taken = true
			return n.attrs[i].value, true
		}
	}
	return "", false
}

// pick is take for callers to whom absent and empty are the same.
func (n *node) pick(name string) string {
	value, _ := n.take(name)
	return value
}

// find returns the first child of the name without taking it.
// It makes chains possible: a child of an element that is not there is not there.
func (n *node) find(name string) *node {
	if n == nil {
		return nil
	}
	for _, kid := range n.kids {
		if kid.is(name) {
			return kid
		}
	}
	return nil
}

// one takes the first child of the name. Further ones are removed: an element
// that may stand once counts only where it stands first.
// Those that are removed are no leftovers: others do not read them either.
func (n *node) one(name string) *node {
	if n == nil {
		return nil
	}
	var first *node
	kept := n.kids[:0]
	for _, kid := range n.kids {
		if !kid.is(name) {
			kept = append(kept, kid)
			continue
		}
		if first == nil {
			first = kid
			kid.taken = true
			kept = append(kept, kid)
		}
	}
	n.kids = kept
	return first
}

// all takes every child of the name.
// The order is that of the document, which counts for arguments and consoles.
func (n *node) all(name string) []*node {
	var found []*node
	for _, kid := range n.each(name) {
		kid.taken = true
		found = append(found, kid)
	}
	return found
}

// each returns every child of the name without taking it.
func (n *node) each(name string) []*node {
	if n == nil {
		return nil
	}
	var found []*node
	for _, kid := range n.kids {
		if kid.is(name) {
			found = append(found, kid)
		}
	}
	return found
}

// remove drops the children for which gone says so.
// The list of children is changed in place: nobody may be walking over it.
func (n *node) remove(gone func(*node) bool) {
	kept := n.kids[:0]
	for _, kid := range n.kids {
		if !gone(kid) {
			kept = append(kept, kid)
		}
	}
	n.kids = kept
}

// content is the text directly inside n.
// Text inside of children does not count. Several pieces of it are joined; comments
// between them leave no trace.
func (n *node) content() string {
	if n == nil {
		return ""
	}
	if len(n.kids) == 1 && n.kids[0].kind == text {
		return n.kids[0].text
	}
	var b strings.Builder
	for _, kid := range n.kids {
		if kid.kind == text {
			b.WriteString(kid.text)
		}
	}
	return b.String()
}

// word takes the text of the first child of the name.
func (n *node) word(name string) string { return n.one(name).content() }
