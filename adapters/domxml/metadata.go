package domxml

import (
	"encoding/xml"
	"strings"

	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
)

// Metadata checks the element a client attaches under a namespace. What in it
// has no namespace of its own gets this one, declared under prefix on the
// element itself:
//
//	<app><b/></app>   under p, urn:x   becomes   <p:app xmlns:p="urn:x"><p:b/></p:app>
//
// An element that has the namespace already keeps its own prefix. Kind Malformed
// for an element that is not well formed, too large or of another namespace, and
// for a prefix or namespace that cannot be written down; with an error the
// result is zero. How much a definition holds in all is not looked at.
// The limits here are lower than those of documents: what is accepted must fit into a
// definition beside everything else.
//
// Setting it twice replaces the first: that is the caller's business.
func (c *Codec) Metadata(text, prefix, namespace string) (container.Metadata, error) {
	n, err := parseTree(metadataLabel, text, metadataLimits)
	if err != nil {
		return container.Metadata{}, err
	}
	if err := checkPrefix(prefix, namespace); err != nil {
		return container.Metadata{}, err
	}
	if n.space != "" && n.space != namespace {
		return container.Metadata{}, brief(fault.New(fault.Malformed, fault.API,
			"%s: the element belongs to the namespace '%s', not '%s'", metadataLabel, n.space, namespace))
	}
	if !inject(n, prefix, namespace) {
		return container.Metadata{}, brief(fault.New(fault.Malformed, fault.API,
			"%s: a prefix of the element is not declared, or '%s' is declared for another namespace", metadataLabel, prefix))
	}
	m := attached(n)
	if len(m.Text) > metadataLimits.bytes {
		return container.Metadata{}, fault.New(fault.Malformed, fault.API,
			"%s: the element is longer than %d bytes as it is printed", metadataLabel, metadataLimits.bytes)
	}
	return m, nil
}

// maxPrefix bounds a prefix, in bytes: it is repeated for each element.
// Names of a few hundred bytes would make a small element a large one.
const maxPrefix = 256

// checkPrefix makes sure that prefix and namespace can be written down.
// "xml" and what begins with it is reserved (Namespaces in XML 1.0, section 3).
func checkPrefix(prefix, namespace string) error {
	if len(prefix) > maxPrefix || !isName(prefix) || strings.HasPrefix(prefix, "xml") {
		return fault.New(fault.Malformed, fault.API, "failed to validate prefix for a new XML namespace")
	}
	s := scanner{label: metadataLabel, document: namespace}
	if err := s.checkCharacters(); err != nil || namespace == "" || reserved(namespace) {
		return fault.New(fault.Malformed, fault.API, "failed to create a new XML namespace")
	}
	return nil
}

// isName lets the decoder judge: a name is what it takes for one, whole.
// A prefix with a blank or a bracket in it would else become more than a name.
func isName(text string) bool {
	token, err := xml.NewDecoder(strings.NewReader("<a " + text + "='1'/>")).RawToken()
	start, ok := token.(xml.StartElement)
	return err == nil && ok && len(start.Attr) == 1 && start.Attr[0].Name == xml.Name{Local: text} && !badName(start.Attr[0].Name)
}

// inject gives the namespace to every element from n on that has none. It
// fails where the prefix is declared for something else, and where an element
// has a prefix that nobody declared.
// On failure n is half changed: the caller throws it away.
// Text and comments have no namespace.
func inject(n *node, prefix, namespace string) bool {
	if n.kind != element {
		return true
	}
	if bound, declared := n.attr("xmlns:" + prefix); declared && bound != namespace {
		return false
	}
	if n.space == "" && prefixOf(n.name) != "" {
		return false
	}
	if n.space == "" {
		n.space, n.name = namespace, prefix+":"+n.local
	}
	for _, kid := range n.kids {
		if !inject(kid, prefix, namespace) {
			return false
		}
	}
	return true
}
