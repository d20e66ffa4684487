package real

import (
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// openTerminals counts the host's pseudo-terminals that the daemon or a controller
// of the machine could have open.
func openTerminals(pids []int) (n int) {
	for _, pid := range pids {
		dir := "/proc/" + itoa(pid) + "/fd/"
		entries, _ := os.ReadDir(dir)
		for _, entry := range entries {
			if target, err := os.Readlink(dir + entry.Name()); err == nil && (target == "/dev/ptmx" || target == "/dev/pts/ptmx") {
				n++
			}
		}
	}
	return n
}

// TestCycles starts and stops often: nothing may grow.
func TestCycles(t *testing.T) {
	m := newMachine(t)
	m.bridge("vlxbr")
	m.define(guest{name: "vlxplain"})
	m.define(guest{name: "vlxnic", devices: nic("10.9.0.1", "52:54:00:00:00:01")})
	cycles := func(name string, count int) {
		commands := make([]string, 0, 2*count)
		for range count {
			commands = append(commands, "start "+name, "destroy "+name)
		}
		m.batch(commands...)
		m.clean()
	}
	cycles("vlxplain", 10)
	cycles("vlxnic", 5)
	m.clean()
	descriptors, links := fds(m.pid()), m.links()
	running, err := strconv.Atoi(threads(m.pid()))
	require.NoError(t, err)

	cycles("vlxplain", 200)
	cycles("vlxnic", 50)
	m.eventually("the last client to be gone", func() bool { return fds(m.pid()) <= descriptors })
	assert.Equal(t, links, m.links())
	assert.Zero(t, openTerminals([]int{m.pid()}))
	now, err := strconv.Atoi(threads(m.pid()))
	require.NoError(t, err)
	assert.LessOrEqual(t, now, running+8, "threads")
}
