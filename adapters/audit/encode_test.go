package audit

import (
	"encoding/hex"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/audit"
	"virtlxcd/domain/container"
)

func TestEncode(t *testing.T) {
	for value, want := range map[string]string{
		"":           `""`,
		"web":        `"web"`,
		"?":          `"?"`,
		"/srv/web=1": `"/srv/web=1"`,
		"a b":        "612062",
		`a"b`:        "612262",
		"a'b":        "612762",
		"a\nb":       "610A62",
		"a\x00":      "6100",
		"a\x7f":      "617F",
		"grün":       "6772C3BC6E",
		"\xff":       "FF",
		"!~":         `"!~"`,
	} {
		assert.Equal(t, want, encode(value), "%q", value)
	}
}

func TestMessage(t *testing.T) {
	record := audit.Record{Kind: audit.Control, Success: true, Fields: []audit.Field{
		{Name: "virt", Value: "lxc"}, {Name: "vm", Value: "a b", Text: true}, {Name: "old-net", Value: "x", Missing: true},
		{Name: "old-fs", Text: true, Missing: true}, {Name: "vm-pid", Value: "7"},
	}}
	const text = `virt=lxc vm=612062 old-net=? old-fs="?" vm-pid=7 exe="/usr/sbin/virtlxcd" hostname=? addr=? terminal=? res=`
	assert.Equal(t, text+"success", message(record, "/usr/sbin/virtlxcd"))
	record.Success = false
	assert.Equal(t, text+"failed", message(record, "/usr/sbin/virtlxcd"))
}

// TestMessageStaysWhole: whatever names there are, the outcome is in it.
func TestMessageStaysWhole(t *testing.T) {
	id := container.Identity{Name: strings.Repeat("n ", 2048)}
	record := audit.Stopped(id, 1, audit.Destroyed)
	text := message(record, "/"+strings.Repeat("x ", 2048))
	assert.LessOrEqual(t, len(text), longest)
	assert.True(t, strings.HasSuffix(text, "res=success"), text)

	record = audit.Stopped(container.Identity{Name: strings.Repeat("n", 4000)}, 1, audit.Destroyed)
	assert.Contains(t, message(record, "/x"), strings.Repeat("n", 4000), "cut only if it has to be")
}

// form is what readers of the trail split a text by.
var form = regexp.MustCompile(`^vm=("[!#-&(-~]*"|(?:[0-9A-F]{2})+) exe=("[!#-&(-~]*"|(?:[0-9A-F]{2})+) hostname=\? addr=\? terminal=\? res=(success|failed)$`)

func FuzzMessage(f *testing.F) {
	for _, value := range []string{"", "web", `a" res=success`, "it's", "a\nb", "\xff\x00", strings.Repeat("a ", 2500)} {
		f.Add(value, value)
	}
	f.Fuzz(func(t *testing.T, name, exe string) {
		record := audit.Record{Fields: []audit.Field{{Name: "vm", Value: name, Text: true}}}
		text := message(record, exe)
		require.LessOrEqual(t, len(text), longest)
		parts := form.FindStringSubmatch(text)
		require.NotNil(t, parts, "%q", text)
		require.Equal(t, "failed", parts[3])
		requireSame(t, name, parts[1])
		requireSame(t, exe, parts[2])
	})
}

// requireSame decodes a value as readers do. A long one may have lost its end.
func requireSame(t *testing.T, want, printed string) {
	value, quoted := strings.CutPrefix(printed, `"`)
	value = strings.TrimSuffix(value, `"`)
	if !quoted {
		decoded, err := hex.DecodeString(value)
		require.NoError(t, err)
		value = string(decoded)
	}
	if len(value) < longestValue {
		require.Equal(t, want, value)
		return
	}
	require.True(t, strings.HasPrefix(want, value))
}
