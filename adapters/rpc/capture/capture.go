// Package capture reads the recorded exchanges between clients and a daemon
// that lie in testdata, for tests that replay them or compare with them. Long
// fields of a recording are abbreviated; what is missing is marked, so that a
// comparison leaves it out and nobody takes it for zeros.
package capture

import (
	"embed"
	"fmt"
	"path"
	"strings"
)

//go:embed testdata/*.txt
var recordings embed.FS

// Side is who sent something.
type Side uint8

// The sides.
const (
	Client Side = iota
	Server
)

// String is the name of the side.
func (s Side) String() string { return [...]string{"client", "server"}[s] }

// Kind is what one item of an exchange is.
type Kind uint8

// The kinds.
const (
	Packet  Kind = iota // bytes as they were sent; malformed ones need not be a packet
	File                // a byte with a descriptor; Label says what was open
	End                 // the side closed the connection
	Silence             // the side did not answer
	Section             // a new case begins, on a connection of its own
	Elided              // items that resemble their neighbours were left out
	Note                // anything else that was written down
)

// Item is one step of an exchange.
// Bytes belong to the exchange: do not change them.
type Item struct {
	Kind  Kind
	From  Side
	Label string // what the recording says about it
	Bytes []byte // of a Packet, with zeros where the recording is abbreviated
	known []bool // which bytes are recorded; nil: all
}

// Complete tells whether every byte of a packet is known.
func (i *Item) Complete() bool { return i.Kind == Packet && i.known == nil }

// Compare returns an error that names the first byte in which got differs from
// the recording; abbreviated bytes match anything, but the length must fit.
// i is a Packet; the error begins with its label.
func (i *Item) Compare(got []byte) error {
	if len(got) != len(i.Bytes) {
		return fmt.Errorf("%s: %d bytes, recorded were %d", i.Label, len(got), len(i.Bytes))
	}
	for at := range got {
		if got[at] != i.Bytes[at] && (i.known == nil || i.known[at]) {
			return fmt.Errorf("%s: byte %#x is %#02x, recorded was %#02x", i.Label, at, got[at], i.Bytes[at])
		}
	}
	return nil
}

// Exchange is one recording, or one section of it.
type Exchange struct {
	Name  string // file name without extension, or the section's title
	Title string // the first line of the recording
	Items []Item
}

// Names lists the recordings.
func Names() []string {
	entries, err := recordings.ReadDir("testdata")
	if err != nil {
		panic(err) // the directory is part of the program
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimSuffix(e.Name(), ".txt")
	}
	return names
}

// Load reads a recording. Most begin behind the handshake, which is that of
// "connect".
// Each call reads anew, so the exchange is the caller's. An unknown name is fs.ErrNotExist.
func Load(name string) (*Exchange, error) {
	text, err := recordings.ReadFile(path.Join("testdata", name+".txt"))
	if err != nil {
		return nil, err
	}
	return parse(name, string(text))
}

// Sections splits an exchange where its connections begin. Without sections the
// exchange itself is the only one.
// The items are copies that share their bytes with the exchange.
func (e *Exchange) Sections() []Exchange {
	var sections []Exchange
	for _, item := range e.Items {
		switch {
		case item.Kind == Section:
			sections = append(sections, Exchange{Name: item.Label, Title: e.Title})
		case len(sections) == 0:
			sections = append(sections, Exchange{Name: e.Name, Title: e.Title, Items: []Item{item}})
		default:
			last := &sections[len(sections)-1]
			last.Items = append(last.Items, item)
		}
	}
	return sections
}

// Packets are the items of an exchange that are packets, with how many of them
// are abbreviated.
func (e *Exchange) Packets() (packets []Item, abbreviated int) {
	for _, item := range e.Items {
		if item.Kind != Packet {
			continue
		}
		packets = append(packets, item)
		if !item.Complete() {
			abbreviated++
		}
	}
	return packets, abbreviated
}
