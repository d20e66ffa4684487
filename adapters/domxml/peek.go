package domxml

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
)

// Both keep a document of a client without rights from costing much.
const (
	// explained is up to which size a document in which Peek finds no identity is
	// parsed for the sake of a precise answer.
	explained = 32 << 10
	// maxIdentity bounds the elements name and uuid, in bytes. Names that can be
	// stored are much shorter.
	maxIdentity = 64 << 10
)

// Peek looks for name and uuid alone and stops where it has both. It sees the
// same ones as Parse: the first of each directly below the root. What a document
// without a uuid costs is to read over it once, and nothing is kept. That Peek
// succeeds says nothing about the rest of the document; that it fails says that
// Parse would. Kinds Malformed, BadDefinition, NoName and, for a uuid, Internal.
// The daemon asks it which container a document is about, in order to decide whether
// the client may define that one.
func (c *Codec) Peek(document string) (name string, uuid container.UUID, hasUUID bool, err error) {
	name, uuid, hasUUID, err = peek(document)
	if err != nil && len(document) <= explained {
		if _, why := c.Parse(document); why != nil {
			err = why
		}
	}
	return name, uuid, hasUUID, err
}

// peek is Peek without the better explanation.
// The bound on the size comes first, as in Parse.
func peek(document string) (name string, uuid container.UUID, hasUUID bool, err error) {
	if len(document) > clientLimits.bytes {
		return "", uuid, false, tooLong(definitionLabel, clientLimits)
	}
	s := skimmer{document: strings.TrimPrefix(document, "\ufeff")}
	if err := s.run(); err != nil {
		return "", uuid, false, err
	}
	name, err = s.name.content()
	if err == nil && name == "" {
		err = nameless()
	}
	if err != nil {
		return "", uuid, false, err
	}
	text, err := s.uuid.content()
	if err != nil {
		return "", uuid, false, err
	}
	uuid, hasUUID, err = readUUID(text)
	return name, uuid, hasUUID, err
}

// readUUID takes an empty element for none: the uuid is to be made up then.
// Digits may be written with or without hyphens, as container.ParseUUID takes them.
func readUUID(text string) (uuid container.UUID, has bool, err error) {
	if text == "" {
		return uuid, false, nil
	}
	uuid, err = container.ParseUUID(text)
	if err != nil {
		return uuid, false, internal("malformed uuid element")
	}
	return uuid, true, nil
}

// excerpt is an element as it stands in a document; empty: there is none.
type excerpt string

// content is the text directly in the element.
// The excerpt was not checked when it was found, so it is scanned here like a document,
// and references in it are resolved. Text inside of children does not count.
func (f excerpt) content() (string, error) {
	if f == "" {
		return "", nil
	}
	if len(f) > maxIdentity {
		return "", fault.New(fault.Malformed, fault.API, "%s: name or uuid are longer than %d bytes", definitionLabel, maxIdentity)
	}
	s, err := newScanner(definitionLabel, string(f), clientLimits)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	for {
		token, err := s.next()
		if errors.Is(err, io.EOF) {
			return text.String(), nil
		}
		if err != nil {
			return "", err
		}
		if data, ok := token.(xml.CharData); ok && len(s.stack) == 1 {
			text.Write(data)
		}
	}
}

// checkRoot wants a document of the right kind; its namespace does not matter.
// Parse and Peek share it, so that both give the same refusal.
func checkRoot(name string) error {
	if name != "domain" {
		return badStructure("expecting root element of '%s', not '%s'", "domain", name)
	}
	return nil
}
