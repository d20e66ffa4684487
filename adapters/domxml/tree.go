package domxml

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
)

// Namespaces with a meaning of their own: that of the prefix xml, which needs no
// declaration, and that of the elements by which a container shares namespaces
// of the kernel with others.
const (
	xmlSpace = "http://www.w3.org/XML/1998/namespace"
	lxcSpace = "http://libvirt.org/schemas/domain/lxc/1.0"
	// xmlnsSpace belongs to the declarations themselves: nobody may declare it
	// (Namespaces in XML 1.0, section 3).
	xmlnsSpace = "http://www.w3.org/2000/xmlns/"
)

// scope resolves prefixes. Each has a stack, so that looking one up costs the
// same however deep the document is.
// It belongs to one builder, and is empty of the document's declarations at its end.
type scope struct {
	bound map[string][]string
	live  int // declarations in force
}

// newScope knows xml, and lxc because the formatter may declare that prefix on
// the root: a document must not change its meaning by being printed.
func newScope() *scope {
	return &scope{bound: map[string][]string{"xml": {xmlSpace}, "lxc": {lxcSpace}}}
}

// push makes uri what the prefix means until the pop that belongs to it.
// Only declarations of the document count as live, not the two that are built in.
func (s *scope) push(prefix, uri string) { s.bound[prefix] = append(s.bound[prefix], uri); s.live++ }

func (s *scope) pop(prefix string) {
	stack := s.bound[prefix]
	s.bound[prefix] = stack[:len(stack)-1]
	s.live--
}

// lookup returns "" for a prefix that nobody declared, and for the default that was
// taken back (xmlns="").
func (s *scope) lookup(prefix string) string {
	stack := s.bound[prefix]
	if len(stack) == 0 {
		return ""
	}
	return stack[len(stack)-1]
}

// builder makes a tree of a scanner's tokens. Text between two other nodes is one
// node, however many tokens it came in; outside the root nothing is kept.
// It is used once. Its tree is the caller's and refers to nothing of the builder.
type builder struct {
	scanner  *scanner
	scope    *scope
	declared [][]string      // prefixes per open element, to be undone at its end
	open     []*node         // from the root to the innermost
	pending  strings.Builder // text in pieces, as the decoder hands it out
	root     *node
}

// parseTree reads a whole document and returns its root.
// Everything that limits and well-formedness forbid is an error before a reader sees
// any of it.
func parseTree(label, document string, limits limits) (*node, error) {
	s, err := newScanner(label, document, limits)
	if err != nil {
		return nil, err
	}
	return (&builder{scanner: s, scope: newScope()}).run()
}

// parseFragment reads back an element that this package printed.
// Its limits are a little above a client's, since namespaces were declared anew in it.
func parseFragment(text string) (*node, error) { return parseTree("(fragment)", text, ownLimits) }

// The scanner ends with io.EOF only behind the end of a root.
func (b *builder) run() (*node, error) {
	for {
		token, err := b.scanner.next()
		if errors.Is(err, io.EOF) {
			return b.root, nil
		}
		if err != nil {
			return nil, err
		}
		if err := b.token(token); err != nil {
			return nil, err
		}
	}
}

// The decoder uses its buffers again, so texts are copied.
func (b *builder) token(token xml.Token) error {
	switch token := token.(type) {
	case xml.StartElement:
		return b.start(token)
	case xml.EndElement:
		b.end()
	case xml.CharData:
		b.pending.Write(token)
	case xml.Comment:
		b.append(&node{kind: comment, text: string(token)})
	case xml.ProcInst:
		b.append(&node{kind: instruction, name: token.Target, text: string(token.Inst)})
	}
	return nil
}

// start opens an element. Its declarations hold for its own name, so they come
// first. Attributes without a prefix have no namespace, whatever the default is.
// The names stay as they were spelled, since they are printed again so.
func (b *builder) start(token xml.StartElement) error {
	if err := b.declare(token.Attr); err != nil {
		return err
	}
	n := &node{name: qualified(token.Name)}
	n.space, n.local = b.resolve(token.Name)
	n.attrs = make([]attr, len(token.Attr))
	for i, a := range token.Attr {
		n.attrs[i] = attr{name: qualified(a.Name), value: a.Value}
		if a.Name.Space != "" && a.Name.Space != "xmlns" {
			n.attrs[i].space = b.scope.lookup(a.Name.Space)
		}
	}
	b.append(n)
	b.open = append(b.open, n)
	return nil
}

// resolve returns namespace and local name. A prefix that nobody declared is
// just a part of the name.
// So "a:b" without a declaration is an element that no reader looks for.
func (b *builder) resolve(name xml.Name) (space, local string) {
	space = b.scope.lookup(name.Space)
	if name.Space != "" && space == "" {
		return "", qualified(name)
	}
	return space, name.Local
}

// declare notes the declarations among attrs. A prefix cannot be taken back, only
// the default can (Namespaces in XML 1.0, section 3).
// The number of them in force is bounded, as any element may have to repeat them all.
func (b *builder) declare(attrs []xml.Attr) error {
	var prefixes []string
	for _, a := range attrs {
		prefix, declares := declaration(a.Name)
		if !declares {
			continue
		}
		if prefix == "xml" || prefix == "xmlns" || reserved(a.Value) || prefix != "" && a.Value == "" {
			return b.scanner.fail("xmlns:%s: invalid declaration of a namespace", prefix)
		}
		b.scope.push(prefix, a.Value)
		prefixes = append(prefixes, prefix)
		if prefix == "lxc" && a.Value == lxcSpace {
			b.scope.live-- // the formatter adds this one by itself
		}
	}
	if b.scope.live > b.scanner.limits.prefixes {
		return b.scanner.fail("more than %d namespaces", b.scanner.limits.prefixes)
	}
	b.declared = append(b.declared, prefixes)
	return nil
}

// reserved namespaces cannot be given another prefix. Strict readers refuse a
// whole document for one, so none may come out of here.
func reserved(uri string) bool { return uri == xmlSpace || uri == xmlnsSpace }

// It undoes what declare did, in particular its exception for lxc.
func (b *builder) end() {
	b.flush()
	last := len(b.open) - 1
	for _, prefix := range b.declared[last] {
		if prefix == "lxc" && b.scope.lookup(prefix) == lxcSpace {
			b.scope.live++
		}
		b.scope.pop(prefix)
	}
	b.open, b.declared = b.open[:last], b.declared[:last]
}

// flush turns the pending text into one node.
// It must come before anything is hung in, or text and elements would change places.
func (b *builder) flush() {
	if b.pending.Len() == 0 {
		return
	}
	parent := b.open[len(b.open)-1]
	parent.kids = append(parent.kids, &node{kind: text, text: b.pending.String()})
	b.pending.Reset()
}

// append hangs n into the innermost open element.
// Comments and instructions beside the root are dropped here.
func (b *builder) append(n *node) {
	b.flush()
	switch {
	case len(b.open) > 0:
		parent := b.open[len(b.open)-1]
		parent.kids = append(parent.kids, n)
	case n.kind == element:
		b.root = n
	}
}

// prefixOf is "" for a name without one.
// Of a declaration, "xmlns:p", it is "xmlns".
func prefixOf(name string) string {
	prefix, _, ok := strings.Cut(name, ":")
	if !ok {
		return ""
	}
	return prefix
}
