package real

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// bridge makes a bridge in the machine's network namespace.
func (m *machine) bridge(name string) {
	m.t.Helper()
	m.ip("link", "add", name, "type", "bridge")
	m.ip("link", "set", name, "up")
}

// nic is a link to the test's bridge.
func nic(address, mac string) string {
	return "<interface type='bridge'><mac address='" + mac + "'/><source bridge='vlxbr'/>" +
		"<ip address='" + address + "' family='ipv4' prefix='24'/></interface>"
}

func TestBridge(t *testing.T) {
	m := newMachine(t)
	m.bridge("vlxbr")
	m.run(guest{name: "vlxa", devices: nic("10.9.0.1", "52:54:00:00:00:01")})
	m.run(guest{name: "vlxb", devices: nic("10.9.0.2", "52:54:00:00:00:02")})

	inside := m.inside("vlxa", "ip addr")
	assert.Contains(t, inside, "52:54:00:00:00:01")
	assert.Regexp(t, `eth0.*UP`, inside)
	assert.Contains(t, inside, "10.9.0.1/24")
	assert.Contains(t, inside, "brd 10.9.0.255")
	host := hostLink(m, "vlxa")
	assert.Regexp(t, host+".*master vlxbr", m.ip("link"))
	assert.Contains(t, m.virsh("domiflist", "vlxa"), "vlxbr")

	assert.Contains(t, m.inside("vlxa", "ping -c 1 -W 10 10.9.0.2"), "1 packets received")
	assert.Contains(t, m.inside("vlxb", "ping -c 1 -W 10 10.9.0.1"), "1 packets received")

	t.Run("definition is left alone", func(t *testing.T) {
		assert.NotContains(t, m.virsh("dumpxml", "--inactive", "vlxa"), "<target dev")
	})
	m.virsh("destroy", "vlxa")
	m.eventually("the link to go", func() bool { return !strings.Contains(m.ip("link"), host+"@") })
}

// hostLink is the host's end of a running container's first link.
func hostLink(m *machine, name string) string {
	m.t.Helper()
	_, rest, found := strings.Cut(m.virsh("dumpxml", name), "<target dev='")
	require.True(m.t, found)
	link, _, _ := strings.Cut(rest, "'")
	return link
}

func TestEthernet(t *testing.T) {
	m := newMachine(t)
	m.run(guest{name: "vlxe", devices: `
<interface type='ethernet'><target dev='vlxhost'/><guest dev='inner'/><link state='up'/>
<ip address='10.8.0.2' family='ipv4' prefix='24'/><ip address='fd00::2' family='ipv6' prefix='64'/>
<route family='ipv4' address='0.0.0.0' gateway='10.8.0.1'/></interface>
<interface type='ethernet'/>`})
	inside := m.inside("vlxe", "ip addr; ip route")
	assert.Regexp(t, `inner.*UP`, inside)
	assert.Contains(t, inside, "10.8.0.2/24")
	assert.Contains(t, inside, "fd00::2/64")
	assert.Contains(t, inside, "default via 10.8.0.1")
	assert.Contains(t, inside, "eth0")
	m.ip("addr", "add", "10.8.0.1/24", "dev", "vlxhost")
	assert.Contains(t, m.inside("vlxe", "ping -c 1 -W 10 10.8.0.1"), "1 packets received")
	t.Run("a fixed name can be used again at once", func(t *testing.T) {
		for range 3 {
			m.virsh("destroy", "vlxe")
			m.virsh("start", "vlxe")
		}
		assert.Equal(t, "vlxhost", hostLink(m, "vlxe"))
	})
}

func TestBrokenLinks(t *testing.T) {
	m := newMachine(t)
	m.define(guest{name: "vlxnobr", devices: nic("10.9.0.1", "52:54:00:00:00:01")})
	assert.Contains(t, m.refused("start", "vlxnobr"), "vlxbr")
	m.clean()
	m.bridge("vlxbr")
	m.virsh("start", "vlxnobr")
	assert.Contains(t, m.inside("vlxnobr", "ip addr"), "10.9.0.1/24")

	m.define(guest{name: "vlxtwo", devices: nic("10.9.0.2", "52:54:00:00:00:02") +
		strings.ReplaceAll(nic("10.9.0.3", "52:54:00:00:00:03"), "vlxbr", "vlxgone")})
	assert.Contains(t, m.refused("start", "vlxtwo"), "vlxgone")
	m.eventually("the first link of the failed start to go", func() bool { return len(m.links()) == 2 })
}

func TestRebootFromInside(t *testing.T) {
	m := newMachine(t)
	m.bridge("vlxbr")
	m.define(guest{
		name: "vlxboot", devices: nic("10.9.0.1", "52:54:00:00:00:01"),
		init: `trap 'reboot -f' HUP; trap 'exit 0' TERM; echo "boot as $(hostname)"; while read line; do echo "got $line"; done & while :; do sleep 1000 & wait; done`,
	})
	events := m.interactive("event", "--event", "reboot", "--loop")
	m.virsh("start", "vlxboot")
	id, first := m.identity("vlxboot")
	term := m.console("vlxboot")
	term.expect("boot as vlxboot")
	for range 3 {
		m.virsh("reboot", "vlxboot")
		term.expect("boot as vlxboot")
		m.eventually("another init", func() bool { return m.initOf("vlxboot") != first })
		again, second := m.identity("vlxboot")
		assert.Equal(t, id, again)
		assert.Equal(t, "running", m.virsh("domstate", "vlxboot"))
		assert.Contains(t, m.inside("vlxboot", "ip addr"), "10.9.0.1/24")
		assert.Regexp(t, hostLink(m, "vlxboot")+".*master vlxbr", m.ip("link"))
		first = second
	}
	events.expect("event 'reboot' for domain 'vlxboot'")
	m.listens("vlxboot", syscall.SIGTERM)
	m.virsh("shutdown", "vlxboot")
	m.eventually("the end", func() bool { return m.virsh("domstate", "vlxboot") == "shut off" })
	m.clean()
}

func TestOnReboot(t *testing.T) {
	m := newMachine(t)
	m.run(guest{name: "vlxonce", init: "echo up; read line; reboot -f", body: "<on_reboot>destroy</on_reboot>"})
	term := m.attach("vlxonce", 0)
	term.expect("up")
	term.typed("go\n")
	m.eventually("the end", func() bool { return m.virsh("domstate", "vlxonce") == "shut off" })
	m.clean()
}

// TestRebootThatCannot: the container's init is gone when it asks for a reboot.
func TestRebootThatCannot(t *testing.T) {
	m := newMachine(t)
	m.run(guest{name: "vlxgone", init: "echo up; read line; rm /bin/sh; reboot -f"})
	term := m.attach("vlxgone", 0)
	term.expect("up")
	term.typed("go\n")
	m.eventually("the end", func() bool { return m.virsh("domstate", "--reason", "vlxgone") == "shut off (failed)" })
	assert.Contains(t, m.log.String(), "cannot find init path '/bin/sh' relative to container root")
	m.clean()
}

// TestSharedNetwork: without a private network the container is in the daemon's.
func TestSharedNetwork(t *testing.T) {
	m := newMachine(t)
	m.bridge("vlxbr")
	m.run(guest{name: "vlxnet", features: "<acpi/>"})
	assert.Contains(t, m.inside("vlxnet", "ip link"), "vlxbr")
	daemon, err := os.Readlink("/proc/" + itoa(m.pid()) + "/ns/net")
	require.NoError(t, err)
	init, err := os.Readlink("/proc/" + itoa(m.initOf("vlxnet")) + "/ns/net")
	require.NoError(t, err)
	assert.Equal(t, daemon, init)
}
