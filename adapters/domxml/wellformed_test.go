package domxml_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
	"virtlxcd/domain/lifecycle"
)

// TestNotWellFormed: what XML 1.0 forbids is refused with the place where it
// stands, whatever the element around it is good for.
func TestNotWellFormed(t *testing.T) {
	for _, test := range []struct{ inner, text string }{
		{"<x a=1/>", "unquoted or missing attribute value in element"},
		{"<x a/>", "attribute name without = in element"},
		{"<x a='<'/>", "unescaped < inside quoted string"},
		{"<x a='&'/>", "invalid character entity & (no semicolon)"},
		{"&nbsp;", "invalid character entity &nbsp;"},
		{"&#0;", "illegal character code U+0000"},
		{"&#xFFFE;", "illegal character code U+FFFE"},
		{"&#x110000;", "invalid character entity &#x110000;"},
		{"&#xD800;", "invalid character value 55296"},
		{"&#57343;", "invalid character value 57343"},
		{"ok &#x41; &#xdc00;", "invalid character value 56320"},
		{"<x a='&#xD800;'/>", "invalid character value 55296"},
		{"\u0007", "invalid character value 7"},
		{"<!-- \ufffe -->", "invalid character value 65534"},
		{"<!-- -- -->", `invalid sequence "--" not allowed in comments`},
		{"]]>", "unescaped ]]> not in CDATA section"},
		{"<![CDATA[", "unexpected EOF in CDATA section"},
		{"<!-- ", "unexpected EOF"},
		{"<?p ", "unexpected EOF"},
		{"<!ELEMENT a>", "document type declarations are not accepted"},
		{"<!DOCTYPE a>", "document type declarations are not accepted"},
		{"<?xml version='1.0'?>", "XML declaration allowed only at the start of the document"},
		{"<1/>", "invalid XML name: 1"},
		{"< x/>", "expected element name after <"},
		{"<x:/>", "bad element name 'x:'"},
		{"<:x/>", "bad element name ':x'"},
		{"<x a:='1'/>", "bad attribute name 'a:'"},
		{"<x a='1' a='2'/>", "Attribute a redefined"},
		{"<x xmlns:p='u' xmlns:p='v'/>", "Attribute xmlns:p redefined"},
		{"<x xmlns:p=''/>", "xmlns:p: invalid declaration of a namespace"},
		{"<x xmlns:xml='u'/>", "xmlns:xml: invalid declaration of a namespace"},
		{"<x xmlns:xmlns='u'/>", "xmlns:xmlns: invalid declaration of a namespace"},
		{"<x xmlns:p='http://www.w3.org/2000/xmlns/'/>", "xmlns:p: invalid declaration of a namespace"},
		{"<x xmlns:p='http://www.w3.org/XML/1998/namespace'/>", "xmlns:p: invalid declaration of a namespace"},
		{"<x xmlns='http://www.w3.org/2000/xmlns/'/>", "xmlns:: invalid declaration of a namespace"},
		{"</x>", "Opening and ending tag mismatch: domain line 1 and x"},
		{"<x></y>", "Opening and ending tag mismatch: x line 3 and y"},
	} {
		document := "<domain type='lxc'>\n<name>a</name>\n" + test.inner + "\n</domain>"
		_, err := newCodec().Parse(document)
		var e *fault.Error
		require.True(t, errors.As(err, &e), test.inner)
		assert.Equal(t, fault.Malformed, e.Kind, test.inner)
		assert.Equal(t, fault.API, e.Area, test.inner)
		first, _, _ := strings.Cut(e.Message(), "\n")
		assert.Contains(t, first, test.text, test.inner)
		assert.Regexp(t, `^\(domain_definition\):[345]: `, first, test.inner)
	}
}

// TestAroundTheRoot: only blanks, comments and instructions may stand there.
func TestAroundTheRoot(t *testing.T) {
	sound := sketch{}.String()
	for _, document := range []string{
		"\ufeff" + sound, "<?xml version='1.0' encoding='utf-8' standalone='yes'?>\n" + sound, "\r\n\t <!-- c --><?p i?>" + sound + "<!-- c -->\n<?p i?>\n",
	} {
		def, err := newCodec().Parse(document)
		require.NoError(t, err, document)
		plain, err := newCodec().Parse(sound)
		require.NoError(t, err)
		assert.Equal(t, plain, def)
	}
	for document, text := range map[string]string{
		sound + "x":               "Extra content at the end of the document",
		sound + "<a/>":            "Extra content at the end of the document",
		sound + "</a>":            "Extra content at the end of the document",
		"x" + sound:               "Start tag expected, '<' not found",
		"</a>" + sound:            "Extra content at the end of the document",
		"\ufeff\ufeff" + sound:    "Start tag expected, '<' not found",
		"<!-- only a comment -->": "Document is empty",
		" \n ":                    "Document is empty",
		"<?xml version='1.0' encoding='ISO-8859-1'?>" + sound: `: Unsupported encoding "ISO-8859-1"` + "\n",
		"<?xml version='1.1'?>" + sound:                       `unsupported version "1.1"; only version 1.0 is supported`,
		" <?xml version='1.0'?>" + sound:                      "XML declaration allowed only at the start of the document",
	} {
		_, err := newCodec().Parse(document)
		require.ErrorIs(t, err, fault.Malformed, document)
		assert.ErrorContains(t, err, text, document)
	}
}

// TestPlaceOfAnError pins line, quoted source and pointer.
func TestPlaceOfAnError(t *testing.T) {
	wide := repeat("x", 600)
	for _, test := range []struct{ name, document, want string }{
		{"first line", "<a x></a>", "1: attribute name without = in element\n<a x></a>\n-----^"},
		{"line ends of all kinds", "<a>\r\n\r\n<b x>", "3: attribute name without = in element\n<b x>\n-----^"},
		{"tabs stay tabs", "<a>\n\t\t<b x>", "2: attribute name without = in element\n\t\t<b x>\n\t\t-----^"},
		{"characters, not bytes", "<a>\né\u4e16<b x>", "2: attribute name without = in element\né\u4e16<b x>\n-------^"},
		{"first of a line", "<a>\n<!DOCTYPE a>", "2: document type declarations are not accepted\n<!DOCTYPE a>\n^"},
		{"end of input", "<a>\n\n", "1: Premature end of data in tag a line 1\n<a>\n---^"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := newCodec().Parse(test.document)
			require.Error(t, err)
			assert.Equal(t, "(domain_definition):"+test.want, err.Error())
		})
	}
	// Of a long line only what is around the place is shown, and the pointer
	// still points at it.
	_, err := newCodec().Parse("<a b='" + wide + "' x='" + wide + "' y>" + wide + "</a>")
	require.Error(t, err)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 3)
	assert.Len(t, lines[1], 512)
	at := strings.Index(lines[2], "^")
	assert.True(t, strings.HasSuffix(lines[1][:at], "' y>"), lines[1][:at])
	assert.True(t, strings.HasPrefix(lines[1][at:], "xxx"))
}

// TestUnwritableTexts: texts are also set by calls that carry no document. They
// are printed so that they can be read again, without what XML cannot hold.
func TestUnwritableTexts(t *testing.T) {
	for given, want := range map[string]string{
		"a\x01b\x00c":      "abc",
		"a\xffb":           "a\ufffdb",
		"\ufffea\uffff":    "a",
		"\x1b[31mred\x7f":  "[31mred\x7f",
		"a\r\nb\tc":        "a\r\nb\tc",
		"]]> &amp; <x>'\"": "]]> &amp; <x>'\"",
		"\U0001f600":       "\U0001f600",
	} {
		codec := newCodec()
		def, err := codec.Parse(sketch{}.String())
		require.NoError(t, err)
		def.Description = given
		status := statusOf(def)
		status.CgroupPath = given

		printed := codec.FormatStatus(status)
		again, err := codec.ParseStatus(printed)
		require.NoError(t, err, printed)
		assert.Equal(t, want, again.Definition.Description)
		assert.Equal(t, want, again.CgroupPath, "attributes too")
		assert.Equal(t, lifecycle.Running, again.State)
	}
}
