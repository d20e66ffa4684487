package domxml

// tidy drops the white space that only lays out the source, in n and below,
// so that it can be laid out anew. Blank text is content where it is all there
// is, and where its element starts with text or text precedes it.
// Running it twice changes nothing, which the second property of the package rests on.
func (n *node) tidy() *node {
	if n.kind != element {
		return n
	}
	if len(n.kids) == 1 && n.kids[0].kind == text {
		return n
	}
	kept := n.kids[:0]
	for _, kid := range n.kids {
		if kid.kind == text && isBlank(kid.text) && (len(kept) == 0 || kept[0].kind != text) {
			continue
		}
		kept = append(kept, kid.tidy())
	}
	n.kids = kept
	return n
}

// contain makes n independent of what surrounds it: namespaces declared
// further out are declared on n itself.
// The added declarations come first and in the order of use, so the text is the same
// every time.
func (n *node) contain() *node {
	c := containment{declared: map[string]int{}}
	c.walk(n)
	var added []attr
	for _, need := range c.needs {
		added = append(added, declare(need.prefix, need.uri))
	}
	n.attrs = append(added, n.attrs...)
	return n
}

// declare makes the attribute that gives prefix its meaning.
// The attribute has no namespace of its own.
func declare(prefix, uri string) attr {
	if prefix == "" {
		return attr{name: "xmlns", value: uri}
	}
	return attr{name: "xmlns:" + prefix, value: uri}
}

// need is a prefix in use that nothing inside the element declares.
type need struct{ prefix, uri string }

// containment is the state of one walk.
type containment struct {
	declared map[string]int // open elements that declare the prefix
	needs    []need
}

// walk looks for uses of prefixes outside of what declares them.
// Declarations of n hold for its own name too, so they are counted first.
func (c *containment) walk(n *node) {
	if n.kind != element {
		return
	}
	own := declaredOn(n)
	for _, prefix := range own {
		c.declared[prefix]++
	}
	c.use(prefixOf(n.name), n.space)
	for i := range n.attrs {
		if n.attrs[i].space != "" {
			c.use(prefixOf(n.attrs[i].name), n.attrs[i].space)
		}
	}
	for _, kid := range n.kids {
		c.walk(kid)
	}
	for _, prefix := range own {
		c.declared[prefix]--
	}
}

// use notes a need once: on the outermost element the declaration holds for all.
// xml needs no declaration, and a name without a namespace has none to declare.
func (c *containment) use(prefix, uri string) {
	if uri == "" || prefix == "xml" || c.declared[prefix] > 0 {
		return
	}
	c.declared[prefix]++ // for good
	c.needs = append(c.needs, need{prefix, uri})
}

// declaredOn lists the prefixes that n declares itself, "" for the default.
func declaredOn(n *node) []string {
	var prefixes []string
	for i := range n.attrs {
		switch name := n.attrs[i].name; {
		case name == "xmlns":
			prefixes = append(prefixes, "")
		case prefixOf(name) == "xmlns":
			prefixes = append(prefixes, name[len("xmlns:"):])
		}
	}
	return prefixes
}
