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
// A packet of a recording looks like this: a title line, the seven words of length and
// header, and one line for each field with its offset, bytes and meaning. Long fields
// show their first 32 and last 8 bytes around "..":
//
// 13  C->S  t=0.003  remote DOMAIN_LOOKUP_BY_NAME call serial 6 ok
//
//	0000  00000024 20008086 00000001 00000017 00000000 00000006 00000000  len=36 ...
//	001c  0000000463617031  name = string(4) "cap1"
type parser struct {
	e      Exchange
	fields []fieldText
}

// fieldText is one such line. Offsets are those of the packet, its length included.
type fieldText struct {
	at          int
	front, back []byte
	abbreviated bool // between front and back
	description string
}

// The error names the recording and the line.
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

// line takes the next line. Anything but a line of bytes ends the packet before it.
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
	item, ok, err := p.item(line)
	if ok {
		p.e.Items = append(p.e.Items, item)
	}
	return err
}

// item reads a line that is not part of a packet's bytes.
// It is not ok for empty lines and comments; the first comment is the title.
func (p *parser) item(line string) (item Item, ok bool, err error) {
	switch {
	case line == "":
		return Item{}, false, nil
	case strings.HasPrefix(line, "## "):
		return Item{Kind: Section, Label: line[3:]}, true, nil
	case strings.HasPrefix(line, "#"):
		if p.e.Title == "" {
			p.e.Title = strings.TrimSpace(line[1:])
		}
		return Item{}, false, nil
	case strings.HasPrefix(line, "... "):
		return Item{Kind: Elided, Label: line}, true, nil
	case line == "30.0 EOF":
		return Item{Kind: End, From: Server, Label: line}, true, nil
	}
	if m := packetLine.FindStringSubmatch(line); m != nil {
		return Item{Kind: Packet, From: side(m[1]), Label: m[2]}, true, nil
	}
	if m := fileLine.FindStringSubmatch(line); m != nil {
		return Item{Kind: File, From: side(m[1]), Label: m[2]}, true, nil
	}
	if m := endLine.FindStringSubmatch(line); m != nil {
		return Item{Kind: End, From: side(m[1]), Label: line}, true, nil
	}
	item, err = rawItem(line)
	return item, err == nil, err
}

// rawItem reads the notation of the recording of malformed packets, and pings:
//
//	  C->S 0000001c2000808600000001 (28 bytes)
//	  S->C (connection closed)
//	5.0 keepalive ping 0000001c6b656570...
//
// The bytes may be fewer than announced, the front of a packet too long to be
// written down.
func rawItem(line string) (Item, error) {
	if m := rawLine.FindStringSubmatch(line); m != nil {
		front, err := hex.DecodeString(m[1])
		if err != nil {
			return Item{}, err
		}
		size, err := strconv.Atoi(m[2])
		if err != nil || size > maxPacket || size < len(front) {
			return Item{}, fmt.Errorf("%d of %s bytes", len(front), m[2])
		}
		return partial(front, size, line), nil
	}
	if m := pingLine.FindStringSubmatch(line); m != nil {
		raw, err := hex.DecodeString(m[2])
		return Item{Kind: Packet, From: Server, Label: m[1], Bytes: raw}, err
	}
	m := answerLine.FindStringSubmatch(line)
	switch {
	case m == nil:
		return Item{Kind: Note, Label: strings.TrimSpace(line)}, nil
	case strings.HasPrefix(m[1], "(no answer"):
		return Item{Kind: Silence, From: Server, Label: m[1]}, nil
	case m[1] == "(connection closed)":
		return Item{Kind: End, From: Server, Label: m[1]}, nil
	}
	return Item{Kind: Packet, From: Server, Label: m[1]}, nil
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

// side takes the letter before the arrow.
func side(letter string) Side {
	if letter == "C" {
		return Client
	}
	return Server
}

// current is the packet that lines of bytes belong to: the last item, if that is one.
func (p *parser) current() (*Item, error) {
	if n := len(p.e.Items); n > 0 && p.e.Items[n-1].Kind == Packet {
		return &p.e.Items[n-1], nil
	}
	return nil, fmt.Errorf("bytes without a packet")
}

// head makes room for a packet of the length its header announces. That is bounded by
// maxPacket: a slip in a recording must not ask for gigabytes.
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

// field keeps a line until the packet is complete.
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

// put notes bytes as known. Only packets that began with a header take any; those that
// were found whole take no more.
func (i *Item) put(at int, data []byte) error {
	if i.known == nil {
		return fmt.Errorf("more bytes for a packet that is whole, or has no header")
	}
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
