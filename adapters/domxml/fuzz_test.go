package domxml_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func seeds(f *testing.F, wrap func(string) string) {
	for _, name := range []string{"example1", "example2", "example3"} {
		f.Add(wrap(golden(f, name+".input.xml")))
		f.Add(wrap(golden(f, name+".live.xml")))
	}
	for _, test := range slices.Concat(rejections, deviceRejections) {
		f.Add(wrap(test.document))
	}
	f.Add(wrap(body("<metadata xmlns:q='u'><q:a> <b/>x<!-- c --> <?p i?></q:a></metadata><x y='&#10;&#13;&#9;'> <z/> </x>")))
	f.Add(wrap(sketch{attrs: " xmlns:lxc='u' xmlns:z='v' z:a='1'", body: "<lxc:namespace/><z:name/><memory z:q='1'/>"}.String()))
	f.Add(wrap(sketch{attrs: lxcAttr + " xmlns:lxc='u' lxc:a='1'", body: "<n:namespace><sharenet type='pid' value='1'/></n:namespace>"}.String()))
	for _, tag := range []string{"name", "uuid"} {
		for _, inner := range []string{
			"<%s a='>' b=\"'>\">x</%s>", "<%s\n\tc = '/'\r>x</%s\t>", "<%s><![CDATA[</name>]]>&#13;\r\n&amp;</%s>", "<%s><!-- </uuid> --><a/>x</%s>",
			"<%s xmlns=''>x</%s>", "<%s xmlns = \"u\">x</%s>", "<%s a='1'xmlns=''>x</%s>", "<?%s > </a?><b:%s xmlns:b='u'/>", "<a><%s/></a><%s/>",
		} {
			inner = strings.ReplaceAll(inner, "%s", tag)
			f.Add(wrap("\ufeff<?xml version='1.0'?><!-- > --><domain xmlns='' type='lxc'>" + inner + sketch{}.String()[len("<domain type='lxc'>"):]))
			f.Add(wrap("<domain type='lxc' xmlns='u'>" + inner + sketch{}.String()[len("<domain type='lxc'>"):]))
		}
	}
	f.Add(wrap(devices(bridge + "<alias name='a'/><q/><address type='x'/></interface><q xmlns='u'/>")))
}

// FuzzParse: what is accepted can be printed and read again without change,
// and Peek sees the same identity.
func FuzzParse(f *testing.F) {
	seeds(f, func(document string) string { return document })
	f.Fuzz(func(t *testing.T, document string) {
		codec := newCodec()
		def, drawn, err := codec.ParseStored(document)
		if err != nil {
			return
		}
		name, uuid, has, err := codec.Peek(document)
		require.NoError(t, err)
		assert.Equal(t, def.Name, name)
		assert.Equal(t, drawn.UUID, !has)
		if has {
			assert.Equal(t, def.UUID, uuid)
		}
		printed := codec.Format(def, inactive)
		again, err := codec.Parse(printed)
		require.NoError(t, err, printed)
		require.Equal(t, def, again, printed)
		require.Equal(t, printed, codec.Format(again, inactive))
	})
}

// FuzzPeek never panics, and finds nothing where Parse sees another name.
func FuzzPeek(f *testing.F) {
	seeds(f, func(document string) string { return document })
	f.Fuzz(func(t *testing.T, document string) {
		codec := newCodec()
		name, _, _, err := codec.Peek(document)
		if err != nil {
			_, err := codec.Parse(document)
			require.Error(t, err, "Parse accepts what Peek refuses")
			return
		}
		require.NotEmpty(t, name)
	})
}

func FuzzParseStatus(f *testing.F) {
	seeds(f, func(document string) string {
		return "<domstatus state='running' reason='booted' pid='4' persistent='yes'><init pid='5' start='6'/><controller start='7' socket='/s'/>" +
			document + "</domstatus>"
	})
	f.Fuzz(func(t *testing.T, document string) {
		codec := newCodec()
		status, err := codec.ParseStatus(document)
		if err != nil {
			return
		}
		printed := codec.FormatStatus(status)
		again, err := codec.ParseStatus(printed)
		require.NoError(t, err, printed)
		require.Equal(t, status, again, printed)
	})
}

func FuzzMetadata(f *testing.F) {
	f.Add("<a><b xmlns:q='u'/></a>", "p", "u:1")
	f.Add("<q:a xmlns:q='u:1'> x <b/></q:a>", "p", "u:1")
	f.Add("<a xmlns=''><b xmlns='v'/></a>", "lxc", "&<>'\"\n")
	f.Fuzz(func(t *testing.T, element, prefix, namespace string) {
		codec := newCodec()
		m, err := codec.Metadata(element, prefix, namespace)
		if err != nil {
			return
		}
		require.Equal(t, namespace, m.Namespace)
		def, err := codec.Parse(sketch{}.String())
		require.NoError(t, err)
		def.Metadata = append(def.Metadata, m)
		printed := codec.Format(def, inactive)
		again, err := codec.Parse(printed)
		require.NoError(t, err, printed)
		require.Equal(t, def, again, printed)
	})
}
