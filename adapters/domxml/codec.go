// Package domxml turns domain documents into definitions and back. It prints
// what clients of the interface expect, down to order, quotes and indentation,
// and it loses nothing: what a definition has no field for is kept as leftovers
// and printed where it belongs.
package domxml

import (
	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// Options are facts about the host that appear in every document.
type Options struct {
	Arch     string // of the host, as the kernel names it
	Emulator string // path that is shown as emulator where none was written
}

// Codec implements ports.Codec. It has no state.
type Codec struct {
	entropy ports.Entropy
	options Options
}

var _ ports.Codec = (*Codec)(nil)

// New returns a codec for a host.
func New(entropy ports.Entropy, options Options) *Codec {
	return &Codec{entropy: entropy, options: options}
}

const (
	definitionLabel = "(domain_definition)"
	statusLabel     = "(domain_status)"
	metadataLabel   = "(metadata_xml)"
)

// headroom is kept free below the size of the longest string on the wire, for
// what a running container's document has in addition.
const headroom = 64 << 10

// Parse reads a document as a client sends it or the store kept it: what can
// only be known of a running container is ignored.
func (c *Codec) Parse(document string) (*container.Definition, error) {
	root, err := parseTree(definitionLabel, document, clientLimits)
	if err != nil {
		return nil, err
	}
	def, err := c.read(root, false)
	if err != nil {
		return nil, err
	}
	return def, c.checkSize(def)
}

// ParseStored is Parse that watches what is drawn.
func (c *Codec) ParseStored(document string) (*container.Definition, ports.Drawn, error) {
	watched := &watchedEntropy{Entropy: c.entropy}
	def, err := New(watched, c.options).Parse(document)
	return def, watched.drawn, err
}

// watchedEntropy notes what was asked of it.
type watchedEntropy struct {
	ports.Entropy
	drawn ports.Drawn
}

func (w *watchedEntropy) NewUUID() (container.UUID, error) {
	w.drawn.UUID = true
	return w.Entropy.NewUUID()
}

func (w *watchedEntropy) NewMAC() ([6]byte, error) {
	w.drawn.Addresses = true
	return w.Entropy.NewMAC()
}

// checkSize refuses a document that grows so much when it is printed with all
// its defaults that it could not be read again.
func (c *Codec) checkSize(def *container.Definition) error {
	root := c.tree(def, ports.Format{ID: container.NoID, Inactive: true})
	if root.count() > 2*clientLimits.elements || elements(root) > clientLimits.elements ||
		len(render(root, 0)) > clientLimits.bytes-headroom {
		return fault.New(fault.Malformed, fault.API, "%s: the document is too large with its defaults filled in", definitionLabel)
	}
	return nil
}

// elements counts what the scanner counts.
func elements(n *node) int {
	if n.kind == text {
		return 0
	}
	total := 1
	for _, kid := range n.kids {
		total += elements(kid)
	}
	return total
}

// Format prints a definition.
func (c *Codec) Format(def *container.Definition, how ports.Format) string {
	return render(c.tree(def, how), 0)
}
