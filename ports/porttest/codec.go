package porttest

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/host"
	"virtlxcd/domain/lifecycle"
	"virtlxcd/ports"
)

// CodecHarness is a codec with what is particular about its format. Formats differ in
// everything but their meaning, so checks never look at a document, except for numbers
// and names that they have put there themselves.
type CodecHarness struct {
	Codec ports.Codec
	// Document is a whole one of a container with one link; without a uuid if it is
	// zero, and without the link's address if address is false. It must be one that
	// Parse takes as it is.
	Document func(name string, uuid container.UUID, address bool) string
	// Malformed is no document at all; Nameless one that names nobody. The two are told
	// apart, since clients see different errors for them.
	Malformed, Nameless string
}

// TestCodec checks a Codec. The codec of the daemon and that of the fakes have nothing
// in common but this suite: what holds here may be relied on by the driver.
func TestCodec(t *testing.T, build func(t *testing.T) CodecHarness) {
	run(t, build, []check[CodecHarness]{
		{"peeks what it parses", codecPeeks},
		{"refuses what is no document", codecMalformed},
		{"draws what is left out", codecDraws},
		{"reads what it prints", codecRoundTrip},
		{"shows an id to those who ask", codecID},
		{"leaves what it prints alone", codecReadsOnly},
		{"reads the status it prints", codecStatus},
		{"takes one element", codecMetadata},
		{"names the host", codecCapabilities},
	})
}

// someone has the version (4) and variant of a random UUID, as the reader of a real
// document may check them.
var someone = container.UUID{1, 2, 3, 4, 5, 6, 0x47, 8, 0x89, 10, 11, 12, 13, 14, 15, 16}

// parse is for documents that a harness made or that the codec printed, all of which it
// must read.
func (h CodecHarness) parse(t *testing.T, document string) *container.Definition {
	t.Helper()
	definition, err := h.Codec.Parse(document)
	require.NoError(t, err)
	return definition
}

// codecPeeks: access is checked for the name and uuid that Peek tells, then Parse
// decides what is defined. If they differed, a document could be checked as one
// container and define another. The name has a blank, which a cheap reader is likely to
// cut at.
func codecPeeks(t *testing.T, h CodecHarness) {
	for _, uuid := range []container.UUID{someone, {}} {
		document := h.Document("vlx web", uuid, true)
		name, peeked, has, err := h.Codec.Peek(document)
		require.NoError(t, err)
		definition := h.parse(t, document)
		assert.Equal(t, "vlx web", name)
		assert.Equal(t, name, definition.Name)
		assert.Equal(t, uuid != container.UUID{}, has)
		assert.Equal(t, uuid, peeked)
		if has {
			assert.Equal(t, uuid, definition.UUID)
		}
	}
}

// codecMalformed: a failed parse returns no half of a definition that somebody might go
// on with. The empty document is refused too, but its kind is left to the format.
func codecMalformed(t *testing.T, h CodecHarness) {
	for _, document := range []string{h.Malformed, ""} {
		definition, err := h.Codec.Parse(document)
		assert.Error(t, err)
		assert.Nil(t, definition)
		definition, _, err = h.Codec.ParseStored(document)
		assert.Error(t, err)
		assert.Nil(t, definition)
		status, err := h.Codec.ParseStatus(document)
		assert.Error(t, err)
		assert.Nil(t, status)
	}
	_, err := h.Codec.Parse(h.Malformed)
	assert.ErrorIs(t, err, fault.Malformed)
	_, err = h.Codec.Parse(h.Nameless)
	assert.ErrorIs(t, err, fault.NoName)
	_, _, _, err = h.Codec.Peek(h.Nameless)
	assert.ErrorIs(t, err, fault.NoName)
}

// codecDraws: each parse draws anew, and ParseStored says what. All four combinations:
// whether a document of the store must be saved anew depends on it. One that says too
// little would give the container another uuid at each restart of the daemon, one that
// says too much rewrites files for nothing.
func codecDraws(t *testing.T, h CodecHarness) {
	for _, left := range []ports.Drawn{{}, {UUID: true}, {Addresses: true}, {UUID: true, Addresses: true}} {
		uuid := someone
		if left.UUID {
			uuid = container.UUID{}
		}
		document := h.Document("vlxweb", uuid, !left.Addresses)
		first, drawn, err := h.Codec.ParseStored(document)
		require.NoError(t, err)
		assert.Equal(t, left, drawn)
		assert.NotZero(t, first.UUID)
		require.Len(t, first.Links, 1)
		assert.NotZero(t, first.Links[0].MAC)
		second := h.parse(t, document)
		assert.Equal(t, left.UUID, first.UUID != second.UUID)
		if !left.Addresses {
			assert.Equal(t, first.Links[0].MAC, second.Links[0].MAC)
		}
	}
}

// codecRoundTrip: what was printed is printed again, so that a file does not change
// when nothing has changed. It must hold for all views, as status files have all and
// files of definitions leave out what is only known while it runs.
func codecRoundTrip(t *testing.T, h CodecHarness) {
	definition := h.parse(t, h.Document("vlx web", someone, true))
	for _, how := range []ports.Format{
		{ID: container.NoID}, {ID: container.NoID, Inactive: true}, {ID: container.NoID, Secure: true},
		{ID: container.NoID, Inactive: true, Secure: true},
	} {
		printed := h.Codec.Format(definition, how)
		again, drawn, err := h.Codec.ParseStored(printed)
		require.NoError(t, err, printed)
		assert.Zero(t, drawn, "all is in the document")
		assert.Equal(t, printed, h.Codec.Format(again, how))
		assert.Equal(t, definition.Name, again.Name)
		assert.Equal(t, definition.UUID, again.UUID)
		assert.Equal(t, definition.Links[0].MAC, again.Links[0].MAC)
	}
}

// codecID: the id is of a run, not of a definition. It is shown to clients and must
// neither be kept when the document comes back nor be printed without being asked for.
// The number appears nowhere else in the document.
func codecID(t *testing.T, h CodecHarness) {
	definition := h.parse(t, h.Document("vlxweb", someone, true))
	without := h.Codec.Format(definition, ports.Format{ID: container.NoID})
	assert.Contains(t, h.Codec.Format(definition, ports.Format{ID: 471147}), "471147")
	assert.NotContains(t, without, "471147")
	with := h.parse(t, h.Codec.Format(definition, ports.Format{ID: 471147}))
	assert.Equal(t, without, h.Codec.Format(with, ports.Format{ID: container.NoID}), "an id is not part of what is defined")
}

// codecReadsOnly: definitions are shared by snapshots that readers use without a lock,
// so printing must work on a copy. A name of the host side that was made up is what the
// inactive view drops, so it is where a codec would change its argument.
func codecReadsOnly(t *testing.T, h CodecHarness) {
	definition := h.parse(t, h.Document("vlxweb", someone, true))
	definition.Links[0].HostName = "vnet7"
	before := definition.Clone()
	for _, inactive := range []bool{true, false} {
		h.Codec.Format(definition, ports.Format{ID: container.NoID, Inactive: inactive})
	}
	assert.Equal(t, before, definition)
}

// codecStatus: the file is all that a new daemon knows of what runs, so everything in
// it must come back. A file that was cut in the middle, as by a host that lost its
// power, is refused and not taken for one with zeros in it.
func codecStatus(t *testing.T, h CodecHarness) {
	for _, state := range []lifecycle.State{lifecycle.Starting, lifecycle.Running, lifecycle.Paused} {
		want := status("vlx web", 1)
		want.State, want.Definition = state, h.parse(t, h.Document("vlx web", someone, true))
		printed := h.Codec.FormatStatus(want)
		got, err := h.Codec.ParseStatus(printed)
		require.NoError(t, err, printed)
		how := ports.Format{ID: container.NoID, Secure: true}
		assert.Equal(t, h.Codec.Format(want.Definition, how), h.Codec.Format(got.Definition, how))
		sameHead := *got
		sameHead.Definition = want.Definition
		assert.Equal(t, *want, sameHead)
		_, err = h.Codec.ParseStatus(printed[:len(printed)/2])
		assert.Error(t, err, "half of it is none")
	}
}

// codecMetadata: what is attached must be one element, which gets the prefix that the
// client gave (formatdomain, metadata). Text, nothing, and what is not closed would
// break every document that is printed later.
func codecMetadata(t *testing.T, h CodecHarness) {
	made, err := h.Codec.Metadata("<note>hello</note>", "vlx", "urn:vlx")
	require.NoError(t, err)
	assert.Equal(t, "urn:vlx", made.Namespace)
	assert.Contains(t, made.Text, "hello")
	assert.Contains(t, made.Text, "vlx:note")
	for _, element := range []string{"", "hello", "<note>", "<"} {
		_, err := h.Codec.Metadata(element, "vlx", "urn:vlx")
		assert.Error(t, err, "%q", element)
	}
	definition := h.parse(t, h.Document("vlxweb", someone, true))
	definition.Metadata = append(definition.Metadata, made)
	again := h.parse(t, h.Codec.Format(definition, ports.Format{ID: container.NoID}))
	assert.Equal(t, definition.Metadata, again.Metadata, "it is kept as it was made")
}

// codecCapabilities: whatever its form, the architecture is in it. All other facts may
// be zero, as on a host that tells little.
func codecCapabilities(t *testing.T, h CodecHarness) {
	assert.Contains(t, h.Codec.Capabilities(&host.Facts{Hostname: "vlxhost", Arch: "x86_64", CPUs: 1, Memory: 1 << 20}), "x86_64")
}
