package capture

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestEveryRecording reads all of them and counts, so that a recording which is
// no longer understood shows.
func TestEveryRecording(t *testing.T) {
	packets, abbreviated, others := 0, 0, map[Kind]int{}
	for _, name := range Names() {
		e, err := Load(name)
		require.NoError(t, err)
		assert.NotEmpty(t, e.Title, name)
		p, a := e.Packets()
		packets += len(p)
		abbreviated += a
		for _, item := range e.Items {
			others[item.Kind]++
			if item.Kind == Packet {
				assert.NotEmpty(t, item.Bytes, "%s: %s", name, item.Label)
			}
			if item.Kind == Note && !strings.HasPrefix(name, "sequence-") {
				t.Logf("%s: note %q", name, item.Label)
			}
		}
	}
	t.Logf("%d packets, %d of them abbreviated", packets, abbreviated)
	assert.Equal(t, 7, others[File])
	assert.Equal(t, 49, others[Section])
	assert.Equal(t, 2, others[Elided])
}

func TestAPacket(t *testing.T) {
	e, err := Load("lookup-unknown")
	require.NoError(t, err)
	call := e.Items[0]
	assert.Equal(t, Client, call.From)
	assert.True(t, call.Complete())
	assert.Equal(t, "000000282000808600000001000000170000000000000006000000000000000"+"66e6f737563680000", fmt.Sprintf("%x", call.Bytes))
	assert.NoError(t, call.Compare(call.Bytes))
	assert.Error(t, call.Compare(call.Bytes[1:]))
	changed := append([]byte(nil), call.Bytes...)
	changed[35] ^= 1
	assert.ErrorContains(t, call.Compare(changed), "byte 0x23")
}

func TestAbbreviatedText(t *testing.T) {
	e, err := Load("dominfo")
	require.NoError(t, err)
	found := false
	for _, item := range e.Items {
		if strings.Contains(string(item.Bytes), "by the connection driver: virDomainGetMessages") {
			found = found || item.Complete()
		}
	}
	assert.True(t, found, "a text that was written in full makes the packet whole")
}

func TestAbbreviatedBytesMatchAnything(t *testing.T) {
	e, err := Load("define")
	require.NoError(t, err)
	call := e.Items[0]
	require.False(t, call.Complete())
	got := append([]byte(nil), call.Bytes...)
	got[100] ^= 0xff
	assert.NoError(t, call.Compare(got))
	got[len(got)-4] ^= 0xff
	assert.Error(t, call.Compare(got), "the end is recorded")
}

func TestSections(t *testing.T) {
	e, err := Load("malformed")
	require.NoError(t, err)
	byName := map[string]Exchange{}
	for _, s := range e.Sections() {
		byName[s.Name] = s
	}
	s, ok := byName["call-with-fds n=33"]
	require.True(t, ok)
	require.Len(t, s.Items, 2)
	assert.Equal(t, Packet, s.Items[0].Kind)
	assert.Equal(t, Item{Kind: End, From: Server, Label: "(connection closed)"}, s.Items[1])
	s = byName["string over 4194304"]
	assert.Len(t, s.Items[0].Bytes, 4194340)
	assert.False(t, s.Items[0].Complete())
}

func TestUnknownRecording(t *testing.T) {
	_, err := Load("nothing")
	assert.Error(t, err)
}

func FuzzParse(f *testing.F) {
	for _, name := range Names() {
		text, err := recordings.ReadFile("testdata/" + name + ".txt")
		require.NoError(f, err)
		f.Add(string(text))
	}
	f.Add(ofClient + head(44) + "  001c  00000003616263..00  name = string(3) \"abc\"\n\n  0028  0000000a  id\n")
	f.Add("   C->S 0102 (2 bytes)\n  0000  03  x\n")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<16 || strings.Count(text, " bytes)") > 4 {
			return // a line may announce megabytes
		}
		e, err := parse("fuzz", text)
		if err != nil {
			return
		}
		for _, item := range e.Items {
			require.True(t, item.known == nil || len(item.known) == len(item.Bytes))
			require.NoError(t, item.Compare(item.Bytes))
		}
		again := 0
		for _, section := range e.Sections() {
			again += len(section.Items)
			if section.Name != "fuzz" {
				again++
			}
		}
		require.LessOrEqual(t, again, len(e.Items)+1, "sections hold what the exchange holds")
	})
}
