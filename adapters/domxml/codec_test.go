package domxml_test

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/domxml"
	"virtlxcd/domain/container"
	"virtlxcd/domain/device"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/host"
	"virtlxcd/ports"
)

// TestNames: a name is any text without slash and newline, and means the same
// to everybody who reads it.
func TestNames(t *testing.T) {
	for written, name := range map[string]string{
		"web": "web", " two words ": " two words ", "b\u00fccher-\u4e16\u754c": "b\u00fccher-\u4e16\u754c", "e\u0301": "e\u0301", "\U0001f4e6": "\U0001f4e6",
		"a&amp;b&lt;c&gt;&quot;&apos;": `a&b<c>"'`, "<![CDATA[<x>&]]>": "<x>&", "..": "..", "-a": "-a", "a\tb": "a\tb", "a&#13;b": "a\rb", "a<!-- - -->b": "ab", "\u2028": "\u2028",
	} {
		codec := newCodec()
		def, err := codec.Parse(bare("<domain type='lxc'>", written))
		require.NoError(t, err, written)
		assert.Equal(t, name, def.Name)
		peeked, _, _, err := codec.Peek(bare("<domain type='lxc'>", written))
		require.NoError(t, err)
		assert.Equal(t, name, peeked)
		again, err := codec.Parse(codec.Format(def, inactive))
		require.NoError(t, err)
		assert.Equal(t, name, again.Name)
	}
	for _, written := range []string{"a/b", "/", "a\nb", "a&#10;b", "a&#47;b", "\r\n"} {
		_, err := newCodec().Parse(bare("<domain type='lxc'>", written))
		assert.Error(t, err, written)
	}
}

func TestIdentities(t *testing.T) {
	for written, uuid := range map[string]string{
		"6D1F0A3C-5C7E-4A51-9B61-2F6F7D3F10AA":       "6d1f0a3c-5c7e-4a51-9b61-2f6f7d3f10aa",
		"6d1f0a3c5c7e4a519b612f6f7d3f10aa":           "6d1f0a3c-5c7e-4a51-9b61-2f6f7d3f10aa",
		"\n  6d1f0a3c-5c7e-4a51-9b61-2f6f7d3f10aa\t": "6d1f0a3c-5c7e-4a51-9b61-2f6f7d3f10aa",
		"00000000-0000-0000-0000-000000000000":       "00000000-0000-0000-0000-000000000000",
		"":                                           "360360e4-65a0-4c21-ad40-d657ecbd637c", // drawn
	} {
		document := bare("<domain type='lxc'><uuid>"+written+"</uuid>", "a")
		def, drawn, err := newCodec().ParseStored(document)
		require.NoError(t, err, written)
		assert.Equal(t, uuid, def.UUID.String(), written)
		assert.Equal(t, ports.Drawn{UUID: written == ""}, drawn)
		_, peeked, has, err := newCodec().Peek(document)
		require.NoError(t, err)
		assert.Equal(t, written != "", has)
		if has {
			assert.Equal(t, def.UUID, peeked)
		}
	}
}

type broken struct{ error }

func (b broken) NewUUID() (container.UUID, error) { return container.UUID{}, b.error }
func (b broken) NewMAC() ([6]byte, error)         { return [6]byte{}, b.error }

// TestNoEntropy: what a document leaves out cannot be made up without any.
func TestNoEntropy(t *testing.T) {
	cause := &fault.Error{Kind: fault.System, Err: errors.New("no entropy")}
	codec := domxml.New(broken{cause}, domxml.Options{Arch: "x86_64", Emulator: "/e"})
	for _, document := range []string{bare("<domain type='lxc'>", "a"), devices("<interface type='ethernet'/>")} {
		def, drawn, err := codec.ParseStored(document)
		require.ErrorIs(t, err, fault.System)
		assert.Nil(t, def)
		assert.NotEqual(t, ports.Drawn{}, drawn, "it was needed")
	}
	_, err := codec.Parse(devices(bridge + "</interface>"))
	require.NoError(t, err, "nothing is drawn that is not needed")
}

// TestFormatOnlyReads: a definition is shared by everybody who looks at it.
func TestFormatOnlyReads(t *testing.T) {
	codec := newCodec()
	for _, example := range []string{"example1", "example2", "example3"} {
		def, err := codec.Parse(golden(t, example+".input.xml"))
		require.NoError(t, err)
		def.Links = append(def.Links, device.Link{Kind: device.Bridge, HostName: "vnet1"})
		before, err := codec.Parse(golden(t, example+".input.xml"))
		require.NoError(t, err)
		before.Links = append(before.Links, device.Link{Kind: device.Bridge, HostName: "vnet1"})
		want := codec.Format(def, running)
		var wait sync.WaitGroup
		for range 4 {
			wait.Go(func() {
				for range 10 {
					assert.Equal(t, want, codec.Format(def, running))
					codec.Format(def, inactive)
					codec.FormatStatus(statusOf(def))
					_, err := codec.Parse(want)
					assert.NoError(t, err)
				}
			})
		}
		wait.Wait()
		assert.Equal(t, before, def)
	}
}

// TestSecureShowsNothingMore: only graphics have secrets, and they are refused.
// A device with a password needs a printer that knows this wish.
func TestSecureShowsNothingMore(t *testing.T) {
	_, err := newCodec().Parse(devices("<graphics type='vnc' passwd='hush'/>"))
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "hush")
	def, err := newCodec().Parse(golden(t, "example3.input.xml"))
	require.NoError(t, err)
	assert.Equal(t, newCodec().Format(def, ports.Format{ID: 3}), newCodec().Format(def, ports.Format{ID: 3, Secure: true}))
}

// TestArchitectures: the host's own and the 32-bit one its kernel runs too.
func TestArchitectures(t *testing.T) {
	for host, sibling := range map[string]string{"x86_64": "i686", "s390x": "s390", "aarch64": "", "riscv64": "", "i686": "", "mips64el": "mipsel"} {
		codec := domxml.New(counting{}, domxml.Options{Arch: host, Emulator: "/e"})
		parse := func(arch string) (*container.Definition, error) {
			return codec.Parse(sketch{os: "<type arch='" + arch + "'>exe</type><init>/i</init>"}.String())
		}
		for written, want := range map[string]string{"": host, host: host, sibling: either(sibling, host)} {
			def, err := parse(written)
			require.NoError(t, err, host)
			assert.Equal(t, want, def.Arch)
		}
		_, err := parse("alpha")
		require.ErrorIs(t, err, fault.InvalidArgument)
		_, err = parse("x86-64")
		require.EqualError(t, err, "Unknown architecture x86-64")
	}
	_, err := newCodec().Parse(sketch{os: "<type>zz</type>"}.String())
	require.EqualError(t, err, "unknown OS type 'zz'")
}

func either(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// TestCapabilitiesOfHosts: one guest for each architecture, in a document that
// any reader takes.
func TestCapabilitiesOfHosts(t *testing.T) {
	for arch, guests := range map[string]string{"x86_64": "x86_64/64 i686/32", "aarch64": "aarch64/64", "i686": "i686/32", "s390x": "s390x/64 s390/32", "armv7l": "armv7l/32"} {
		codec := domxml.New(counting{}, domxml.Options{Arch: "never", Emulator: "/a&b"})
		facts := &host.Facts{Arch: arch, Cells: []host.Cell{{Distances: []int{10, 20}}}}
		document := codec.Capabilities(facts)
		for decoder := xml.NewDecoder(strings.NewReader(document)); ; {
			if _, err := decoder.Token(); err != nil {
				require.ErrorIs(t, err, io.EOF, document)
				break
			}
		}
		var parsed struct {
			UUID  *string `xml:"host>uuid"`
			Guest []struct {
				Arch struct {
					Name     string `xml:"name,attr"`
					Bits     string `xml:"wordsize"`
					Emulator string `xml:"emulator"`
				} `xml:"arch"`
			} `xml:"guest"`
			Sibling []struct {
				ID int `xml:"id,attr"`
			} `xml:"host>topology>cells>cell>distances>sibling"`
		}
		require.NoError(t, xml.Unmarshal([]byte(document), &parsed))
		var got []string
		for _, guest := range parsed.Guest {
			got = append(got, guest.Arch.Name+"/"+guest.Arch.Bits)
			assert.Equal(t, "/a&b", guest.Arch.Emulator)
		}
		assert.Equal(t, guests, strings.Join(got, " "))
		assert.Nil(t, parsed.UUID, "a machine without one has none")
		assert.Equal(t, 1, parsed.Sibling[1].ID, "a cell that is not there keeps its place")
	}
}
