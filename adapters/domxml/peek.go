package domxml

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"virtlxcd/domain/container"
)

// Peek reads name and uuid alone and stops where it has both. It sees the
// same ones as Parse: the first of each directly below the root.
func (c *Codec) Peek(document string) (name string, uuid container.UUID, hasUUID bool, err error) {
	s, err := newScanner(definitionLabel, document, clientLimits)
	if err != nil {
		return "", uuid, false, err
	}
	p := peeker{scanner: s, found: map[string]*strings.Builder{}}
	if err := p.run(); err != nil {
		return "", uuid, false, err
	}
	name = p.value("name")
	if name == "" {
		return "", uuid, false, nameless()
	}
	uuid, hasUUID, err = readUUID(p.value("uuid"))
	return name, uuid, hasUUID, err
}

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

type peeker struct {
	scanner *scanner
	depth   int
	space   string // default namespace of the root
	found   map[string]*strings.Builder
	inside  *strings.Builder // of the element at depth 2, if it is one of ours
}

func (p *peeker) value(name string) string {
	if b := p.found[name]; b != nil {
		return b.String()
	}
	return ""
}

func (p *peeker) run() error {
	for p.inside != nil || len(p.found) < 2 {
		token, err := p.scanner.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := p.token(token); err != nil {
			return err
		}
	}
	return nil
}

func (p *peeker) token(token xml.Token) error {
	switch token := token.(type) {
	case xml.StartElement:
		p.depth++
		return p.start(token)
	case xml.EndElement:
		p.depth--
		if p.depth == 1 {
			p.inside = nil
		}
	case xml.CharData:
		if p.depth == 2 && p.inside != nil {
			p.inside.Write(token)
		}
	}
	return nil
}

func (p *peeker) start(token xml.StartElement) error {
	space := p.space
	for _, a := range token.Attr {
		if prefix, declares := declaration(a.Name); declares && prefix == "" {
			space = a.Value
		}
	}
	name := qualified(token.Name)
	switch p.depth {
	case 1:
		p.space = space
		return checkRoot(name)
	case 2:
		if (name == "name" || name == "uuid") && space == "" && p.found[name] == nil {
			p.inside = &strings.Builder{}
			p.found[name] = p.inside
		}
	}
	return nil
}

func checkRoot(name string) error {
	if name != "domain" {
		return badStructure("expecting root element of '%s', not '%s'", "domain", name)
	}
	return nil
}
