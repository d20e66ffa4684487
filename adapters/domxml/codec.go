// Package domxml turns domain documents into definitions and back. It prints
// what clients of the interface expect, down to order, quotes and indentation,
// and it loses nothing: what a definition has no field for is kept as leftovers
// and printed where it belongs.
//
// The language is libvirt's formatdomain, read as its LXC driver reads it: the
// same defaults, the same refusals with the same texts, since clients compare
// them. The way of a document:
//
//	scanner    well-formed tokens, within limits      scan.go
//	builder    a tree of nodes, prefixes resolved      tree.go
//	reader     takes from the tree what has a field    read*.go
//	leftovers  keeps what the reader did not take      leftover.go
//	writer     makes the tree of a definition          write*.go
//	arrange    puts it in printing order               order.go
//	printer    prints it                               print.go
//
// Two properties hold for every document that is accepted, and the tests rest
// on them: its printed form is accepted too and means the same, and printing that
// again changes nothing.
package domxml

import (
	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// Options are facts about the host that appear in every document.
type Options struct {
	Arch     string // of the host, as the kernel names it (uname(2)): what a document without one gets
	Emulator string // path that is shown as emulator where none was written
}

// Codec implements ports.Codec. It has no state, so it is safe from any
// goroutine as far as its Entropy is. Definitions it is given are only read;
// those it returns are the caller's.
type Codec struct {
	entropy ports.Entropy
	options Options
}

var _ ports.Codec = (*Codec)(nil)

// New returns a codec for a host. Of entropy is taken what documents leave out:
// the uuid, and an address for each interface without one.
// Both are kept; options are taken as they are, also when they are empty.
func New(entropy ports.Entropy, options Options) *Codec {
	return &Codec{entropy: entropy, options: options}
}

// The labels stand for a file name in messages about documents that are not
// well formed; clients know the first and the last.
const (
	definitionLabel = "(domain_definition)"
	statusLabel     = "(domain_status)"
	metadataLabel   = "(metadata_xml)"
)

// headroom is kept free below the size of the longest string on the wire, for
// what a running container's document has in addition.
const headroom = 64 << 10

// Parse reads a document as a client sends it or the store kept it: what can
// only be known of a running container (id, terminals, aliases, chosen names of
// links) is ignored, so what was read while it ran defines the same container.
//
// What is wrong with a document is told by kind and area, which become code and
// origin of the error: Malformed for one that is not XML or too large,
// BadDefinition for one that makes no sense, UnsupportedConfig for what no
// container can have, InvalidArgument for what this host cannot run, NoName,
// NoSource and NoTarget for what is missing, Overflow for sizes, and Internal
// where clients expect just that. Errors of Entropy come as they are.
func (c *Codec) Parse(document string) (*container.Definition, error) {
	root, err := parseTree(definitionLabel, document, clientLimits)
	if err != nil {
		return nil, err
	}
	def, err := c.read(root, false)
	if err != nil {
		return nil, err
	}
	if err := c.checkPrinted(def); err != nil {
		return nil, err
	}
	return def, nil
}

// ParseStored is Parse that watches what is drawn. What was drawn is told with an
// error, too.
// A stored document of which something was drawn has to be saved again, or it would
// be another container after the next start of the daemon.
func (c *Codec) ParseStored(document string) (*container.Definition, ports.Drawn, error) {
	watched := &watchedEntropy{Entropy: c.entropy}
	def, err := New(watched, c.options).Parse(document)
	return def, watched.drawn, err
}

// watchedEntropy notes what was asked of it.
// It lives for one document, so it needs no lock.
type watchedEntropy struct {
	ports.Entropy
	drawn ports.Drawn
}

// NewUUID implements ports.Entropy.
func (w *watchedEntropy) NewUUID() (container.UUID, error) {
	w.drawn.UUID = true
	return w.Entropy.NewUUID()
}

// NewMAC implements ports.Entropy.
func (w *watchedEntropy) NewMAC() ([6]byte, error) {
	w.drawn.Addresses = true
	return w.Entropy.NewMAC()
}

// checkPrinted refuses a document whose printed form could not be read again:
// defaults that are filled in and namespaces that are declared where they are
// used take room, and what is stored must come back after a restart. The
// printed form is measured before it is built a second time.
// The measure is the stored form: what a container has in addition while it runs
// must fit into the headroom, or its document could not be sent.
func (c *Codec) checkPrinted(def *container.Definition) error {
	printed := c.Format(def, ports.Format{ID: container.NoID, Inactive: true})
	if len(printed) <= clientLimits.bytes-headroom {
		if _, err := parseTree(definitionLabel, printed, clientLimits); err == nil {
			return nil
		}
	}
	return fault.New(fault.Malformed, fault.API, "%s: the document is too large with its defaults filled in", definitionLabel)
}

// Format prints a definition as lines of two blanks per level, with a newline at
// the end. It cannot fail: a definition that did not come from Parse is printed
// without what no document can hold. Nothing in a definition is secret, so
// how.Secure makes no difference: graphics, which alone have a password, are
// refused.
// Printing the same definition twice gives the same bytes.
func (c *Codec) Format(def *container.Definition, how ports.Format) string {
	return render(c.tree(def, how), 0)
}
