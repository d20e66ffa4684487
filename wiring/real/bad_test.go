package real

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/adapters/linux/proc"
	"virtlxcd/domain/container"
	"virtlxcd/domain/launch"
)

// TestBadGuests: what cannot be started is refused with its reason, leaves
// nothing, and can be started once the reason is gone.
func TestBadGuests(t *testing.T) {
	m := newMachine(t)
	m.script("noexec", "")
	require.NoError(t, os.Chmod(filepath.Join(m.root, "noexec"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(m.root, "nointerp"), []byte("#!/bin/absent\n"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(m.root, "noformat"), []byte{0x7f, 'E', 'L', 'F', 0, 1, 2}, 0o755))
	require.NoError(t, os.Symlink("loop", filepath.Join(m.root, "loop")))
	require.NoError(t, os.WriteFile(filepath.Join(m.root, "plain"), nil, 0o644))
	for _, test := range []struct {
		guest
		want string
	}{
		{guest{name: "vlxnoroot", root: m.prefix + "/absent"}, "/absent"},
		{guest{name: "vlxfileroot", root: m.root + "/plain"}, "/plain"},
		{guest{name: "vlxnoinit", program: "/bin/absent"}, "cannot find init path '/bin/absent' relative to container root"},
		{guest{name: "vlxnointerp", program: "/nointerp"}, "interpreter"},
		{guest{name: "vlxnoexec", program: "/noexec"}, "'/noexec': Permission denied"},
		{guest{name: "vlxnoformat", program: "/noformat"}, "'/noformat': Exec format error"},
		{guest{name: "vlxloop", program: "/loop"}, "'/loop': Too many levels of symbolic links"},
		{guest{name: "vlxdir", program: "/bin"}, "'/bin': Permission denied"},
		{guest{name: "vlxnodir", os: "<initdir>/absent</initdir>"}, "/absent"},
		{guest{name: "vlxnouser", os: "<inituser>nobodyhere</inituser>"}, "nobodyhere"},
		{guest{name: "vlxnogroup", os: "<initgroup>nogrouphere</initgroup>"}, "nogrouphere"},
		{guest{name: "vlxnosource", devices: "<filesystem type='mount'><source dir='/absent/vlx'/><target dir='/x'/></filesystem>"}, "/absent/vlx"},
		{guest{name: "vlxnobind", devices: "<filesystem type='bind'><source dir='/absent/vlx'/><target dir='/x'/></filesystem>"}, "/x"},
		{guest{name: "vlxbusytarget", devices: "<filesystem type='mount'><source dir='" + m.prefix + "'/><target dir='/plain/x'/></filesystem>"}, "/plain/x"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if out, err := m.try("define", m.file(test.guest)); err != nil {
				assert.Contains(t, out, test.want)
				return
			}
			out, err := m.try("start", test.name)
			require.Error(t, err, out)
			assert.Contains(t, out, test.want)
			assert.Equal(t, "shut off", m.virsh("domstate", test.name))
			m.clean()
		})
	}
	t.Run("and works when mended", func(t *testing.T) {
		require.NoError(t, os.Symlink("busybox", filepath.Join(m.root, "bin/absent")))
		m.define(guest{name: "vlxmended"})
		m.virsh("start", "vlxmended")
	})
}

func TestBadDefinitions(t *testing.T) {
	m := newMachine(t)
	good := m.xml(guest{name: "vlxgood"})
	path := filepath.Join(m.prefix, "bad.xml")
	for name, bad := range map[string]string{
		"empty":            "",
		"not XML":          "vlx",
		"cut off":          good[:len(good)/2],
		"other type":       strings.Replace(good, "'lxc'", "'kvm'", 1),
		"no name":          strings.Replace(good, "<name>vlxgood</name>", "", 1),
		"slash in name":    strings.Replace(good, "vlxgood", "vlx/../../good", 1),
		"newline in name":  strings.Replace(good, "vlxgood", "vlx\ngood", 1),
		"no init type":     strings.Replace(good, "<type>exe</type>", "<type>hvm</type>", 1),
		"relative root":    strings.Replace(good, "dir='"+m.root, "dir='etc", 1),
		"no memory":        strings.Replace(good, "65536", "lots", 1),
		"huge memory":      strings.Replace(good, "65536", "99999999999999999999999", 1),
		"doctype":          "<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>" + strings.Replace(good, "vlxgood", "&x;", 1),
		"bad uuid":         strings.Replace(good, "<name>", "<uuid>1234</uuid><name>", 1),
		"relative program": strings.Replace(good, "/bin/sh", "bin/sh", 1),
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, os.WriteFile(path, []byte(bad), 0o644))
			out, err := m.try("define", path)
			if err == nil {
				guest := strings.Fields(m.virsh("list", "--all", "--name"))[0]
				out, err = m.try("start", guest)
				m.virsh("undefine", guest)
			}
			assert.Error(t, err, out)
			t.Log(out)
		})
	}
	assert.Empty(t, m.virsh("list", "--all", "--name"))
	entries, err := filepath.Glob(filepath.Join(m.prefix, "etc/libvirt/lxc/*.xml"))
	require.NoError(t, err)
	assert.Empty(t, entries)
}

func TestNamesAndUUIDsAreTaken(t *testing.T) {
	m := newMachine(t)
	m.define(guest{name: "vlxone"})
	uuid := m.virsh("domuuid", "vlxone")
	before, err := os.ReadFile(filepath.Join(m.prefix, "etc/libvirt/lxc/vlxone.xml"))
	require.NoError(t, err)
	other := strings.Replace(m.xml(guest{name: "vlxtwo"}), "<name>", "<uuid>"+uuid+"</uuid><name>", 1)
	path := filepath.Join(m.prefix, "other.xml")
	require.NoError(t, os.WriteFile(path, []byte(other), 0o644))
	same := m.file(guest{name: "vlxone"})
	for _, verb := range []string{"define", "create"} {
		assert.Contains(t, m.refused(verb, path), "already")
		assert.Contains(t, m.refused(verb, same), "already")
	}
	assert.Equal(t, "vlxone", m.virsh("list", "--all", "--name"))
	after, err := os.ReadFile(filepath.Join(m.prefix, "etc/libvirt/lxc/vlxone.xml"))
	require.NoError(t, err)
	assert.Equal(t, string(before), string(after))
}

// TestRootsThatLeadAway: what a root's own links say counts inside only.
func TestRootsThatLeadAway(t *testing.T) {
	m := newMachine(t)
	outside, given := filepath.Join(m.prefix, "outside"), filepath.Join(m.prefix, "given")
	for _, dir := range []string{outside, given} {
		require.NoError(t, os.Mkdir(dir, 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("host"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(given, "gift"), []byte("gift"), 0o644))
	up := strings.Repeat("../", 12)
	for name, target := range map[string]string{"abs": outside, "rel": up + outside[1:]} {
		require.NoError(t, os.Symlink(target, filepath.Join(m.root, name)))
		for _, below := range []string{"", "/deep/er"} {
			g := guest{name: "vlxaway", devices: "<filesystem type='mount'><source dir='" + given + "'/><target dir='/" + name + below + "'/></filesystem>"}
			m.define(g)
			if out, err := m.try("start", g.name); err == nil {
				assert.Equal(t, "gift", m.inside(g.name, "cat /"+name+below+"/gift"))
				m.virsh("destroy", g.name)
			} else {
				t.Log(out)
			}
			m.virsh("undefine", g.name)
		}
	}
	for _, own := range []string{"dev", "proc", "sys"} {
		root := m.makeRoot("root-" + own)
		require.NoError(t, os.RemoveAll(filepath.Join(root, own)))
		require.NoError(t, os.Symlink(outside, filepath.Join(root, own)))
		m.define(guest{name: "vlx" + own, root: root})
		if out, err := m.try("start", "vlx"+own); err == nil {
			m.virsh("destroy", "vlx"+own)
		} else {
			t.Log(out)
		}
	}
	entries, err := os.ReadDir(outside)
	require.NoError(t, err)
	require.Len(t, entries, 1, "the host's directory was touched")
	secret, err := os.ReadFile(filepath.Join(outside, "secret"))
	require.NoError(t, err)
	assert.Equal(t, "host", string(secret))
	m.clean()
}

// TestHostInit never comes near booting the host's init: the plan is asked first.
func TestHostInit(t *testing.T) {
	m := newMachine(t)
	facts, err := proc.New("/").Facts(t.Context())
	require.NoError(t, err)
	if _, err := os.Stat("/sbin/init"); err != nil {
		t.Skip("needs /sbin/init: nothing to refuse")
	}
	definition := &container.Definition{Name: "vlxhost", Arch: facts.Arch, Init: container.Init{Path: "/sbin/init"}}
	require.Error(t, launch.Validate(definition, facts))
	path := m.file(guest{name: "vlxhost", program: "/sbin/init", root: "/"})
	for _, verb := range []string{"define", "create"} {
		out := m.refused(verb, path)
		assert.Contains(t, out, "is the host's own init system and the container shares the host's root")
	}
	assert.Empty(t, m.virsh("list", "--all", "--name"))
}

// TestHostRoot: sharing the host's root with a harmless init is allowed.
func TestHostRoot(t *testing.T) {
	m := newMachine(t)
	m.run(guest{name: "vlxshare", root: "/", program: "/bin/sleep", os: "<initarg>1000</initarg>"})
	content := m.virsh("lxc-enter-namespace", "--noseclabel", "vlxshare", "/bin/sh", "-c", "cat /proc/1/comm; ls /dev")
	assert.Contains(t, content, "sleep")
	assert.NotContains(t, content, "vda")
	assert.Contains(t, content, "console")
	m.virsh("destroy", "vlxshare")
	m.clean()
}

func TestInitKilled(t *testing.T) {
	m := newMachine(t)
	m.run(guest{name: "vlxdies"})
	require.NoError(t, unix.Kill(m.initOf("vlxdies"), unix.SIGKILL))
	m.eventually("the end", func() bool { return m.virsh("domstate", "vlxdies") == "shut off" })
	m.clean()
	m.virsh("start", "vlxdies")

	t.Run("for lack of memory", func(t *testing.T) {
		m.run(guest{name: "vlxgreedy", memory: 4096, init: "exec tail /dev/zero"})
		m.eventually("the end", func() bool { return m.virsh("domstate", "vlxgreedy") == "shut off" })
		assert.Equal(t, "shut off (crashed)", m.virsh("domstate", "--reason", "vlxgreedy"))
	})
}

// TestPartitions: whatever a partition says, the group is below the daemon's own.
func TestPartitions(t *testing.T) {
	m := newMachine(t)
	m.run(guest{name: "vlxpart", body: "<resource><partition>/vlxabsent/../../x</partition></resource>"})
	groups := m.containerGroups()
	require.NotEmpty(t, groups)
	for _, group := range groups {
		assert.Regexp(t, `/vlxabsent\.partition/[^/]+/[^/]+/x\.partition/lxc-`, group)
	}
	m.virsh("destroy", "vlxpart")
	m.clean()
}

// again is a description with the uuid the container has already, if any.
func (m *machine) again(name string, g guest) string {
	m.t.Helper()
	path := m.file(g)
	if uuid, err := m.try("domuuid", name); err == nil {
		content := strings.Replace(m.xml(g), "<name>", "<uuid>"+uuid+"</uuid><name>", 1)
		require.NoError(m.t, os.WriteFile(path, []byte(content), 0o644))
	}
	return path
}

// onOwnDisk starts the daemon in a mount namespace with a small file system for
// its definitions, and returns its path as this process reaches it.
func onOwnDisk(m *machine) string {
	m.t.Helper()
	etc := filepath.Join(m.prefix, "etc/libvirt")
	require.NoError(m.t, os.MkdirAll(etc, 0o755))
	m.wrap = []string{"unshare", "-m", "sh", "-c", "mount -t tmpfs -o size=32k vlx " + etc + ` && exec "$@"`, "sh"}
	m.start()
	m.wrap = nil
	return filepath.Join("/proc", itoa(m.pid()), "root", etc, "lxc")
}

func TestFullDisk(t *testing.T) {
	m := prepared(t)
	dir := onOwnDisk(m)
	m.define(guest{name: "vlxfull"})
	file := filepath.Join(dir, "vlxfull.xml")
	before, err := os.ReadFile(file)
	require.NoError(t, err)
	big := guest{name: "vlxfull", body: "<description>" + strings.Repeat("words ", 6000) + "</description>"}
	out := m.refused("define", m.again("vlxfull", big))
	assert.Contains(t, out, "No space left on device")
	after, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, string(before), string(after))
	assert.NotContains(t, m.virsh("dumpxml", "vlxfull"), "words")
	m.refused("define", m.file(guest{name: "vlxother", body: big.body}))
	assert.Equal(t, "vlxfull", m.virsh("list", "--all", "--name"))
	assert.Len(t, files(t, dir), 1, "no half-written file stays")
	m.virsh("start", "vlxfull")
	m.virsh("destroy", "vlxfull")
	m.virsh("define", m.again("vlxfull", guest{name: "vlxfull", body: "<description>fits</description>"}))
	assert.Contains(t, m.virsh("dumpxml", "vlxfull"), "fits")
}

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, entry := range entries {
		if !entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	return names
}

func TestReadOnlyDisk(t *testing.T) {
	m := prepared(t)
	dir := onOwnDisk(m)
	m.define(guest{name: "vlxfixed"})
	before, err := os.ReadFile(filepath.Join(dir, "vlxfixed.xml"))
	require.NoError(t, err)
	remount := func(how string) {
		out, err := exec.Command("nsenter", "-t", itoa(m.pid()), "-m", "mount", "-o", "remount,"+how, filepath.Join(m.prefix, "etc/libvirt")).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	remount("ro")
	for _, args := range [][]string{
		{"define", m.again("vlxfixed", guest{name: "vlxfixed", body: "<title>new</title>"})},
		{"define", m.file(guest{name: "vlxnew"})}, {"undefine", "vlxfixed"}, {"autostart", "vlxfixed"}, {"desc", "vlxfixed", "new"},
	} {
		assert.Contains(t, m.refused(args...), "Read-only file system", "%v", args)
	}
	assert.Equal(t, "vlxfixed", m.virsh("list", "--all", "--name"))
	assert.NotContains(t, m.virsh("dumpxml", "vlxfixed"), "new")
	after, err := os.ReadFile(filepath.Join(dir, "vlxfixed.xml"))
	require.NoError(t, err)
	assert.Equal(t, string(before), string(after))
	m.virsh("start", "vlxfixed")
	m.virsh("destroy", "vlxfixed")
	remount("rw")
	m.virsh("undefine", "vlxfixed")
}

func TestSecondDaemon(t *testing.T) {
	m := newMachine(t)
	m.run(guest{name: "vlxmine"})
	var said bytes.Buffer
	second := exec.Command(program("virtlxcd"), "--prefix", m.prefix)
	second.Stderr = &said
	m.inNetns(func() { require.NoError(t, second.Start()) })
	require.Error(t, second.Wait())
	assert.Contains(t, said.String(), "process "+itoa(m.pid()))
	assert.Equal(t, "running", m.virsh("domstate", "vlxmine"))
	assert.FileExists(t, filepath.Join(m.prefix, "run/virtlxcd.pid"))
}
