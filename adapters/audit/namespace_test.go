package audit

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
)

const insideName = "VLX_AUDIT_INSIDE"

// TestWithoutATrail runs TestInside where the host's trail is out of reach.
func TestWithoutATrail(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: a PID namespace")
	}
	inside := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestInside$", "-test.v")
	inside.Env = append(os.Environ(), insideName+"=1")
	inside.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	out, err := inside.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Contains(t, string(out), "--- PASS: TestInside")
}

func TestInside(t *testing.T) {
	if os.Getenv(insideName) == "" {
		t.Skip("needs TestWithoutATrail around it")
	}
	log, out := newLog()
	a, err := New(Options{Level: 1}, log)
	require.NoError(t, err)
	assert.Nil(t, a.kernel)
	a.Record(stopped(1))
	require.NoError(t, a.Close())
	assert.Contains(t, out.String(), `level=INFO msg="this host has no audit trail for containers" error=`)

	_, err = New(Options{Level: 2}, log)
	require.ErrorIs(t, err, fault.System)
}
