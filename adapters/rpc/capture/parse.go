package capture

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// maxPacket bounds what a line may announce; the longest recorded is half of it.
const maxPacket = 8 << 20

var (
	packetLine = regexp.MustCompile(`^\d* +([CS])->[CS]  t=[0-9.]+  (.*)$`)
	rawLine    = regexp.MustCompile(`^ +C->S ([0-9a-f]+) \((\d+) bytes\)$`)
	answerLine = regexp.MustCompile(`^ +S->C (.*)$`)
	headLine   = regexp.MustCompile(`^ +0000 +((?:[0-9a-f]{8} ){6}[0-9a-f]{8})  `)
	fieldLine  = regexp.MustCompile(`^ +([0-9a-f]{4}) +([0-9a-f]*)(\.\.([0-9a-f]*))?  (.*)$`)
	fileLine   = regexp.MustCompile(`^-- ([CS])->[CS]  fd byte \d+ of \d+ 00: SCM_RIGHTS -> (.*)$`)
	endLine    = regexp.MustCompile(`^-- ([CS])->[CS]  EOF`)
	pingLine   = regexp.MustCompile(`^[0-9.]+ (keepalive .*) ([0-9a-f]{56})$`)
	textField  = regexp.MustCompile(`string\((\d+)\) "(.*)"$`)
)

// parser builds an exchange line by line. The fields of a packet are put in when
// the next item begins.
type parser struct {
	e      Exchange
	fields []fieldText
}

type fieldText struct {
	at          int
	front, back []byte
	abbreviated bool // between front and back
	description string
}

func parse(name, text string) (*Exchange, error) {
	p := &parser{e: Exchange{Name: name}}
	for n, line := range strings.Split(text, "\n") {
		if err := p.line(line); err != nil {
			return nil, fmt.Errorf("%s.txt:%d: %w", name, n+1, err)
		}
	}
	if err := p.flush(); err != nil {
		return nil, fmt.Errorf("%s.txt: %w", name, err)
	}
	return &p.e, nil
}

func (p *parser) line(line string) error {
	if m := headLine.FindStringSubmatch(line); m != nil {
		return p.head(strings.ReplaceAll(m[1], " ", ""))
	}
	if m := fieldLine.FindStringSubmatch(line); m != nil {
		return p.field(m)
	}
	if strings.HasPrefix(strings.TrimLeft(line, " "), "... ") && strings.HasPrefix(line, "   ") {
		return nil // fields left out: they stay unknown
	}
	if err := p.flush(); err != nil {
		return err
	}
	if item, ok := p.item(line); ok {
		p.e.Items = append(p.e.Items, item)
	}
	return nil
}

// item reads a line that is not part of a packet's bytes.
func (p *parser) item(line string) (Item, bool) {
	switch {
	case line == "":
		return Item{}, false
	case strings.HasPrefix(line, "## "):
		return Item{Kind: Section, Label: line[3:]}, true
	case strings.HasPrefix(line, "#"):
		if p.e.Title == "" {
			p.e.Title = strings.TrimSpace(line[1:])
		}
		return Item{}, false
	case strings.HasPrefix(line, "... "):
		return Item{Kind: Elided, Label: line}, true
	case line == "30.0 EOF":
		return Item{Kind: End, From: Server, Label: line}, true
	}
	if m := packetLine.FindStringSubmatch(line); m != nil {
		return Item{Kind: Packet, From: side(m[1]), Label: m[2]}, true
	}
	if m := fileLine.FindStringSubmatch(line); m != nil {
		return Item{Kind: File, From: side(m[1]), Label: m[2]}, true
	}
	if m := endLine.FindStringSubmatch(line); m != nil {
		return Item{Kind: End, From: side(m[1]), Label: line}, true
	}
	return rawItem(line), true
}

// rawItem reads the notation of the recording of malformed packets, and pings.
func rawItem(line string) Item {
	if m := rawLine.FindStringSubmatch(line); m != nil {
		size, _ := strconv.Atoi(m[2])
		front, _ := hex.DecodeString(m[1])
		return partial(front, min(size, maxPacket), line)
	}
	if m := pingLine.FindStringSubmatch(line); m != nil {
		raw, _ := hex.DecodeString(m[2])
		return Item{Kind: Packet, From: Server, Label: m[1], Bytes: raw}
	}
	m := answerLine.FindStringSubmatch(line)
	switch {
	case m == nil:
		return Item{Kind: Note, Label: strings.TrimSpace(line)}
	case strings.HasPrefix(m[1], "(no answer"):
		return Item{Kind: Silence, From: Server, Label: m[1]}
	case m[1] == "(connection closed)":
		return Item{Kind: End, From: Server, Label: m[1]}
	}
	return Item{Kind: Packet, From: Server, Label: m[1]}
}

// partial is a packet of which only the front was written down.
func partial(front []byte, size int, label string) Item {
	item := Item{Kind: Packet, From: Client, Label: strings.TrimSpace(label), Bytes: make([]byte, size)}
	n := copy(item.Bytes, front)
	if n < size {
		item.known = make([]bool, size)
		for i := range front {
			item.known[i] = true
		}
	}
	return item
}

func side(letter string) Side {
	if letter == "C" {
		return Client
	}
	return Server
}

func (p *parser) current() (*Item, error) {
	if n := len(p.e.Items); n > 0 && p.e.Items[n-1].Kind == Packet {
		return &p.e.Items[n-1], nil
	}
	return nil, fmt.Errorf("bytes without a packet")
}

func (p *parser) head(words string) error {
	item, err := p.current()
	if err != nil {
		return err
	}
	raw, err := hex.DecodeString(words)
	if err != nil {
		return err
	}
	size := int(binary.BigEndian.Uint32(raw))
	if size < len(raw) || size > maxPacket || item.Bytes != nil {
		return fmt.Errorf("packet of %d bytes", size)
	}
	item.Bytes = make([]byte, size)
	item.known = make([]bool, size)
	return item.put(0, raw)
}

func (p *parser) field(m []string) error {
	at, err := strconv.ParseInt(m[1], 16, 32)
	if err != nil {
		return err
	}
	front, err := hex.DecodeString(m[2])
	if err != nil {
		return err
	}
	back, err := hex.DecodeString(m[4])
	if err != nil {
		return err
	}
	p.fields = append(p.fields, fieldText{
		at: int(at), front: front, back: back,
		abbreviated: m[3] != "", description: m[5],
	})
	return nil
}

// flush puts the fields of the current packet where they belong.
func (p *parser) flush() error {
	if len(p.fields) == 0 {
		p.settle()
		return nil
	}
	item, err := p.current()
	if err != nil {
		return err
	}
	for _, f := range p.fields {
		if err := item.putField(f); err != nil {
			return err
		}
	}
	p.fields = p.fields[:0]
	p.settle()
	return nil
}

// settle forgets the marks of a packet that turned out complete.
func (p *parser) settle() {
	item, err := p.current()
	if err != nil {
		return
	}
	for _, known := range item.known {
		if !known {
			return
		}
	}
	item.known = nil
}

func (i *Item) put(at int, data []byte) error {
	if at < 0 || at+len(data) > len(i.Bytes) {
		return fmt.Errorf("%d bytes at %#x of a packet of %d", len(data), at, len(i.Bytes))
	}
	copy(i.Bytes[at:], data)
	for n := range data {
		i.known[at+n] = true
	}
	return nil
}

// putField puts a field that may be abbreviated. A string whose text was written
// in full is made whole again from it.
func (i *Item) putField(f fieldText) error {
	if err := i.put(f.at, f.front); err != nil || !f.abbreviated {
		return err
	}
	m := textField.FindStringSubmatch(f.description)
	if m == nil {
		return nil // stream data: the end was not recorded
	}
	size, err := strconv.Atoi(m[1])
	if err != nil {
		return err
	}
	end := f.at + 4 + (size+3)&^3
	if err := i.put(end-len(f.back), f.back); err != nil || len(m[2]) != size {
		return err
	}
	return i.put(f.at+4, []byte(m[2]))
}
