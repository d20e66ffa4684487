package domxml_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPeek(t *testing.T) {
	codec := newCodec()
	for _, test := range []struct {
		document, name string
		has            bool
	}{
		{sketch{}.String(), "a", true},
		{"<!-- c --><domain><name>x</name><uuid>11111111222233334444555555555555</uuid>then <nonsense", "x", true},
		{"<domain><metadata><name>no</name></metadata><name>a<!-- -->b<q/>c</name></domain>", "abc", false},
		{"<domain xmlns='u'><name>no</name><name xmlns=''>yes</name></domain>", "yes", false},
		{"<domain xmlns = 'u'><name a='1'xmlns=\"\">yes</name></domain>", "yes", false},
		{"<domain xmlns=''><name><![CDATA[<]]>&#13;\r\n</name></domain>", "<\r\n", false},
		{"<domain a='>\"' b=\">'\"><a><![CDATA[</a></domain>]]></a><?p </domain>?><name>x</name></domain>", "x", false},
		{"<domain><x:name xmlns:x='u'>no</x:name><name>&lt;</name><name>two</name><uuid/></domain>", "<", false},
	} {
		name, _, has, err := codec.Peek(test.document)
		require.NoError(t, err, test.document)
		assert.Equal(t, test.name, name, test.document)
		assert.Equal(t, test.has, has, test.document)
	}
	for _, document := range []string{
		"", "<foo/>", "<domain/>", "<domain><name/></domain>", "<domain><name>a</name>", "<domain><name>a</name><uuid>z</uuid></domain>",
		"<domain xmlns='u'><name>a</name></domain>", "<!DOCTYPE d [<!ENTITY a 'b'>]><domain><name>&a;</name></domain>",
		"<domain>" + repeat("<a>", 300), "<domain>" + repeat("<a/>", 100_001), repeat(" ", 5<<20),
	} {
		_, _, _, err := codec.Peek(document)
		require.Error(t, err)
	}
}

// large pads a document to most of what a client can send.
func large(head, filler, tail string) string {
	return head + strings.Repeat(filler, (clientLimit-len(head)-len(tail))/len(filler)) + tail
}

const clientLimit = 4 << 20

// largest are documents of 4 MB that are hard to look through.
var largest = map[string]string{
	"text":         large("<domain><name>a</name><metadata>", "0123456789 abcdef\n", "</metadata></domain>"),
	"elements":     large("<domain><name>a</name><metadata>", "<a b='0123456789'><c>0123456789</c><d/></a>", "</metadata></domain>"),
	"attributes":   large("<domain><name>a</name><metadata>", "<a b='"+strings.Repeat("x", 100)+"'/>", "</metadata></domain>"),
	"children":     large("<domain><name>a</name>", "<a b='"+strings.Repeat("x", 30)+"'>&lt;</a>", "</domain>"),
	"comments":     large("<domain><name>a</name>", "<!-- "+strings.Repeat("x", 35)+" -->", "</domain>"),
	"sections":     large("<domain><name>a</name><metadata>", "<![CDATA[]]>", "</metadata></domain>"),
	"one tag":      large("<domain><name>a</name><a ", "b='x' ", "/></domain>"),
	"tag of words": large("<domain ", "xmln ", "><name>a</name></domain>"),
	"declarations": large("<domain ", "a='' ", "><name>a</name></domain>"),
	"too many":     large("<domain><name>a</name>", "<a/>", "</domain>"),
	"no name":      large("<domain>", "<b>text</b>", "</domain>"),
	"instructions": large("<domain>", "<??>", "</domain>"),
	"foreign":      large("<domain xmlns='x'><name xmlns=''>a</name>", "<uuid a='' b='' c='' d='' e='' xmlns='u'/>", "</domain>"),
	"long name":    large("<domain><name>", "&lt;", "</name></domain>"),
	"long root":    large("<", "domain", "/>"),
	"no end":       large("<domain a='", "domain", ""),
	"open":         large("", "<a>", ""),
	"brackets":     large("", "<", ""),
	"line ends":    large("<domain>", "\n", "<!"),
	"blank":        large("", " ", ""),
}

// TestPeekIsCheap whatever is in the document: nobody's rights are known yet.
func TestPeekIsCheap(t *testing.T) {
	codec := newCodec()
	for name, document := range largest {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			found, _, has, err := codec.Peek(document)
			runtime.ReadMemStats(&after)
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<10))
			assert.False(t, has)
			if err != nil {
				assert.Less(t, len(err.Error()), 4096)
				_, why := codec.Parse(document)
				require.Error(t, why)
				return
			}
			assert.Equal(t, "a", found)
		})
	}
}

func BenchmarkPeek(b *testing.B) {
	codec := newCodec()
	for name, document := range largest {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _, _, _ = codec.Peek(document)
			}
		})
	}
}
