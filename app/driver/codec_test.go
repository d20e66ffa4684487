package driver_test

import (
	"encoding/json"
	"fmt"
	"strings"

	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/host"
	"virtlxcd/ports"
)

// codec stands in for documents: they are the definitions as JSON. Missing
// UUIDs come from entropy, as the port wants it.
type codec struct{ entropy ports.Entropy }

const maxDocument = 16 << 10

func (c codec) parse(document string) (*container.Definition, error) {
	if len(document) > maxDocument {
		return nil, fault.New(fault.Malformed, fault.API, "too large")
	}
	definition := &container.Definition{}
	if _, printed, found := strings.Cut(document, "\n"); found {
		document = printed
	}
	if err := json.Unmarshal([]byte(document), definition); err != nil {
		return nil, fault.Wrap(err, fault.Malformed, "cannot parse")
	}
	return definition, nil
}

func (c codec) Peek(document string) (string, container.UUID, bool, error) {
	var d container.Identity
	if err := json.Unmarshal([]byte(document), &d); err != nil {
		return "", container.UUID{}, false, fault.Wrap(err, fault.Malformed, "cannot parse")
	}
	return d.Name, d.UUID, d.UUID != container.UUID{}, nil
}

func (c codec) Parse(document string) (*container.Definition, error) {
	d, err := c.parse(document)
	if err == nil && d.Name == "" {
		err = fault.New(fault.NoName, fault.API, "no name")
	}
	if err == nil && d.UUID == (container.UUID{}) {
		d.UUID, err = c.entropy.NewUUID()
	}
	return d, err
}

func (c codec) ParseStored(string) (*container.Definition, ports.Drawn, error) {
	return nil, ports.Drawn{}, fault.NotImplemented
}

// Format says in a line of its own how it was asked.
func (c codec) Format(definition *container.Definition, how ports.Format) string {
	return fmt.Sprintf("%s '%s' id=%d inactive=%t secure=%t\n", definition.Name, definition.Description, how.ID, how.Inactive, how.Secure) +
		document(definition)
}

// asked is the line of Format.
func asked(document string) string {
	line, _, _ := strings.Cut(document, "\n")
	return line
}

func (c codec) Metadata(element, prefix, namespace string) (container.Metadata, error) {
	if element == "" || element[0] != '<' {
		return container.Metadata{}, fault.New(fault.Malformed, fault.API, "no element")
	}
	return container.Metadata{Namespace: namespace, Text: prefix + ":" + element}, nil
}

func (c codec) ParseStatus(string) (*container.Status, error) {
	return nil, fault.NotImplemented
}
func (c codec) FormatStatus(*container.Status) string { return "" }
func (c codec) Capabilities(facts *host.Facts) string { return facts.Arch }

// document writes a definition the way the codec reads it.
func document(definition *container.Definition) string {
	text, err := json.Marshal(definition)
	if err != nil {
		panic(err)
	}
	return string(text)
}
