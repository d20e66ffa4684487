package capture

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	ofClient = "7  C->S  t=0.001  remote SOMETHING call serial 7 ok\n"
	ofServer = "8  S->C  t=0.002  remote SOMETHING reply serial 7 ok\n"
)

// head is the first line of a packet of so many bytes.
func head(size int) string {
	return fmt.Sprintf("  0000  %08x 20008086 00000001 00000017 00000000 00000007 00000000  len=%d\n", size, size)
}

func TestParseItems(t *testing.T) {
	cases := []struct {
		line string
		want Item
	}{
		{"## a case", Item{Kind: Section, Label: "a case"}},
		{"... 3 more like these", Item{Kind: Elided, Label: "... 3 more like these"}},
		{"30.0 EOF", Item{Kind: End, From: Server, Label: "30.0 EOF"}},
		{"-- C->S  EOF (t=0.005)", Item{Kind: End, From: Client, Label: "-- C->S  EOF (t=0.005)"}},
		{"-- S->C  EOF (t=0.006)", Item{Kind: End, From: Server, Label: "-- S->C  EOF (t=0.006)"}},
		{"-- C->S  fd byte 1 of 2 00: SCM_RIGHTS -> /tmp/a", Item{Kind: File, From: Client, Label: "/tmp/a"}},
		{"   S->C (no answer within 2 s)", Item{Kind: Silence, From: Server, Label: "(no answer within 2 s)"}},
		{"   S->C (connection closed)", Item{Kind: End, From: Server, Label: "(connection closed)"}},
		{"   S->C remote reply", Item{Kind: Packet, From: Server, Label: "remote reply"}},
		{"   C->S 0102 (2 bytes)", Item{Kind: Packet, From: Client, Label: "C->S 0102 (2 bytes)", Bytes: []byte{1, 2}}},
		{"   C->S 0102 (4 bytes)", Item{
			Kind: Packet, From: Client, Label: "C->S 0102 (4 bytes)",
			Bytes: []byte{1, 2, 0, 0}, known: []bool{true, true, false, false},
		}},
		{"  something else  ", Item{Kind: Note, Label: "something else"}},
	}
	for _, c := range cases {
		e, err := parse("x", c.line+"\n")
		require.NoError(t, err, c.line)
		assert.Equal(t, []Item{c.want}, e.Items, c.line)
	}
}

func TestParseTitle(t *testing.T) {
	e, err := parse("x", "#  the first \n# the second\n\n")
	require.NoError(t, err)
	assert.Equal(t, Exchange{Name: "x", Title: "the first"}, *e)
}

// Fields fill the packet; what no line tells stays unknown.
func TestParseFields(t *testing.T) {
	text := ofClient + head(44) + "  001c  00000003616263..00  name = string(3) \"abc\"\n      ... 2 fields left out\n  0028  0000000a  id = 10\n"
	e, err := parse("x", text)
	require.NoError(t, err)
	require.Len(t, e.Items, 1)
	item := e.Items[0]
	assert.False(t, item.Complete())
	assert.Equal(t, "abc\x00", string(item.Bytes[32:36]))
	other := append([]byte(nil), item.Bytes...)
	other[36] = 0xff
	assert.NoError(t, item.Compare(other), "not recorded")
	other[43] = 0xff
	assert.ErrorContains(t, item.Compare(other), "byte 0x2b is 0xff, recorded was 0x0a")
}

// An abbreviated text is whole again only if the description holds all of it.
func TestParseAbbreviatedText(t *testing.T) {
	for text, complete := range map[string]bool{
		`string(8) "abcdefgh"`: true, `string(8) "abcdefg"`: false, `string(8) "abc..."`: false, `opaque[8]`: false,
	} {
		e, err := parse("x", ofServer+head(40)+"  001c  000000086162..6768  text = "+text+"\n")
		require.NoError(t, err, text)
		assert.Equal(t, complete, e.Items[0].Complete(), text)
	}
}

// What cannot be right is refused with the line it is in.
func TestParseRefusals(t *testing.T) {
	field := "  001c  00000001  x = 1\n"
	cases := map[string]struct{ text, want string }{
		"bytes without a packet":        {head(28), "bytes without a packet"},
		"fields without a packet":       {"# t\n" + field, "bytes without a packet"},
		"fields behind a section":       {ofClient + head(32) + "## next\n" + field, "bytes without a packet"},
		"shorter than its header":       {ofClient + head(27), "x.txt:2: packet of 27 bytes"},
		"longer than any packet":        {ofClient + head(maxPacket+1), "x.txt:2: packet of"},
		"four gigabytes":                {ofClient + head(0xffffffff), "x.txt:2: packet of"},
		"two headers":                   {ofClient + head(28) + head(28), "x.txt:3: packet of"},
		"field beyond the end":          {ofClient + head(28) + field, "4 bytes at 0x1c of a packet of 28"},
		"field without a header":        {ofClient + field, "whole, or has no header"},
		"field for a whole raw packet":  {"   C->S 0102 (2 bytes)\n  0000  03  x\n", "whole, or has no header"},
		"field for a ping":              {"5.0 keepalive ping " + strings.Repeat("0", 56) + "\n  0000  03  x\n", "whole, or has no header"},
		"field after the packet":        {ofClient + head(32) + field + "\n" + field, "whole, or has no header"},
		"half a byte":                   {ofClient + head(32) + "  001c  000  x = 1\n", "x.txt:3: encoding/hex"},
		"half a byte behind the dots":   {ofClient + head(32) + "  001c  00..0  x = 1\n", "x.txt:3: encoding/hex"},
		"text longer than the packet":   {ofClient + head(40) + "  001c  00000063..00  t = string(99) \"x\"\n", "of a packet of 40"},
		"text of a length no int holds": {ofClient + head(40) + "  001c  00..00  t = string(99999999999999999999) \"x\"\n", "99999999999999999999"},
		"the longest text of an int":    {ofClient + head(40) + "  001c  00..00  t = string(9223372036854775807) \"x\"\n", "of a packet of 40"},
		"raw bytes over the length":     {"   C->S 010203 (2 bytes)\n", "x.txt:1: 3 of 2 bytes"},
		"raw half a byte":               {"   C->S 012 (2 bytes)\n", "x.txt:1: encoding/hex"},
		"raw gigabytes":                 {"   C->S 01 (99999999999 bytes)\n", "x.txt:1: 1 of 99999999999 bytes"},
		"raw length no int holds":       {"   C->S 01 (99999999999999999999 bytes)\n", "x.txt:1: 1 of"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := parse("x", c.text)
			assert.ErrorContains(t, err, c.want)
		})
	}
}

func TestSectionsWithoutAny(t *testing.T) {
	e := Exchange{Name: "n", Title: "t", Items: []Item{{Kind: Packet}, {Kind: End}}}
	assert.Equal(t, []Exchange{e}, e.Sections())
	assert.Empty(t, (&Exchange{}).Sections())
	e.Items = append(e.Items, Item{Kind: Section, Label: "s"})
	assert.Equal(t, []Exchange{{"n", "t", e.Items[:2]}, {"s", "t", nil}}, e.Sections(), "what comes before the first is kept")
}

func TestPacketsAreCounted(t *testing.T) {
	e := Exchange{Items: []Item{{Kind: Packet, Bytes: []byte{1}}, {Kind: Note}, {Kind: Packet, known: []bool{false}}, {Kind: File}}}
	packets, abbreviated := e.Packets()
	assert.Equal(t, []Item{e.Items[0], e.Items[2]}, packets)
	assert.Equal(t, 1, abbreviated)
}

func TestSides(t *testing.T) {
	assert.Equal(t, "client server", fmt.Sprint(Client, " ", Server))
}
