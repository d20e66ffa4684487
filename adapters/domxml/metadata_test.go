package domxml_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
	"virtlxcd/domain/host"
)

func TestMetadata(t *testing.T) {
	for _, test := range []struct{ name, element, want string }{
		{"plain", "<app id='1'><b>t</b><c/></app>",
			"<p:app xmlns:p=\"u:1\" id=\"1\">\n  <p:b>t</p:b>\n  <p:c/>\n</p:app>"},
		{"own namespace", `<q:app xmlns:q="u:1"><x/></q:app>`,
			"<q:app xmlns:p=\"u:1\" xmlns:q=\"u:1\">\n  <p:x/>\n</q:app>"},
		{"own declaration", `<p:app xmlns:p="u:1"/>`, `<p:app xmlns:p="u:1"/>`},
		{"mixed", "<a>x <b/> y</a>", `<p:a xmlns:p="u:1">x <p:b/> y</p:a>`},
		{"quotes", `<a b='"'>'</a>`, `<p:a xmlns:p="u:1" b="&quot;">'</p:a>`},
		{"foreign child", "<a><o:b xmlns:o='u:2'/></a>", "<p:a xmlns:p=\"u:1\">\n  <o:b xmlns:o=\"u:2\"/>\n</p:a>"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := newCodec().Metadata(test.element, "p", "u:1")
			require.NoError(t, err)
			assert.Equal(t, "u:1", got.Namespace)
			assert.Equal(t, test.want, got.Text)

			// It survives in a definition.
			codec := newCodec()
			def, err := codec.Parse(sketch{}.String())
			require.NoError(t, err)
			def.Metadata = append(def.Metadata, got)
			again, err := codec.Parse(codec.Format(def, inactive))
			require.NoError(t, err)
			assert.Equal(t, def, again)
		})
	}
}

func TestMetadataRejections(t *testing.T) {
	const (
		noPrefix    = "failed to validate prefix for a new XML namespace"
		noNamespace = "failed to create a new XML namespace"
		other       = "(metadata_xml): a prefix of the element is not declared, or 'p' is declared for another namespace"
	)
	for _, test := range []struct{ element, prefix, namespace, text string }{
		{"<a", "p", "u:1", "(metadata_xml):1: unexpected EOF\n<a\n--^"},
		{"", "p", "u:1", "(metadata_xml):1: Document is empty\n\n^"},
		{"<a/><b/>", "p", "u:1", "(metadata_xml):1: Extra content at the end of the document\n<a/><b/>\n----^"},
		{"text", "p", "u:1", "(metadata_xml):1: Start tag expected, '<' not found\ntext\n^"},
		{"<a/>", "", "u:1", noPrefix},
		{"<a/>", "1", "u:1", noPrefix},
		{"<a/>", "!", "u:1", noPrefix},
		{"<a/>", "p:q", "u:1", noPrefix},
		{"<a/>", ":p", "u:1", noPrefix},
		{"<a/>", "p x='", "u:1", noPrefix},
		{"<a/>", "p='1' q", "u:1", noPrefix},
		{"<a/>", "p\n", "u:1", noPrefix},
		{"<a/>", "xml", "u:1", noPrefix},
		{"<a/>", "xmlns", "u:1", noPrefix},
		{"<a/>", "p", "", noNamespace},
		{"<a/>", "p", "\x01", noNamespace},
		{"<a/>", "p", "\xff", noNamespace},
		{"<a/>", "p", "http://www.w3.org/XML/1998/namespace", noNamespace},
		{"<a/>", "p", "http://www.w3.org/2000/xmlns/", noNamespace},
		{"<q:a xmlns:q='u:2'/>", "p", "u:1", "(metadata_xml): the element belongs to the namespace 'u:2', not 'u:1'"},
		{"<a xmlns='u:2'/>", "p", "u:1", "(metadata_xml): the element belongs to the namespace 'u:2', not 'u:1'"},
		{"<a xmlns:p='u:2'/>", "p", "u:1", other},
		{"<a><b xmlns:p='u:2'><c/></b></a>", "p", "u:1", other},
		{"<q:a/>", "p", "u:1", other},
		{"<a><q:b/></a>", "p", "u:1", other},
		{"<!DOCTYPE a><a/>", "p", "u:1", "(metadata_xml):1: document type declarations are not accepted\n<!DOCTYPE a><a/>\n^"},
		{"<a>" + repeat("x", 1<<20) + "</a>", "p", "u:1", "(metadata_xml): the document is longer than 1048576 bytes"},
	} {
		m, err := newCodec().Metadata(test.element, test.prefix, test.namespace)
		require.ErrorIs(t, err, fault.Malformed, "%.40q %q %q", test.element, test.prefix, test.namespace)
		assert.EqualError(t, err, test.text)
		assert.Zero(t, m)
	}
	for element, text := range map[string]string{
		repeat("<a>", 251) + repeat("</a>", 251): "elements are nested deeper than 250",
		"<a>" + repeat("<b/>", 20_000) + "</a>":  "more than 20000 elements",
		manyPrefixes(61):                         "more than 60 namespaces",
	} {
		_, err := newCodec().Metadata(element, "p", "u:1")
		require.ErrorIs(t, err, fault.Malformed)
		assert.ErrorContains(t, err, text)
	}
}

// TestStoredMetadata pins which children are kept and how they are printed.
func TestStoredMetadata(t *testing.T) {
	for _, test := range []struct{ name, document, want string }{
		{"empty", "<metadata/>", "  <metadata/>\n"},
		{"no namespace", "<metadata><a/>text</metadata>", "  <metadata/>\n"},
		{"first of a namespace", "<metadata><a xmlns='u:1' z='1'><b>t</b><c/></a><a xmlns='u:1' z='2'/></metadata>",
			"  <metadata>\n    <a xmlns=\"u:1\" z=\"1\">\n      <b>t</b>\n      <c/>\n    </a>\n  </metadata>\n"},
		{"white space", "<metadata><q:a xmlns:q='u:1'>x ' é\n <b>  </b> z</q:a></metadata>",
			"  <metadata>\n    <q:a xmlns:q=\"u:1\">x ' é\n <b>  </b> z</q:a>\n  </metadata>\n"},
		{"layout", "<metadata><q:a xmlns:q='u:1'>\n<!-- hi --><q:b>  </q:b> <q:c> <q:d/> </q:c><?pi x?></q:a></metadata>",
			"  <metadata>\n    <q:a xmlns:q=\"u:1\">\n      <!-- hi -->\n      <q:b>  </q:b>\n      <q:c>\n        <q:d/>\n      </q:c>\n      <?pi x?>\n    </q:a>\n  </metadata>\n"},
		{"declared outside", "<metadata xmlns:q='u:1'><q:a q:z='1' b='2' xmlns:r='u:2'/></metadata>",
			"  <metadata>\n    <q:a xmlns:q=\"u:1\" q:z=\"1\" b=\"2\" xmlns:r=\"u:2\"/>\n  </metadata>\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, inside(t, body(test.document)))
		})
	}
}

func TestCapabilities(t *testing.T) {
	facts := &host.Facts{
		UUID:      [16]byte{0xd0, 0x78, 0x32, 0xc7, 0xd4, 0xe6, 0x45, 0xb9, 0x88, 0xa6, 0x74, 0x83, 0xa8, 0x43, 0x54, 0x2a},
		Arch:      "x86_64",
		PageSizes: []host.PageSize{{KiB: 4, Count: 1202741}, {KiB: 2048}},
		Cells: []host.Cell{{
			Memory: 4810964, Distances: []int{10},
			CPUs: []host.CPU{{Siblings: "0"}, {ID: 1, Core: 1, Siblings: "1"}},
		}},
	}
	assert.Equal(t, golden(t, "capabilities.xml"), newCodec().Capabilities(facts))

	facts.SuspendModes = []string{"suspend_mem", "suspend_disk"}
	facts.Cells = append(facts.Cells, host.Cell{ID: 2, Memory: 8, Distances: []int{20, 10}})
	text := newCodec().Capabilities(facts)
	assert.Contains(t, text, "<suspend_mem/>\n      <suspend_disk/>")
	assert.Contains(t, text, "<sibling id='2' value='10'/>")
	assert.Contains(t, text, "<pages unit='KiB' size='4'>2</pages>", "counted from the cell's memory")
}
