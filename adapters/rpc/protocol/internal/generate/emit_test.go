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

// One field of every kind, as Go. The text is what people will read: a change of the
// generator shows here before it shows in ten thousand lines.
func TestEmitStruct(t *testing.T) {
	parsed := mustTable(t,
		"const MANY 4", "enum mode: MODE_ON=1", "struct nonnull_part: id:u32",
		"struct whole: n:i32 small:u8 mode:mode word:string<9> blob:opaque<9> mac:opaque[6] name:i8[8] part:nonnull_part "+
			"chars:i8<9> ids:u64<MANY> parts:nonnull_part<MANY> perhaps:string<9>? other:nonnull_part?",
	)
	var b bytes.Buffer
	require.NoError(t, emitStruct(&b, parsed, parsed.byName["whole"]))
	got, err := format.Source(append([]byte("package p\n\n"), b.Bytes()...))
	require.NoError(t, err)
	want, err := os.ReadFile(filepath.Join("testdata", "whole.txt"))
	require.NoError(t, err)
	assert.Equal(t, string(want), string(got))
}

// A message of numbers alone cannot fail to be encoded, and declares no error.
func TestEmitInfallible(t *testing.T) {
	parsed := mustTable(t, "struct numbers: a:i32 b:f64? c:opaque[4]", "struct words: a:i32 b:string<4>?")
	for name, declared := range map[string]bool{"numbers": false, "words": true} {
		var b bytes.Buffer
		require.NoError(t, emitStruct(&b, parsed, parsed.byName[name]))
		assert.Equal(t, declared, strings.Contains(b.String(), "var err error"), name)
	}
}

func TestEmitProcedures(t *testing.T) {
	cases := map[string]string{
		"served=lxc priority=low readonly=no c=virDo error=0 acl=domain:read args=a ret=-": `1: {Number: 1, Name: "DoIt", Wire: "DO_IT", ` +
			`Function: "virDo", ReadOnly: Refused, ACL: "domain:read", ServedBy: ByDriver, Args: of[XA]},`,
		"served=daemon+lxc priority=high readonly=cond needs=auth error=20 acl=a:b,c:d:1 filter=e:f": `1: {Number: 1, Name: "DoIt", Wire: "DO_IT", ` +
			`High: true, ReadOnly: Conditional, Needs: Authenticated, ACL: "a:b c:d:1", Filter: "e:f", ErrorDomain: 20, ServedBy: ByBoth},`,
		"served=virtnetworkd needs=open readstream=2": `1: {Number: 1, Name: "DoIt", Wire: "DO_IT", ` +
			`Needs: Opened, Stream: ReadStream, ServedBy: BySibling, Sibling: "virtnetworkd"},`,
		"served=event msg=nonnull_m c=-": `1: {Number: 1, Name: "DoIt", Wire: "DO_IT", ServedBy: ByEvent, Event: of[XM]},`,
		"served=none writestream=1 readonly=yes needs=nothing": `1: {Number: 1, Name: "DoIt", Wire: "DO_IT", ` +
			`ReadOnly: Allowed, Needs: Nothing, Stream: WriteStream, ServedBy: ByNobody},`,
	}
	for keys, want := range cases {
		parsed, err := tableOf(t, "X", nil, "proc 1 do_it "+keys)
		require.NoError(t, err)
		var b bytes.Buffer
		emitProc(&b, parsed, parsed.procs[0])
		assert.Equal(t, want+"\n", b.String())
	}
}

func TestEmitTable(t *testing.T) {
	parsed, err := tableOf(t, "X", nil, "const NAME_MAX 4", "enum nonnull_mode: SOME_MODE_ON=1 SOME_MODE_OFF=2", "proc 3 go_on served=lxc")
	require.NoError(t, err)
	var b bytes.Buffer
	emitTable(&b, parsed)
	for _, line := range []string{
		"XNameMax = 4", "// XMode is nonnull_mode on the wire.", "type XMode int32", "XModeOn XMode = 1", "XModeOff XMode = 2",
		"XProcGoOn = 3", "var someProcedures = [...]Procedure{",
	} {
		assert.Contains(t, b.String(), line+"\n")
	}
	empty := mustTable(t, "# nothing")
	b.Reset()
	emitTable(&b, empty)
	assert.Empty(t, b.String())
}

// Messages go to one file for each family of objects, by the first word of their name.
func TestFamilies(t *testing.T) {
	for name, want := range map[string]string{
		"domain_get_info_args": "domain", "connect_open_args": "connect", "node_info": "node", "nonnull_domain": "objects",
		"storage_vol_args": "storage", "error": "objects", "domains": "objects", "": "objects",
	} {
		assert.Equal(t, want, family(name), name)
	}
}

// Nothing is written where a table cannot be used, or the place is not there.
func TestRunFailures(t *testing.T) {
	out := t.TempDir()
	require.ErrorIs(t, run(filepath.Join(out, "absent"), out), os.ErrNotExist)
	require.NoError(t, os.WriteFile(filepath.Join(out, "remote.txt"), []byte("struct x: a:nothing\n"), 0o600))
	require.ErrorContains(t, run(out, out), "remote.txt: x.a")
	written, err := filepath.Glob(filepath.Join(out, "*.go"))
	require.NoError(t, err)
	assert.Empty(t, written)
	require.ErrorIs(t, run(filepath.Join("..", "..", "tables"), filepath.Join(out, "absent")), os.ErrNotExist)
}
