package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestGeneratedFilesAreCurrent writes everything again and compares.
func TestGeneratedFilesAreCurrent(t *testing.T) {
	out := t.TempDir()
	require.NoError(t, run(filepath.Join("..", "..", "tables"), out))
	fresh, err := filepath.Glob(filepath.Join(out, "*_gen.go"))
	require.NoError(t, err)
	committed, err := filepath.Glob(filepath.Join("..", "..", "*_gen.go"))
	require.NoError(t, err)
	assert.Len(t, committed, len(fresh))
	for _, path := range fresh {
		want, err := os.ReadFile(path)
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join("..", "..", filepath.Base(path)))
		require.NoError(t, err)
		assert.True(t, string(want) == string(got), "%s is stale: run go generate", filepath.Base(path))
	}
}

func TestNames(t *testing.T) {
	for in, want := range map[string]string{
		"domain_get_xml_desc": "DomainGetXMLDesc", "hv_ver": "HvVer", "callbackID": "CallbackID", "maxMem": "MaxMem",
		"nrVirtCpu": "NrVirtCPU", "uuid": "UUID", "oldMAC": "OldMAC", "need_results": "NeedResults", "STRING_MAX": "STRINGMAX",
	} {
		assert.Equal(t, want, goName(in))
	}
	assert.Equal(t, "StringMax", constName("STRING_MAX"))
	assert.Equal(t, "Domain", typeName("nonnull_domain"))
}

func TestBadTables(t *testing.T) {
	for _, line := range []string{
		"thing x", "const X", "type x y", "enum x: y", "struct x: y", "struct x: y:nothing", "struct x: y:i32[4]",
		"struct x: y:opaque[z]", "proc 1 x", "proc 1 x y", "struct",
	} {
		path := filepath.Join(t.TempDir(), "remote.txt")
		require.NoError(t, os.WriteFile(path, []byte("# comment\n\n"+line+"\n"), 0o600))
		table, err := load(path, "remote", "", nil)
		if err == nil {
			err = writeTable(table, t.TempDir())
		}
		assert.Error(t, err, line)
	}
}
