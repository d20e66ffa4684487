package main

import (
	"bytes"
	"go/format"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tableOf parses lines as a table of its own, or one whose names are looked up in
// parent too.
func tableOf(t testing.TB, prefix string, parent *table, lines ...string) (*table, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "some.txt")
	require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	return load(path, "some", prefix, parent)
}

func mustTable(t testing.TB, lines ...string) *table {
	t.Helper()
	parsed, err := tableOf(t, "", nil, lines...)
	require.NoError(t, err)
	return parsed
}

func TestParse(t *testing.T) {
	got := mustTable(t,
		"# a comment", "", "   ", "const NAME_MAX 0x10", "type word = string<NAME_MAX>", "enum mode: MODE_ON=1 MODE_OFF=0",
		"struct thing: name:word modes:mode<4>", "struct empty:", "proc 7 do_it served=lxc priority=high readonly=no args=thing ret=-",
	)
	assert.Equal(t, []constant{{"NAME_MAX", "0x10"}}, got.consts)
	assert.Equal(t, map[string]string{"word": "string<NAME_MAX>"}, got.aliases)
	assert.Equal(t, []enum{{"mode", []constant{{"MODE_ON", "1"}, {"MODE_OFF", "0"}}}}, got.enums)
	assert.Equal(t, []structure{
		{"thing", []field{{"name", "word"}, {"modes", "mode<4>"}}}, {"empty", nil},
	}, got.structs)
	assert.Equal(t, []proc{{"7", "do_it", map[string]string{
		"served": "lxc", "priority": "high", "readonly": "no", "args": "thing", "ret": "-",
	}}}, got.procs)
}

// Every refusal names the file and the line.
func TestParseRefusals(t *testing.T) {
	cases := map[string]string{
		"const":                               "incomplete line",
		"const X":                             "want const NAME VALUE",
		"const X 1 2":                         "want const NAME VALUE",
		"type x y z":                          "want type NAME = TYPE",
		"type x = y z":                        "want type NAME = TYPE",
		"enum x: A=1 B":                       `want MEMBER=VALUE, not "B"`,
		"struct x: a:i32 b":                   `want FIELD:TYPE, not "b"`,
		"struct first: a:i32":                 "first is there already",
		"union x: a:i32":                      `unknown item "union"`,
		"proc 1 x":                            "want proc NUMBER NAME and keys",
		"proc one x readonly=no":              `"one" is no procedure number`,
		"proc -1 x readonly=no":               `"-1" is no procedure number`,
		"proc 2147483648 x c=-":               "is no procedure number",
		"proc 1 x readonly=no":                "nobody serves x",
		"proc 1 x readonly":                   `want KEY=VALUE, not "readonly"`,
		"proc 1 x readonly=maybe served=lxc":  `readonly is one of [yes no cond], not "maybe"`,
		"proc 1 x readonyl=no served=lxc":     `unknown key "readonyl"`,
		"proc 1 x priority= served=lxc":       "priority is one of [high low]",
		"proc 1 x needs=Nothing served=lxc":   "needs is one of [nothing auth open]",
		"const " + strings.Repeat("x", 1<<17): "token too long",
	}
	for line, want := range cases {
		_, err := tableOf(t, "", nil, "struct first: a:i32", line)
		require.ErrorContains(t, err, want)
		assert.ErrorContains(t, err, "some.txt")
		if want != "token too long" {
			assert.ErrorContains(t, err, "some.txt:2: ")
		}
	}
	_, err := load(filepath.Join(t.TempDir(), "absent.txt"), "x", "", nil)
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestResolve(t *testing.T) {
	parent := mustTable(t,
		"const NAME_MAX 16", "const LIST_MAX 4", "type uuid = opaque[16]", "type word = string<NAME_MAX>",
		"enum mode: MODE_ON=1", "struct nonnull_pair: a:i32 b:word",
	)
	own, err := tableOf(t, "Own", parent, "const LIST_MAX 8", "struct nonnull_mine: p:nonnull_pair id:u64", "enum colour: RED=1")
	require.NoError(t, err)
	cases := []struct {
		notation, goes, limit string
		kind                  kind
		min                   int
	}{
		{"i8", "int8", "", number, 4},
		{"u16", "uint16", "", number, 4},
		{"i32", "int32", "", number, 4},
		{"u64", "uint64", "", number, 8},
		{"f64", "float64", "", number, 8},
		{"string<7>", "string", "7", text, 4},
		{"word", "string", "NameMax", text, 4},
		{"uuid", "UUID", "16", fixed, 16},
		{"opaque[5]", "[5]byte", "5", fixed, 8},
		{"opaque<LIST_MAX>", "[]byte", "OwnListMax", opaque, 4},
		{"opaque<NAME_MAX>", "[]byte", "NameMax", opaque, 4},
		{"i8[3]", "[3]byte", "3", array, 12},
		{"i8<9>", "[]byte", "9", list, 4},
		{"u8<9>", "[]uint8", "9", list, 4},
		{"word<2>", "[]string", "2", list, 4},
		{"nonnull_pair<2>", "[]Pair", "2", list, 4},
		{"word?", "*string", "", maybe, 4},
		{"nonnull_mine?", "*OwnMine", "", maybe, 4},
		{"nonnull_pair", "Pair", "", message, 8},
		{"nonnull_mine", "OwnMine", "", message, 16},
		{"mode", "Mode", "", choice, 4},
		{"colour", "OwnColour", "", choice, 4},
		{"typed_param", "TypedParam", "", message, 12},
	}
	for _, c := range cases {
		got, err := own.resolve(c.notation)
		require.NoError(t, err, c.notation)
		assert.Equal(t, c.goes, got.goes, c.notation)
		assert.Equal(t, c.limit, got.limit, c.notation)
		assert.Equal(t, c.kind, got.kind, c.notation)
		assert.Equal(t, c.min, got.min, "%s: fewest bytes", c.notation)
		assert.GreaterOrEqual(t, got.hint, got.min, "%s: usual bytes", c.notation)
	}
}

// A list of what takes no bytes could announce millions of elements in an empty
// packet, a message in itself could make its decoder use up the stack.
func TestResolveRefusals(t *testing.T) {
	cases := map[string]string{
		"struct x: a:nothing":                        `x.a: unknown type "nothing"`,
		"struct x: a:string<NO_MAX>":                 `unknown maximum "NO_MAX"`,
		"struct x: a:string<-1>":                     `unknown maximum "-1"`,
		"struct x: a:string<>":                       `unknown maximum ""`,
		"struct x: a:string<4294967296>":             "unknown maximum",
		"struct x: a:i32[4]":                         "arrays of i32",
		"struct x: a:opaque[z]":                      "invalid syntax",
		"struct x: a:nothing<4>":                     `unknown type "nothing"`,
		"struct x: a:nothing?":                       `unknown type "nothing"`,
		"struct empty:\nstruct x: a:empty<4>":        "any number of elements",
		"struct x: a:x":                              "x contains itself",
		"struct x: a:x?":                             "x contains itself",
		"struct x: a:y<4>\nstruct y: b:i32 c:x":      "contains itself",
		"struct inner: z:nothing\nstruct x: a:inner": "z: unknown type",
	}
	for lines, want := range cases {
		parsed := mustTable(t, strings.Split(lines, "\n")...)
		require.ErrorContains(t, writeTable(parsed, t.TempDir()), want, lines)
	}
}

// FuzzTable: what is taken becomes Go that can be parsed, and always the same.
func FuzzTable(f *testing.F) {
	for _, name := range []string{"lxc", "admin", "message", "qemu"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "tables", name+".txt"))
		require.NoError(f, err)
		f.Add(string(text))
	}
	f.Add("struct x: a:x?\n")
	f.Add("const A 1\nenum e: E_A=1\nstruct s: e:e m:i8<A> t:typed_param\nproc 1 p served=lxc readonly=yes needs=open args=s msg=s\n")
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := tableOf(t, "", nil, text)
		if err != nil {
			return
		}
		for _, s := range parsed.structs {
			var once, again bytes.Buffer
			if err := emitStruct(&once, parsed, s); err != nil {
				continue
			}
			require.NoError(t, emitStruct(&again, parsed, s))
			require.Equal(t, once.String(), again.String())
			if plain(s) {
				_, err := format.Source(append([]byte("package p\n"), once.Bytes()...))
				require.NoError(t, err, once.String())
			}
		}
	})
}

// plain: names that Go can spell; what others become go vet would tell.
func plain(s structure) bool {
	ok := func(r rune) bool { return r < 'A' || r > 'z' || r > 'Z' && r < 'a' }
	if strings.IndexFunc(s.name, ok) >= 0 || s.name == "" {
		return false
	}
	for _, f := range s.fields {
		if strings.IndexFunc(f.name, ok) >= 0 || f.name == "" {
			return false
		}
	}
	return true
}
