package domxml_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
)

// TestBombs holds documents that are small to send and dear to believe.
func TestBombs(t *testing.T) {
	attributes := &strings.Builder{}
	for i := range 300 {
		attributes.WriteString(" a" + strings.Repeat("b", i) + "='x'")
	}
	for name, document := range map[string]string{
		"entities":     `<!DOCTYPE d [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>` + bare("<domain type='lxc'>", "&b;"),
		"doctype":      "<!DOCTYPE domain SYSTEM 'file:///etc/passwd'>" + bare("<domain type='lxc'>", "a"),
		"entity":       bare("<domain type='lxc'>", "&foo;"),
		"depth":        body(repeat("<a>", 300) + repeat("</a>", 300)),
		"elements":     body(repeat("<a/>", 100_001)),
		"comments":     body("<a>" + repeat("<!---->", 100_001) + "</a>"),
		"attributes":   body("<a" + attributes.String() + "/>"),
		"size":         body("<description>" + repeat("x", 4<<20) + "</description>"),
		"growth":       body("<description>" + repeat("'", 3<<20) + "</description>"),
		"consoles":     devices(repeat("<console/>", 60_000)),
		"namespaces":   body(manyPrefixes(100)),
		"encoding":     `<?xml version="1.0" encoding="ISO-8859-1"?>` + bare("<domain type='lxc'>", "a"),
		"late prolog":  " <?xml version='1.0'?>" + bare("<domain type='lxc'>", "a"),
		"no prefix":    "<domain type='lxc' xmlns:p=''/>",
		"empty part":   "<domain type='lxc'><a:/></domain>",
		"empty part 2": "<domain type='lxc' :a='x'/>",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newCodec().Parse(document)
			require.ErrorIs(t, err, fault.Malformed)
			assert.Less(t, len(err.Error()), 4096, "an error is no echo")
		})
	}
}

func manyPrefixes(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("<a xmlns:p" + strings.Repeat("q", i) + "='u'>")
	}
	return b.String() + repeat("</a>", n)
}

// TestManyOfEverything takes much longer if any step looks at all earlier
// nodes for each node.
func TestManyOfEverything(t *testing.T) {
	var b strings.Builder
	for i := range 20_000 {
		b.WriteString("<disk type='block'><source dev='x'/><target dev='vd" + number(i) + "'/></disk>")
	}
	def, err := newCodec().Parse(devices(b.String()))
	require.NoError(t, err)
	assert.Len(t, def.Unserved, 20_000)

	pieces := "<description>" + repeat("<![CDATA[x]]>", 200_000) + "</description>"
	def, err = newCodec().Parse(body(pieces))
	require.NoError(t, err)
	assert.Len(t, def.Description, 200_000)

	arguments := repeat("<initarg x='1'>a</initarg>", 40_000)
	def, err = newCodec().Parse(sketch{os: "<type>exe</type><init>/i</init>" + arguments}.String())
	require.NoError(t, err)
	assert.Len(t, def.Leftovers, 40_000)
	assert.NotEqual(t, container.UUID{}, def.UUID)
}

func number(i int) string {
	text := ""
	for range 4 {
		text += string(rune('a' + i%26))
		i /= 26
	}
	return text
}

// TestAcceptedCanBeReadAgain: printing fills in defaults and declares
// namespaces where they are used. What would outgrow the limits by that must
// be refused at once, or it is lost at the next start of the daemon.
func TestAcceptedCanBeReadAgain(t *testing.T) {
	attributes := func(n int) (text string) {
		for i := range n {
			text += fmt.Sprintf(" a%d='1'", i)
		}
		return text
	}
	declared, used := "", ""
	for i := range 60 {
		declared += fmt.Sprintf(" xmlns:p%d='u%d'", i, i)
		used += fmt.Sprintf(" p%d:a='1'", i)
	}
	disk := func(n int) string {
		return devices("<disk" + attributes(n) + "><source file='/x'/><target dev='vda'/></disk>")
	}
	for _, test := range []struct {
		name, document string
		accepted       bool
	}{
		{"attributes", disk(126), true},
		{"attributes and defaults", disk(127), false},
		{"attributes of a root", sketch{attrs: attributes(127)}.String(), true},
		{"attributes of a filesystem", devices("<filesystem" + attributes(127) + "><source dir='/a'/><target dir='/'/></filesystem>"), false},
		{"namespaces", sketch{attrs: declared + used}.String(), true},
		{"namespaces in two places", sketch{attrs: declared + used, body: "<x" + used + "/>"}.String(), false},
		{"namespaces side by side", body("<x" + declared + used + "/><y" + declared + used + "/>"), true},
		{"elements", body(repeat("<a/>", 99_980)), true},
		{"elements and defaults", body(repeat("<a/>", 99_994)), false},
		{"depth", body(repeat("<a>", 255) + repeat("</a>", 255)), true},
		{"one deeper", body(repeat("<a>", 256) + repeat("</a>", 256)), false},
		{"quotes", body("<description>" + repeat("'", 600_000) + "</description>"), true},
		{"more quotes", body("<description>" + repeat("'", 700_000) + "</description>"), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			codec := newCodec()
			def, err := codec.Parse(test.document)
			if !test.accepted {
				require.ErrorIs(t, err, fault.Malformed)
				assert.Nil(t, def)
				return
			}
			require.NoError(t, err)
			again, err := codec.Parse(codec.Format(def, inactive))
			require.NoError(t, err)
			assert.Equal(t, def, again)
		})
	}
}

// TestErrorsAreNoEcho: a value of any size may be wrong, but it goes into a
// log and back to the client only in part, and still as UTF-8.
func TestErrorsAreNoEcho(t *testing.T) {
	long := repeat("\u00e9", 1<<19)
	for name, document := range map[string]string{
		"root":       "<" + long + "/>",
		"type":       bare("<domain type='"+long+"'>", "a"),
		"name":       bare("<domain type='lxc'>", long+"/"),
		"unit":       sketch{memory: "<memory unit='" + long + "'>1</memory>"}.String(),
		"memory":     sketch{memory: "<memory>" + long + "</memory>"}.String(),
		"cpuset":     body("<vcpu cpuset='" + long + "'>1</vcpu>"),
		"feature":    body("<features><" + long + "/></features>"),
		"attribute":  devices("<disk type='" + long + "'/>"),
		"source":     devices("<filesystem><target dir='" + long + "'/></filesystem>"),
		"address":    devices(bridge + "<ip address='" + long + "'/></interface>"),
		"route":      route("address='" + long + "' gateway='1.2.3.4'"),
		"sharing":    sharing("<" + long + "/>"),
		"label":      body(strings.ReplaceAll("<seclabel type='none' model='L'/><seclabel type='none' model='L'/>", "L", long)),
		"tag":        "<domain type='lxc'><" + long + "></x></domain>",
		"attribute2": "<domain type='lxc'><a " + long + "='' " + long + "=''/></domain>",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newCodec().Parse(document)
			var e *fault.Error
			require.True(t, errors.As(err, &e))
			assert.Less(t, len(e.Message()), 4096)
			assert.NotEmpty(t, e.Message())
			assert.Equal(t, strings.ToValidUTF8(e.Message(), "?"), e.Message())
		})
	}
	for name, call := range map[string]func() (container.Metadata, error){
		"namespace": func() (container.Metadata, error) { return newCodec().Metadata("<a xmlns='u'/>", "p", long) },
		"prefix":    func() (container.Metadata, error) { return newCodec().Metadata("<q:a/>", long, "u") },
		"prefixes": func() (container.Metadata, error) {
			return newCodec().Metadata("<a>"+repeat("<b/>", 19_000)+"</a>", repeat("p", 257), "u")
		},
		"quotes": func() (container.Metadata, error) {
			return newCodec().Metadata("<a b='"+repeat(`"`, 200_000)+"'/>", "p", "u")
		},
		"nested": func() (container.Metadata, error) {
			return newCodec().Metadata(repeat("<a>", 240)+repeat("<b/>", 19_000)+repeat("</a>", 240), "p", "u")
		},
		"repeated": func() (container.Metadata, error) {
			return newCodec().Metadata("<a>"+repeat("<b/>", 19_000)+"</a>", repeat("p", 256), "u")
		},
		"namespace of its own": func() (container.Metadata, error) { return newCodec().Metadata("<a/>", "p", long) },
		"element":              func() (container.Metadata, error) { return newCodec().Metadata("<"+long[:1<<19]+">", "p", "u") },
	} {
		_, err := call()
		require.ErrorIs(t, err, fault.Malformed, name)
		assert.Less(t, len(err.Error()), 4096, name)
	}
}

// TestCPUListIsNotReadForFree: each part of a list may name all processors.
func TestCPUListIsNotReadForFree(t *testing.T) {
	codec := newCodec()
	_, err := codec.Parse(body("<vcpu cpuset='" + repeat("0-16383,", 20_000) + "1'>1</vcpu>"))
	require.ErrorIs(t, err, fault.InvalidArgument)
	var every strings.Builder
	for i := range 16384 {
		fmt.Fprintf(&every, "%d,", i)
	}
	def, err := codec.Parse(body("<vcpu cpuset='" + every.String() + "0'>1</vcpu>"))
	require.NoError(t, err)
	assert.Equal(t, "0-16383", def.CPUSet)
}
