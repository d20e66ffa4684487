package process

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// TestLooksAtWhatEnds: whatever a look into /proc meets while the process goes,
// the answer is that of a living process or that there is none.
func TestLooksAtWhatEnds(t *testing.T) {
	ps := newProcesses(t)
	for range 40 {
		cmd := exec.Command("true")
		require.NoError(t, cmd.Start())
		p, err := ps.Open(context.Background(), cmd.Process.Pid, 0)
		var waiting sync.WaitGroup
		waiting.Go(func() { _ = cmd.Wait() })
		if err != nil {
			require.ErrorIs(t, err, fault.NotFound)
			waiting.Wait()
			continue
		}
		for ended := false; !ended; {
			select {
			case <-p.Done():
				ended = true
			default:
			}
			for name, err := range looks(p) {
				if err != nil || ended {
					assert.ErrorIs(t, err, fault.NotFound, name)
				}
			}
		}
		require.NoError(t, p.Close())
		waiting.Wait()
	}
}

// looks are all questions, each once, and what came of them.
func looks(p ports.Process) map[string]error {
	failures := map[string]error{"signal": p.Signal(0)}
	_, failures["catches"] = p.Catches(1)
	_, failures["program"] = p.Program()
	_, failures["inode"] = p.(ports.PIDNamespaced).PIDNamespace()
	files, err := p.Namespaces()
	failures["namespaces"] = err
	if err == nil && len(files) != 6 {
		failures["namespaces"] = fmt.Errorf("only %d of them", len(files))
	}
	for _, f := range files {
		_ = f.Close()
	}
	return failures
}

// TestReusedNumberIsAnother: what has the number now is not what was known by it.
func TestReusedNumberIsAnother(t *testing.T) {
	ps := newProcesses(t)
	c := shell(t)
	for _, start := range []uint64{1, c.Start - 1, c.Start + 1, math.MaxUint64} {
		_, err := ps.Open(context.Background(), c.PID, start)
		require.ErrorIs(t, err, fault.NotFound, "%d", start)
		assert.ErrorContains(t, err, fmt.Sprint(c.PID))
	}
	p, err := ps.Open(context.Background(), c.PID, c.Start)
	require.NoError(t, err)
	assert.Equal(t, c.Start, p.Start())
	assert.Len(t, ps.open, 1, "those that were refused are not kept")
}

// TestNumbersBeyondTheKernels: it takes 32 bits; the rest must not be cut off, or
// another process would answer.
func TestNumbersBeyondTheKernels(t *testing.T) {
	ps := newProcesses(t)
	for _, pid := range []int{math.MaxInt32 + 1, 1<<32 + os.Getpid(), math.MinInt64, math.MaxInt64} {
		_, err := ps.Open(context.Background(), pid, 0)
		require.ErrorIs(t, err, fault.InvalidArgument, "%d", pid)
	}
	_, err := ps.Open(context.Background(), math.MaxInt32, 0)
	require.ErrorIs(t, err, fault.NotFound)
}

// TestManyGroups: a process decides itself how long its status is.
func TestManyGroups(t *testing.T) {
	needRoot(t)
	p := open(t, newProcesses(t), child(t, "groups").PID)
	caught, err := p.Catches(int(syscall.SIGTERM))
	require.NoError(t, err)
	assert.True(t, caught)
}

// TestProgramThatIsDeleted shows that there is no file to look at any more.
func TestProgramThatIsDeleted(t *testing.T) {
	text, err := os.ReadFile("/bin/sh")
	require.NoError(t, err)
	program := filepath.Join(t.TempDir(), "vlx shell")
	require.NoError(t, os.WriteFile(program, text, 0o700))
	c := spawn(t, exec.Command(program, "-c", "echo ready; read _"))
	p := open(t, newProcesses(t), c.PID)
	path, err := p.Program()
	require.NoError(t, err)
	assert.Equal(t, program, path)
	require.NoError(t, os.Remove(program))
	path, err = p.Program()
	require.NoError(t, err)
	assert.Equal(t, program+" (deleted)", path)
}

// TestCloseFromEverywhere: each process has one end, whoever brings it about.
func TestCloseFromEverywhere(t *testing.T) {
	ps, err := New()
	require.NoError(t, err)
	c := shell(t)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for {
				p, err := ps.Open(context.Background(), c.PID, c.Start)
				if err != nil {
					assert.ErrorIs(t, err, fault.Aborted)
					return
				}
				group.Go(func() { assert.NoError(t, p.Close()) })
				for name, err := range looks(p) {
					if err != nil {
						assert.ErrorIs(t, err, fault.NotFound, name)
					}
				}
				assert.NoError(t, p.Close())
			}
		})
	}
	for range 20 { // some come and go first
		open(t, ps, c.PID)
	}
	group.Go(func() { assert.NoError(t, ps.Close()) })
	assert.NoError(t, ps.Close())
	group.Wait()
	assert.Empty(t, ps.open)
}
