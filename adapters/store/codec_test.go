package store

import (
	"crypto/rand"
	"encoding/json"
	"strings"

	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/host"
	"virtlxcd/ports"
)

// jsonCodec is a codec whose documents are JSON below the header comment. It
// is strict: trailing bytes and half documents are errors.
type jsonCodec struct{}

func decode(document string, into any) error {
	if i := strings.Index(document, "-->"); i >= 0 {
		document = document[i+len("-->"):]
	}
	if err := json.Unmarshal([]byte(document), into); err != nil {
		return fault.Wrap(err, fault.Malformed, "cannot read document")
	}
	return nil
}

func encode(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func (jsonCodec) Parse(document string) (*container.Definition, error) {
	d := new(container.Definition)
	if err := decode(document, d); err != nil {
		return nil, err
	}
	return d, nil
}

func (c jsonCodec) ParseStored(document string) (*container.Definition, ports.Drawn, error) {
	d, err := c.Parse(document)
	if err != nil || d.UUID != (container.UUID{}) {
		return d, ports.Drawn{}, err
	}
	rand.Read(d.UUID[:])
	return d, ports.Drawn{UUID: true}, nil
}

func (jsonCodec) ParseStatus(document string) (*container.Status, error) {
	s := new(container.Status)
	if err := decode(document, s); err != nil {
		return nil, err
	}
	if s.Definition == nil {
		return nil, fault.New(fault.Malformed, fault.Document, "no definition in status")
	}
	return s, nil
}

func (jsonCodec) Format(d *container.Definition, how ports.Format) string {
	if how.ID != container.NoID || !how.Inactive || !how.Secure {
		return "wrong view"
	}
	return encode(d)
}

func (jsonCodec) FormatStatus(s *container.Status) string { return encode(s) }

func (jsonCodec) Peek(string) (string, container.UUID, bool, error) {
	return "", container.UUID{}, false, nil
}
func (jsonCodec) Capabilities(*host.Facts) string { return "" }
func (jsonCodec) Metadata(_, _, _ string) (container.Metadata, error) {
	return container.Metadata{}, nil
}
