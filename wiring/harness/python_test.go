package harness

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// python is the interpreter that distributions install the module for.
const python = "/usr/bin/python3"

// TestPython runs a program that uses libvirt-python: calls, error codes,
// events, a stream, two connections at a time.
func TestPython(t *testing.T) {
	if exec.Command(python, "-c", "import libvirt").Run() != nil {
		t.Skip("needs libvirt-python (Debian: python3-libvirt)")
	}
	m := New(Config{Prefix: shortDir(t)})
	m.Host.AddRoot("/srv/web")
	m.Host.AddRoot("/srv/once")
	require.NoError(t, m.Start(t.Context()))
	empty := m.Host.String()
	document := filepath.Join(t.TempDir(), "web.xml")
	require.NoError(t, os.WriteFile(document, []byte(everything), 0o644))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	program := exec.CommandContext(ctx, python, "-u", "testdata/api.py", uri(m.Socket(false)), uri(m.Socket(true)), document)
	program.Env = environment(t.TempDir())
	out, err := program.CombinedOutput()
	require.NoError(t, err, "%s", out)
	want, err := os.ReadFile("testdata/api.out")
	if *update {
		require.NoError(t, os.WriteFile("testdata/api.out", out, 0o644))
		want, err = out, nil
	}
	require.NoError(t, err)
	assert.Equal(t, string(want), string(out))
	require.NoError(t, m.Stop(t.Context()))
	assert.Empty(t, m.Host.OpenFiles(), "left open by the daemon")
	assert.Equal(t, empty, m.Host.String())
}
