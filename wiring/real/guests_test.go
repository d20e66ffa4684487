package real

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/stretchr/testify/require"
)

// makeRoot makes a root filesystem of busybox alone, below the prefix.
func (m *machine) makeRoot(name string) string {
	m.t.Helper()
	root := filepath.Join(m.prefix, name)
	for _, dir := range []string{"bin", "sbin", "etc", "tmp", "out", "root"} {
		require.NoError(m.t, os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	require.NoError(m.t, os.Chmod(root, 0o755))
	require.NoError(m.t, os.Chmod(filepath.Join(root, "out"), 0o777))
	busybox, err := exec.LookPath("busybox")
	require.NoError(m.t, err)
	content, err := os.ReadFile(busybox)
	require.NoError(m.t, err)
	require.NoError(m.t, os.WriteFile(filepath.Join(root, "bin/busybox"), content, 0o755))
	list, err := exec.Command(busybox, "--list").Output()
	require.NoError(m.t, err)
	for _, applet := range strings.Fields(string(list)) {
		if applet != "busybox" {
			require.NoError(m.t, os.Symlink("busybox", filepath.Join(root, "bin", applet)))
		}
	}
	write := func(name, content string) {
		require.NoError(m.t, os.WriteFile(filepath.Join(root, name), []byte(content), 0o644))
	}
	write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1000:bob:/tmp:/bin/sh\n")
	write("etc/group", "root:x:0:\ntty:x:5:bob\naux:x:44:\nbob:x:1000:\n")
	return root
}

// script puts an executable shell script into the machine's root.
func (m *machine) script(path, body string) {
	m.t.Helper()
	require.NoError(m.t, os.WriteFile(filepath.Join(m.root, path), []byte("#!/bin/sh\n"+body), 0o755))
}

// fromGuest reads a file that a container wrote into the machine's root.
func (m *machine) fromGuest(path string) string {
	m.t.Helper()
	content, err := os.ReadFile(filepath.Join(m.root, path))
	require.NoError(m.t, err)
	return string(content)
}

// guest describes a container; zero fields have defaults.
type guest struct {
	name     string
	init     string // /bin/sh -c this; default: sleeps, and ends on SIGTERM
	program  string // instead of init: a path
	os       string // further children of <os>
	features string // children of <features>; default: privnet
	body     string // further children of <domain>
	devices  string // further children of <devices>
	root     string // default: the machine's
	rootTag  string // further children of the root's <filesystem>
	consoles int    // default: 1
	memory   int    // KiB; default 65536
}

// sleeper ends on SIGTERM and sleeps without using time.
const sleeper = "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"

func (m *machine) xml(g guest) string {
	if g.root == "" {
		g.root = m.root
	}
	if g.memory == 0 {
		g.memory = 65536
	}
	if g.consoles == 0 {
		g.consoles = 1
	}
	if g.features == "" {
		g.features = "<privnet/>"
	}
	start := fmt.Sprintf("<init>%s</init>", g.program)
	if g.program == "" {
		if g.init == "" {
			g.init = sleeper
		}
		start = fmt.Sprintf("<init>/bin/sh</init><initarg>-c</initarg><initarg>%s</initarg>", escape(g.init))
	}
	return fmt.Sprintf(`<domain type='lxc'>
  <name>%s</name>
  <memory unit='KiB'>%d</memory>
  <os><type>exe</type>%s%s</os>
  <features>%s</features>
  %s
  <devices>
    <filesystem type='mount'><source dir='%s'/><target dir='/'/>%s</filesystem>
    %s%s
  </devices>
</domain>
`, g.name, g.memory, start, g.os, g.features, g.body, g.root, g.rootTag,
		strings.Repeat("<console type='pty'/>", g.consoles), g.devices)
}

func escape(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
}

// file writes a description and returns its path.
func (m *machine) file(g guest) string {
	m.t.Helper()
	path := filepath.Join(m.prefix, g.name+".xml")
	require.NoError(m.t, os.WriteFile(path, []byte(m.xml(g)), 0o644))
	return path
}

// define makes a persistent container.
func (m *machine) define(g guest) {
	m.t.Helper()
	m.virsh("define", m.file(g))
}

// run defines and starts a container.
func (m *machine) run(g guest) {
	m.t.Helper()
	m.define(g)
	m.virsh("start", g.name)
}

// initOf is the host's pid of a container's init, from the status file.
func (m *machine) initOf(name string) int {
	m.t.Helper()
	content, err := os.ReadFile(filepath.Join(m.prefix, "run/libvirt/lxc", name+".xml"))
	require.NoError(m.t, err)
	_, rest, found := strings.Cut(string(content), "<init pid='")
	require.True(m.t, found, "%s", content)
	number, _, _ := strings.Cut(rest, "'")
	pid, err := strconv.Atoi(number)
	require.NoError(m.t, err)
	return pid
}

// listens waits until a container's init, which may have just begun, handles a
// signal: until then asking it is in vain.
func (m *machine) listens(name string, signal syscall.Signal) {
	m.t.Helper()
	caught := regexp.MustCompile(`(?m)^SigCgt:\s*([0-9a-f]+)$`)
	m.eventually("init to listen", func() bool {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.initOf(name)))
		found := caught.FindSubmatch(status)
		if err != nil || found == nil {
			return false // between one init and the next
		}
		mask, err := strconv.ParseUint(string(found[1]), 16, 64)
		return err == nil && mask&(1<<(signal-1)) != 0
	})
}

// inside runs a shell command in a running container's namespaces.
func (m *machine) inside(name, command string) string {
	m.t.Helper()
	return m.virsh("lxc-enter-namespace", "--noseclabel", name, "/bin/sh", "-c", command)
}
