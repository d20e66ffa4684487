package real

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// talker answers on its console.
const talker = `trap 'exit 0' TERM; while read line; do echo "got $line"; done`

// speaks asserts that a container's console works.
func (m *machine) speaks(name string) {
	m.t.Helper()
	term := m.attach(name, 0)
	defer term.close()
	term.typed("word\n")
	term.expect("got word")
}

func TestDaemonKilled(t *testing.T) {
	m := newMachine(t)
	m.bridge("vlxbr")
	names := []string{"vlxa", "vlxb", "vlxc"}
	m.run(guest{name: "vlxa", init: talker})
	m.run(guest{name: "vlxb", init: talker, devices: nic("10.9.0.1", "52:54:00:00:00:01")})
	m.virsh("create", m.file(guest{name: "vlxc", init: talker}))
	m.virsh("suspend", "vlxa")
	ids, inits := map[string]int{}, map[string]int{}
	for _, name := range names {
		ids[name], inits[name] = m.identity(name)
	}
	for _, end := range []func(){m.kill, m.stop, m.kill} {
		end()
		m.start()
		assert.ElementsMatch(t, names, strings.Fields(m.virsh("list", "--name")))
		for _, name := range names {
			id, init := m.identity(name)
			assert.Equal(t, ids[name], id)
			assert.Equal(t, inits[name], init)
			assert.True(t, alive(init))
		}
		assert.Equal(t, "paused", m.virsh("domstate", "vlxa"))
		m.virsh("resume", "vlxa")
		for _, name := range names {
			m.speaks(name)
		}
		m.virsh("suspend", "vlxa")
		assert.Contains(t, m.inside("vlxb", "ip addr"), "10.9.0.1/24")
	}
	for _, name := range names {
		m.virsh("destroy", name)
	}
	assert.Equal(t, []string{"vlxa", "vlxb"}, sorted(strings.Fields(m.virsh("list", "--all", "--name"))))
	m.clean()
}

func sorted(names []string) []string {
	slices.Sort(names)
	return names
}

// TestEndsWhileNobodyLooks: what ends without a daemon is off for the next.
func TestEndsWhileNobodyLooks(t *testing.T) {
	m := newMachine(t)
	m.run(guest{name: "vlxkept"})
	m.virsh("create", m.file(guest{name: "vlxgone"}))
	m.run(guest{name: "vlxreboots", init: "trap 'reboot -f' HUP; " + sleeper})
	id, first := m.identity("vlxreboots")
	kept, gone := m.initOf("vlxkept"), m.initOf("vlxgone")
	m.kill()
	for _, pid := range []int{kept, gone} {
		require.NoError(t, unix.Kill(pid, unix.SIGTERM))
		m.eventually("init to end", func() bool { return !alive(pid) })
	}
	require.NoError(t, unix.Kill(first, unix.SIGHUP))
	m.eventually("init to end", func() bool { return !alive(first) })
	m.start()
	m.eventually("the rest to be known", func() bool {
		return m.virsh("list", "--name") == "vlxreboots" && !strings.Contains(m.virsh("list", "--all", "--name"), "vlxgone")
	})
	assert.Contains(t, m.virsh("domstate", "--reason", "vlxkept"), "shut off (shutdown)")
	again, second := m.identity("vlxreboots")
	assert.Equal(t, id, again)
	assert.NotEqual(t, first, second)
	m.virsh("start", "vlxkept")
}

// TestControllerKilled: a container outlives its controller, and so does its
// console, because the daemon holds duplicates.
func TestControllerKilled(t *testing.T) {
	m := newMachine(t)
	m.run(guest{name: "vlxorphan", init: talker})
	id, init := m.identity("vlxorphan")
	m.speaks("vlxorphan")
	for range 3 {
		old := m.controllers()
		require.Len(t, old, 1)
		require.NoError(t, unix.Kill(old[0], unix.SIGKILL))
		m.eventually("a new controller", func() bool {
			now := m.controllers()
			return len(now) == 1 && now[0] != old[0]
		})
		assert.True(t, alive(init))
		assert.Equal(t, "running", m.virsh("domstate", "vlxorphan"))
		m.speaks("vlxorphan")
	}
	again, same := m.identity("vlxorphan")
	assert.Equal(t, id, again)
	assert.Equal(t, init, same)
	t.Run("its end is still noticed", func(t *testing.T) {
		m.virsh("shutdown", "vlxorphan")
		m.eventually("the end", func() bool { return m.virsh("domstate", "vlxorphan") == "shut off" })
		m.clean()
	})
	t.Run("both gone", func(t *testing.T) {
		m.virsh("define", m.again("vlxorphan", guest{name: "vlxorphan"})) // a talker ends with its terminal
		m.virsh("start", "vlxorphan")
		_, init := m.identity("vlxorphan")
		m.kill()
		for _, pid := range m.controllers() {
			require.NoError(t, unix.Kill(pid, unix.SIGKILL))
		}
		m.start()
		assert.Equal(t, "running", m.virsh("domstate", "vlxorphan"))
		assert.Equal(t, init, m.initOf("vlxorphan"))
		m.virsh("destroy", "vlxorphan")
		assert.False(t, alive(init))
		m.clean()
		m.virsh("start", "vlxorphan")
	})
}

// points is how many moments of a start and a stop the daemon is killed at.
const points = 40

// TestKilledOnTheWay kills the daemon at many moments of a start and of a stop.
// The next daemon must find a container that runs, or one that left no trace.
func TestKilledOnTheWay(t *testing.T) {
	for verb, apart := range map[string]time.Duration{"start": 300 * time.Microsecond, "destroy": 100 * time.Microsecond} {
		t.Run(verb, func(t *testing.T) {
			m := newMachine(t)
			m.bridge("vlxbr")
			m.define(guest{name: "vlxway", init: `while read line; do echo "got $line"; done`, devices: nic("10.9.0.1", "52:54:00:00:00:01")})
			definition := filepath.Join(m.prefix, "etc/libvirt/lxc/vlxway.xml")
			before, err := os.ReadFile(definition)
			require.NoError(t, err)
			outcomes := map[string]int{}
			for point := range points {
				if verb == "destroy" && m.virsh("domstate", "vlxway") != "running" {
					m.virsh("start", "vlxway")
				}
				if verb == "start" && m.virsh("domstate", "vlxway") == "running" {
					m.virsh("destroy", "vlxway")
				}
				m.cut(verb, time.Duration(point)*apart)
				state := m.consistent("vlxway")
				outcomes[state]++
				after, err := os.ReadFile(definition)
				require.NoError(t, err)
				require.Equal(t, string(before), string(after))
				if t.Failed() {
					t.Fatalf("at point %d", point)
				}
			}
			t.Log(outcomes)
		})
	}
}

// cut asks for a change and kills the daemon that much after it has the request.
func (m *machine) cut(verb string, after time.Duration) {
	m.t.Helper()
	shell := m.interactive("-q")
	shell.expect("virsh # ")
	shell.typed("list\n")
	shell.expect("virsh # ")
	shell.typed(verb + " vlxway\n")
	timer := time.NewTimer(after)
	<-timer.C
	m.kill()
	require.NoError(m.t, shell.command.Process.Kill()) // it would connect again and repeat
	shell.ended()
	m.start()
}

// consistent asserts that a container runs and works, or is off without a trace.
func (m *machine) consistent(name string) string {
	m.t.Helper()
	state := m.virsh("domstate", name)
	switch state {
	case "running":
		require.True(m.t, alive(m.initOf(name)))
		m.speaks(name)
		assert.Contains(m.t, m.inside(name, "ip addr"), "10.9.0.1/24")
		assert.Len(m.t, m.controllers(), 1)
	case "shut off":
		m.clean()
		m.virsh("start", name)
		m.speaks(name)
		m.virsh("destroy", name)
		m.clean()
	default:
		assert.Fail(m.t, "unexpected state", state)
	}
	return state
}

func TestAutostart(t *testing.T) {
	m := newMachine(t)
	m.define(guest{name: "vlxauto"})
	m.define(guest{name: "vlxmanual"})
	m.virsh("autostart", "vlxauto")
	m.kill()
	m.start()
	assert.Empty(t, m.virsh("list", "--name"), "autostart is for the first daemon since the host booted")
	m.stop()
	require.NoError(t, os.Remove(filepath.Join(m.prefix, "run/libvirt/lxc/autostarted")))
	m.start()
	m.eventually("the start", func() bool { return m.virsh("list", "--name") == "vlxauto" })
}

func fds(pid int) int {
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(entries)
}

func threads(pid int) string {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return field(string(status), "Threads")
}

// TestForeignInit: an init that outlived daemon and controller is nobody's child
// any more; that it ends, and how, is noticed all the same.
func TestForeignInit(t *testing.T) {
	m := newMachine(t)
	m.run(guest{name: "vlxforeign"})
	init := m.initOf("vlxforeign")
	m.kill()
	for _, pid := range m.controllers() {
		require.NoError(t, unix.Kill(pid, unix.SIGKILL))
	}
	m.start()
	require.Equal(t, init, m.initOf("vlxforeign"))
	m.virsh("shutdown", "vlxforeign")
	m.eventually("the end", func() bool { return m.virsh("domstate", "vlxforeign") == "shut off" })
	assert.Equal(t, "shut off (shutdown)", m.virsh("domstate", "--reason", "vlxforeign"))
	m.clean()
}
