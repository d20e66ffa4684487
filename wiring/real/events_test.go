package real

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestEvents watches a whole life from a second client.
func TestEvents(t *testing.T) {
	m := newMachine(t)
	xml := m.file(guest{name: "vlxev", init: "trap 'reboot -f' HUP; " + sleeper})
	events := m.interactive("event", "--all", "--loop")
	m.virsh("define", m.file(guest{name: "vlxsync"}))
	m.eventually("the watcher to listen", func() bool {
		m.virsh("desc", "vlxsync", "--config", "again")
		select {
		case chunk := <-events.chunks:
			events.seen.WriteString(chunk)
			return true
		default:
			return false
		}
	})
	lifecycle := func(what string) { events.expect("event 'lifecycle' for domain 'vlxev': " + what) }
	m.virsh("define", xml)
	lifecycle("Defined Added")
	id := m.virsh("dumpxml", "--inactive", "vlxev")
	require.NoError(t, os.WriteFile(xml, []byte(id), 0o600))
	m.virsh("define", xml)
	lifecycle("Defined Updated")
	m.virsh("start", "vlxev")
	lifecycle("Started Booted")
	m.virsh("suspend", "vlxev")
	lifecycle("Suspended Paused")
	m.virsh("resume", "vlxev")
	lifecycle("Resumed Unpaused")
	m.virsh("desc", "vlxev", "--live", "words")
	events.expect("event 'metadata-change' for domain 'vlxev': type description")
	m.virsh("desc", "vlxev", "--title", "--live", "words")
	events.expect("event 'metadata-change' for domain 'vlxev': type title")
	m.virsh("metadata", "vlxev", "http://example.org/vlx", "--live", "--key", "k", "--set", "<a/>")
	events.expect("event 'metadata-change' for domain 'vlxev': type element, uri http://example.org/vlx")
	m.listens("vlxev", syscall.SIGHUP)
	m.virsh("reboot", "vlxev")
	events.expect("event 'reboot' for domain 'vlxev'")
	m.listens("vlxev", syscall.SIGTERM)
	m.virsh("shutdown", "vlxev")
	lifecycle("Stopped Shutdown")
	m.virsh("start", "vlxev")
	lifecycle("Started Booted")
	m.virsh("destroy", "vlxev")
	lifecycle("Stopped Destroyed")
	m.virsh("undefine", "vlxev")
	lifecycle("Undefined Removed")
	events.typed("\x03")
	events.ended()
}

func TestConsole(t *testing.T) {
	m := newMachine(t)
	m.run(guest{name: "vlxcon", init: `echo "before anybody came"; while read line; do echo "got $line"; done`, consoles: 2})
	first := m.console("vlxcon")
	first.expect("before anybody came")
	first.typed("hello\n")
	first.expect("got hello")

	first.leave()
	t.Run("later ones get what was said meanwhile", func(t *testing.T) {
		quiet := m.attach("vlxcon", 0)
		quiet.typed("missed\n")
		quiet.expect("got missed")
		quiet.close()
		again := m.console("vlxcon")
		again.typed("here\n")
		again.expect("got here")
		again.leave()
	})
	t.Run("much at once", func(t *testing.T) {
		term := m.console("vlxcon")
		const line = "0123456789012345678901234567890123456789012345678901234567890123456789"
		for range 200 {
			term.typed(line + "\n")
			term.expect("got " + line)
		}
		term.leave()
	})
	t.Run("the end hangs up", func(t *testing.T) {
		term := m.console("vlxcon")
		m.virsh("destroy", "vlxcon")
		term.ended()
	})
}

// TestUnreadConsole: init must not stop because nobody reads what it prints.
func TestUnreadConsole(t *testing.T) {
	m := newMachine(t)
	m.run(guest{name: "vlxchat", init: "i=0; while [ $i -lt 5000 ]; do echo \"line $i of many, many words and more\"; i=$((i+1)); done; touch /out/done; " + sleeper})
	m.eventually("init to have printed all", func() bool {
		_, err := os.Stat(m.root + "/out/done")
		return err == nil
	})
	m.attach("vlxchat", 0).expect("line 4999 of many")
}

func TestEnterNamespace(t *testing.T) {
	m := newMachine(t)
	m.run(guest{name: "vlxin"})
	assert.Equal(t, "vlxin", m.virsh("lxc-enter-namespace", "--noseclabel", "vlxin", "/bin/hostname"))
	assert.Equal(t, "vlxin", m.virsh("lxc-enter-namespace", "vlxin", "/bin/hostname"))
	assert.Contains(t, m.inside("vlxin", "ps -o pid,args"), "    1 /bin/sh")
}

func TestPassedFiles(t *testing.T) {
	m := newMachine(t)
	m.define(guest{name: "vlxfd", init: "(ls -l /proc/1/fd) >/out/fd; cat <&3 >/out/three; cat <&4 >/out/four; echo read; " + sleeper})
	var files []*os.File
	for _, text := range []string{"first\n", "second\n"} {
		read, write, err := os.Pipe()
		require.NoError(t, err)
		_, err = write.WriteString(text)
		require.NoError(t, err)
		require.NoError(t, write.Close())
		files = append(files, read)
	}
	command := m.command(t.Context(), "start", "--pass-fds", "3,4", "vlxfd")
	command.ExtraFiles = files
	out, err := command.CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, file := range files {
		file.Close()
	}
	m.attach("vlxfd", 0).expect("read")
	assert.Equal(t, "first\n", m.fromGuest("out/three"))
	assert.Equal(t, "second\n", m.fromGuest("out/four"))
	assert.Equal(t, 5, strings.Count(m.fromGuest("out/fd"), "->"), "%s", m.fromGuest("out/fd"))
}

const python = "/usr/bin/python3"

// TestPython drives the daemon through libvirt-python.
func TestPython(t *testing.T) {
	m := newMachine(t)
	if exec.Command(python, "-c", "import libvirt").Run() != nil {
		t.Skip("needs libvirt for " + python + " (package python3-libvirt)")
	}
	xml := m.file(guest{name: "vlxpy"})
	out, err := exec.Command(python, "testdata/life.py", m.uri(false), xml).CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Contains(t, string(out), "all well")
}
