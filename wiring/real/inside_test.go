package real

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// inspect is an init that writes what it sees to /out and says so.
const inspect = `
tr '\0' '\n' </proc/1/environ >/out/environ
cat /proc/1/status >/out/status
cat /proc/1/limits >/out/limits
cat /proc/1/stat >/out/stat
cat /proc/1/cgroup >/out/cgroup
cat /proc/1/mounts >/out/mounts
cat /proc/1/uid_map >/out/uid_map
(ls -ln /proc/1/fd) >/out/fd
ls -ln /dev >/out/dev
ls -ln /dev/pts >/out/pts
ls /sys/fs/cgroup >/out/groups
ps -o pid,args >/out/processes
(cd /proc/1/ns && for n in *; do readlink $n; done) >/out/namespaces
ip addr >/out/addresses 2>&1
{ hostname; pwd; id; tty; echo "$0 $@"; } >/out/identity 2>&1
{ echo x >/dev/null && echo null; head -c 1 /dev/zero >/dev/null && echo zero; } >/out/opened 2>&1
mknod /tmp/vlxnode b 7 99 2>/out/mknod && { head -c 1 /tmp/vlxnode; rm -f /tmp/vlxnode; } >>/out/mknod 2>&1
for f in /sys/fs/cgroup/*/cgroup.procs /sys/fs/cgroup/cgroup.procs; do
	[ -e $f ] && { echo $$ >$f && echo "wrote $f"; } 2>&1
done >/out/joined
touch /sys/kernel/vlx 2>/out/sys
(echo 1 >/proc/sys/kernel/printk) 2>/out/procsys
echo all seen
trap 'exit 0' TERM
while :; do sleep 1000 & wait; done
`

// inspected runs a container with that init and waits until it is done.
func inspected(m *machine, g guest) {
	m.t.Helper()
	g.init = inspect
	m.run(g)
	m.attach(g.name, 0).expect("all seen")
}

func lines(text string) []string { return strings.Split(strings.TrimSpace(text), "\n") }

func field(text, name string) string {
	for _, line := range lines(text) {
		if value, found := strings.CutPrefix(line, name+":"); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func TestInsideOfAPrivateNetwork(t *testing.T) {
	m := newMachine(t)
	inspected(m, guest{name: "vlx_in.side", consoles: 3, os: "<cmdline>a b</cmdline><initenv name='VLX'>one &lt;two&gt;</initenv>"})
	uuid := m.virsh("domuuid", "vlx_in.side")

	t.Run("environment", func(t *testing.T) {
		assert.Equal(t, []string{
			"PATH=/bin:/sbin", "TERM=linux", "container=lxc-libvirt", "HOME=/", "container_uuid=" + uuid,
			"container_ttys=pts/1 pts/2", "LIBVIRT_LXC_UUID=" + uuid, "LIBVIRT_LXC_NAME=vlx_in.side",
			"LIBVIRT_LXC_CMDLINE=a b", "VLX=one <two>",
		}, lines(m.fromGuest("out/environ")))
	})
	t.Run("namespaces", func(t *testing.T) {
		inside := lines(m.fromGuest("out/namespaces"))
		for _, kind := range []string{"cgroup", "ipc", "mnt", "net", "pid", "uts"} {
			ours, err := os.Readlink("/proc/self/ns/" + kind)
			require.NoError(t, err)
			assert.NotContains(t, inside, ours)
			assert.Regexp(t, kind+`:\[[0-9]+\]`, inside)
		}
		user, err := os.Readlink("/proc/self/ns/user")
		require.NoError(t, err)
		assert.Contains(t, inside, user)
		daemon, err := os.Readlink("/proc/" + itoa(m.pid()) + "/ns/net")
		require.NoError(t, err)
		assert.NotContains(t, inside, daemon)
		assert.Contains(t, m.fromGuest("out/processes"), "    1 /bin/sh")
	})
	t.Run("control groups", func(t *testing.T) {
		for _, line := range lines(m.fromGuest("out/cgroup")) {
			if strings.Contains(line, "pids") || strings.Contains(line, "name=") && !strings.Contains(line, "systemd") {
				continue
			}
			assert.Regexp(t, `^[0-9]+:[^:]*:/$`, line)
		}
		assert.NotContains(t, m.fromGuest("out/joined"), "wrote")
		for _, line := range lines(m.fromGuest("out/mounts")) {
			if strings.Contains(line, " /sys/fs/cgroup/") {
				assert.Contains(t, line, " ro,nosuid,nodev,noexec,")
			}
		}
		assert.NotEmpty(t, strings.TrimSpace(m.fromGuest("out/groups")))
	})
	t.Run("capabilities", func(t *testing.T) {
		status := m.fromGuest("out/status")
		want := without(bounding(t), 16, 25, 27, 30, 33)
		assert.Equal(t, want, field(status, "CapBnd"))
		assert.Equal(t, want, field(status, "CapPrm"))
		assert.Equal(t, want, field(status, "CapEff"))
		assert.Equal(t, "0000000000000000", field(status, "CapInh"))
		assert.Equal(t, "0000000000000000", field(status, "CapAmb"))
		assert.Equal(t, "0022", field(status, "Umask"))
		assert.Equal(t, "0000000000000000", field(status, "SigBlk"))
		assert.Equal(t, "1", field(status, "NSpid"))
	})
	t.Run("limits", func(t *testing.T) {
		assert.Regexp(t, `Max open files +1024 `, m.fromGuest("out/limits"))
	})
	t.Run("terminal", func(t *testing.T) {
		stat := strings.Fields(m.fromGuest("out/stat"))
		assert.Equal(t, "1", stat[5], "session")
		assert.NotEqual(t, "0", stat[6], "controlling terminal")
		assert.Contains(t, m.fromGuest("out/identity"), "/dev/")
		assert.NotContains(t, m.fromGuest("out/identity"), "not a tty")
	})
	t.Run("descriptors", func(t *testing.T) {
		var numbers []string
		for _, match := range regexp.MustCompile(` ([0-9]+) -> (.*)`).FindAllStringSubmatch(m.fromGuest("out/fd"), -1) {
			numbers = append(numbers, match[1])
			assert.Contains(t, match[2], "/dev/", "descriptor %s", match[1])
		}
		assert.Equal(t, []string{"0", "1", "2"}, numbers)
	})
	t.Run("devices", func(t *testing.T) {
		dev := m.fromGuest("out/dev")
		for _, pattern := range []string{
			`crw-rw-rw- +1 0 +0 +1, +3 .* null`, `crw-rw-rw- +1 0 +0 +1, +5 .* zero`, `crw-rw-rw- +1 0 +0 +1, +7 .* full`,
			`crw-rw-rw- +1 0 +0 +1, +8 .* random`, `crw-rw-rw- +1 0 +0 +1, +9 .* urandom`, `crw-rw-rw- +1 0 +0 +5, +0 .* tty`,
			`crw--w---- +1 0 +5 +136, +0 .* console`, `crw--w---- +1 0 +5 +136, +0 .* tty1`, `crw--w---- +1 0 +5 +136, +1 .* tty2`,
			`crw--w---- +1 0 +5 +136, +2 .* tty3`, `stdin -> /proc/self/fd/0`, `stdout -> /proc/self/fd/1`,
			`stderr -> /proc/self/fd/2`, `fd -> /proc/self/fd`, `ptmx -> pts/ptmx`,
		} {
			assert.Regexp(t, pattern, dev)
		}
		assert.Len(t, lines(m.fromGuest("out/pts")), 5, "total, three terminals, ptmx")
		assert.Equal(t, []string{"null", "zero"}, lines(m.fromGuest("out/opened")))
		assert.Contains(t, m.fromGuest("out/mknod"), "Operation not permitted")
	})
	t.Run("kernel views", func(t *testing.T) {
		assert.Contains(t, m.fromGuest("out/sys"), "Read-only file system")
		assert.Contains(t, m.fromGuest("out/procsys"), "Read-only file system")
		for _, line := range lines(m.fromGuest("out/mounts")) {
			target := strings.Fields(line)[1]
			assert.False(t, strings.HasPrefix(target, m.prefix) || strings.Contains(target, "oldroot"), "a mount of the host: %s", line)
		}
	})
	t.Run("identity", func(t *testing.T) {
		identity := lines(m.fromGuest("out/identity"))
		assert.Equal(t, "vlxinside", identity[0])
		assert.Equal(t, "/", identity[1])
		assert.Regexp(t, `uid=0\(root\) gid=0\(root\)`, identity[2])
	})
	t.Run("no link but lo, and that up", func(t *testing.T) {
		addresses := m.fromGuest("out/addresses")
		assert.Regexp(t, `lo: <LOOPBACK,UP`, addresses)
		assert.NotContains(t, addresses, "\n2:")
	})
	t.Run("other consoles", func(t *testing.T) {
		for console, tty := range map[int]string{1: "/dev/tty2", 2: "/dev/tty3"} {
			term := m.attach("vlx_in.side", console)
			m.inside("vlx_in.side", "echo hello from "+tty+" >"+tty)
			term.expect("hello from " + tty)
		}
	})
	t.Run("nothing stays in the root", func(t *testing.T) {
		assert.NoDirExists(t, filepath.Join(m.root, ".oldroot"))
	})
}

func TestInsideOfAnIDMap(t *testing.T) {
	const idmap = "<idmap><uid start='0' target='100000' count='65536'/><gid start='0' target='100000' count='65536'/></idmap>"
	for name, features := range map[string]string{"vlxown": "<privnet/>", "vlxhostnet": "<acpi/>"} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			out, err := exec.Command("chown", "-hR", "100000:100000", m.root).CombinedOutput()
			require.NoError(t, err, "%s", out)
			inspected(m, guest{name: name, body: idmap, features: features})
			assert.Equal(t, []string{"0", "100000", "65536"}, strings.Fields(m.fromGuest("out/uid_map")))
			user, err := os.Readlink("/proc/self/ns/user")
			require.NoError(t, err)
			assert.NotContains(t, m.fromGuest("out/namespaces"), user)
			net, err := os.Readlink("/proc/" + itoa(m.pid()) + "/ns/net")
			require.NoError(t, err)
			assert.Equal(t, name == "vlxhostnet", strings.Contains(m.fromGuest("out/namespaces"), net))
			assert.Regexp(t, `crw--w---- +1 0 +5 +136, +0 .* console`, m.fromGuest("out/dev"))
			assert.Regexp(t, `crw-rw-rw- +1 0 +0 +1, +3 .* null`, m.fromGuest("out/dev"))
			assert.Equal(t, []string{"null", "zero"}, lines(m.fromGuest("out/opened")))
			assert.Contains(t, m.fromGuest("out/mknod"), "Operation not permitted")
			assert.Regexp(t, `uid=0\(root\) gid=0\(root\)`, m.fromGuest("out/identity"))
			assert.Contains(t, m.fromGuest("out/sys"), "Read-only file system")
			info, err := os.Stat("/proc/" + itoa(m.initOf(name)))
			require.NoError(t, err)
			assert.EqualValues(t, 100000, owner(info))
			m.virsh("destroy", name)
			m.clean()
		})
	}
}

func TestCapabilityPolicies(t *testing.T) {
	m := newMachine(t)
	full := bounding(t)
	for _, test := range []struct{ name, features, bounding, inheritable string }{
		{"vlxallow", "<capabilities policy='allow'/>", full, "0000000000000000"},
		{"vlxdeny", "<capabilities policy='deny'><chown state='on'/><kill state='on'/><dac_override state='on'/></capabilities>", "0000000000000023", "0000000000000023"},
		{"vlxmixed", "<capabilities policy='default'><mknod state='on'/><sys_chroot state='off'/></capabilities>", without(full, 16, 18, 25, 30, 33), "0000000000000000"},
	} {
		t.Run(test.name, func(t *testing.T) {
			inspected(m, guest{name: test.name, features: "<privnet/>" + test.features})
			status := m.fromGuest("out/status")
			assert.Equal(t, test.bounding, field(status, "CapBnd"))
			assert.Equal(t, test.bounding, field(status, "CapPrm"))
			assert.Equal(t, test.bounding, field(status, "CapEff"))
			assert.Equal(t, test.inheritable, field(status, "CapInh"))
			assert.Contains(t, m.fromGuest("out/mknod"), "Operation not permitted", "a node may be made, not opened")
			m.virsh("destroy", test.name)
		})
	}
}

func TestInitAsAskedFor(t *testing.T) {
	m := newMachine(t)
	require.NoError(t, os.MkdirAll(filepath.Join(m.root, "home/bob"), 0o777))
	inspected(m, guest{name: "vlxbob", os: "<initdir>/home/bob</initdir><inituser>bob</inituser><initgroup>aux</initgroup>"})
	identity := lines(m.fromGuest("out/identity"))
	assert.Equal(t, "/home/bob", identity[1])
	assert.Regexp(t, `uid=1000\(bob\) gid=44\(aux\)`, identity[2])
	status := m.fromGuest("out/status")
	assert.Equal(t, "0000000000000000", field(status, "CapEff"))
	assert.Equal(t, without(bounding(t), 16, 25, 27, 30, 33), field(status, "CapBnd"))
	assert.Contains(t, strings.Fields(field(status, "Groups")), "5", "supplementary groups come from the container's file")
	assert.Regexp(t, `crw--w---- +1 1000 +5 +136, +0 .* console`, m.fromGuest("out/dev"))
}

func TestFilesystems(t *testing.T) {
	m := newMachine(t)
	shared, fixed := filepath.Join(m.prefix, "shared"), filepath.Join(m.prefix, "fixed")
	for _, dir := range []string{shared, fixed} {
		require.NoError(t, os.Mkdir(dir, 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(fixed, "text"), []byte("from the host\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(m.prefix, "one"), []byte("one file\n"), 0o644))
	m.run(guest{name: "vlxfs", devices: `
<filesystem type='mount'><source dir='` + shared + `'/><target dir='/srv/shared'/></filesystem>
<filesystem type='mount'><source dir='` + fixed + `'/><target dir='/srv/fixed'/><readonly/></filesystem>
<filesystem type='mount'><source dir='` + m.prefix + `/one'/><target dir='/etc/one'/></filesystem>
<filesystem type='ram'><source usage='1024' units='KiB'/><target dir='/ram'/></filesystem>
<filesystem type='bind'><source dir='/srv/fixed'/><target dir='/again'/></filesystem>`})
	assert.Equal(t, "from the host", m.inside("vlxfs", "cat /srv/fixed/text"))
	assert.Equal(t, "from the host", m.inside("vlxfs", "cat /again/text"))
	assert.Equal(t, "one file", m.inside("vlxfs", "cat /etc/one"))
	assert.Contains(t, m.inside("vlxfs", "touch /srv/fixed/new 2>&1; true"), "Read-only file system")
	m.inside("vlxfs", "echo back >/srv/shared/answer")
	answer, err := os.ReadFile(filepath.Join(shared, "answer"))
	require.NoError(t, err)
	assert.Equal(t, "back\n", string(answer))
	mounts := m.inside("vlxfs", "cat /proc/mounts")
	assert.Regexp(t, ` /ram tmpfs rw,nosuid,nodev,.*size=1024k`, mounts)
	assert.NotContains(t, mounts, m.prefix, "where things are on the host is nobody's business inside")
	m.virsh("destroy", "vlxfs")
	m.clean()

	m.run(guest{name: "vlxro", rootTag: "<readonly/>", devices: "<filesystem type='ram'><source usage='64' units='KiB'/><target dir='/tmp'/></filesystem>"})
	assert.Contains(t, m.inside("vlxro", "touch /new 2>&1; true"), "Read-only file system")
	m.inside("vlxro", "touch /tmp/new /dev/shm/new")
}

// limitFile reads a limit of the only container, by its name in either version
// of control groups.
func (m *machine) limitFile(controller, v1, v2 string) string {
	m.t.Helper()
	for _, group := range m.containerGroups() {
		name := v2
		if len(hierarchies()) > 1 {
			if !strings.HasPrefix(group, filepath.Join(groupRoot, controller)+"/") {
				continue
			}
			name = v1
		}
		content, err := os.ReadFile(filepath.Join(group, name))
		require.NoError(m.t, err)
		return strings.TrimSpace(string(content))
	}
	require.FailNow(m.t, "no control group", "%s of %v", controller, m.groups())
	return ""
}

func TestLimits(t *testing.T) {
	m := newMachine(t)
	m.run(guest{name: "vlxlimit", memory: 32768, body: `
<vcpu cpuset='0'>1</vcpu>
<cputune><shares>512</shares><period>100000</period><quota>50000</quota></cputune>
<memtune><hard_limit unit='KiB'>49152</hard_limit><soft_limit unit='KiB'>24576</soft_limit></memtune>`})
	assert.Equal(t, "50331648", m.limitFile("memory", "memory.limit_in_bytes", "memory.max"))
	assert.Equal(t, "25165824", m.limitFile("memory", "memory.soft_limit_in_bytes", "memory.high"))
	assert.Equal(t, "0", m.limitFile("cpuset", "cpuset.cpus", "cpuset.cpus"))
	if len(hierarchies()) > 1 {
		assert.Equal(t, "512", m.limitFile("cpu", "cpu.shares", ""))
		assert.Equal(t, "50000", m.limitFile("cpu", "cpu.cfs_quota_us", ""))
		assert.Equal(t, "100000", m.limitFile("cpu", "cpu.cfs_period_us", ""))
		assert.True(t, strings.HasPrefix(m.limitFile("devices", "devices.list", ""), "c "))
	} else {
		assert.Equal(t, "50000 100000", m.limitFile("cpu", "", "cpu.max"))
	}
	t.Run("init is bound by them", func(t *testing.T) {
		out := m.inside("vlxlimit", "cat /proc/1/status")
		assert.Equal(t, "0", field(out, "Cpus_allowed_list"))
	})
	t.Run("what is too big dies", func(t *testing.T) {
		m.virsh("destroy", "vlxlimit")
		m.run(guest{name: "vlxbig", memory: 8192, init: "tail /dev/zero; echo done $?; " + sleeper})
		m.attach("vlxbig", 0).expect("done 137")
	})
}
