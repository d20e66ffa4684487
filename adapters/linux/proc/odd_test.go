package proc

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/host"
)

// lay writes files below a new root.
func lay(t *testing.T, files map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	for path, text := range files {
		path = filepath.Join(root, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	return root
}

func facts(t *testing.T, root string) *host.Facts {
	t.Helper()
	facts, err := New(root).Facts(context.Background())
	require.NoError(t, err)
	return facts
}

// TestLongMountTable: a host of many containers has more mounts than fit into any
// buffer, and control groups may come last.
func TestLongMountTable(t *testing.T) {
	var table strings.Builder
	for i := range 4000 {
		fmt.Fprintf(&table, "%d 1 0:%d / /var/lib/containers/%0100d rw - overlay overlay rw,lowerdir=/a\n", 100+i, 100+i, i)
	}
	table.WriteString("30 23 0:30 / /sys/fs/cgroup rw - cgroup2 none rw\n31 23 0:31 / /sys/kernel/security rw - securityfs none rw\n")
	found := facts(t, lay(t, map[string]string{"proc/self/mountinfo": table.String(), "sys/fs/cgroup/cgroup.controllers": "cpu memory\n"}))
	assert.Equal(t, []host.CgroupMount{{V2: true, Controllers: []string{"cpu", "memory"}}}, found.Cgroups)
	assert.True(t, found.CgroupV2)
	assert.True(t, found.SecurityFS)
}

// TestMountTables by layout of control groups.
func TestMountTables(t *testing.T) {
	const (
		unified  = "30 23 0:30 / /sys/fs/cgroup/unified rw - cgroup2 none rw\n"
		named    = "31 23 0:31 / /sys/fs/cgroup/systemd rw - cgroup none rw,xattr,name=systemd\n"
		memory   = "32 23 0:32 / /sys/fs/cgroup/memory rw - cgroup none rw,memory\n"
		cpus     = "33 23 0:33 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup none rw,cpu,cpuacct\n"
		nothing  = "34 23 0:34 / /mnt rw - cgroup none rw,xattr,unheardof\n"
		spaced   = "35 23 0:35 / /mnt/my\\040groups rw - cgroup none rw,pids\n"
		security = "36 23 0:36 / /sys/kernel/security rw - securityfs none rw\n"
	)
	for name, row := range map[string]struct {
		table string
		v2    bool
		names []string
	}{
		"none":                    {security, false, nil},
		"old":                     {named + memory + cpus, false, []string{"systemd", "memory", "cpu,cpuacct"}},
		"hybrid":                  {named + cpus + unified, false, []string{"systemd", "cpu,cpuacct", "unified"}},
		"named beside":            {named + unified, true, []string{"systemd", "unified"}},
		"new, somewhere else":     {unified, true, []string{""}},
		"of no known controller":  {nothing, false, nil},
		"a name with a blank":     {spaced, false, []string{"my groups"}},
		"not a mount table":       {"30 23\n", false, nil},
		"a line is cut":           {memory + unified[:20], false, nil},
		"twice":                   {memory + memory, false, []string{"memory"}},
		"the usual place, second": {strings.Replace(memory, "/sys/fs/cgroup/", "/cgroup/old", 1) + memory, false, []string{"memory"}},
	} {
		found := facts(t, lay(t, map[string]string{"proc/self/mountinfo": row.table}))
		var names []string
		for _, mount := range found.Cgroups {
			names = append(names, mount.Name)
		}
		assert.Equal(t, row.names, names, name)
		assert.Equal(t, row.v2, found.CgroupV2, name)
		assert.Equal(t, name == "none", found.SecurityFS, name)
	}
}

// TestOddFiles: one file at a time, with what it should not say.
func TestOddFiles(t *testing.T) {
	for path, rows := range map[string]map[string]func(*host.Facts) bool{
		"proc/meminfo": {
			"MemTotal:       1024 kB\n":              func(f *host.Facts) bool { return f.Memory == 1024 },
			"MemTotal: -5 kB\n":                      func(f *host.Facts) bool { return f.Memory == 0 },
			"MemFree: 7 kB\nMemTotal:9\n":            func(f *host.Facts) bool { return f.Memory == 9 },
			"MemTotal: 99999999999999999999999 kB\n": func(f *host.Facts) bool { return f.Memory == 0 },
		},
		"proc/cpuinfo": {
			"cpu MHz\t\t: 2394.454\n":                 func(f *host.Facts) bool { return f.MHz == 2394 },
			"clock\t\t: 3425.000000MHz\n":             func(f *host.Facts) bool { return f.MHz == 3425 },
			"cpu MHz static\t: 5200\n":                func(f *host.Facts) bool { return f.MHz == 5200 },
			"cpu MHz\t\t: fast\nclock\t\t: 10MHz\n":   func(f *host.Facts) bool { return f.MHz == 10 },
			"cpu MHz : 0.000\n":                       func(f *host.Facts) bool { return f.MHz == 0 },
			"cpu MHz : -3\n":                          func(f *host.Facts) bool { return f.MHz == 0 },
			"BogoMIPS : 50.00\nFeatures : fp asimd\n": func(f *host.Facts) bool { return f.MHz == 0 },
		},
		"sys/power/state": {
			"freeze mem\n":  func(f *host.Facts) bool { return strings.Join(f.SuspendModes, " ") == "suspend_mem" },
			"disk\n":        func(f *host.Facts) bool { return strings.Join(f.SuspendModes, " ") == "suspend_disk" },
			"\n":            func(f *host.Facts) bool { return f.SuspendModes == nil },
			"memory disks":  func(f *host.Facts) bool { return f.SuspendModes == nil },
			"standby\nmem ": func(f *host.Facts) bool { return f.SuspendModes == nil },
		},
		"proc/sys/kernel/cap_last_cap": {
			"40\n": func(f *host.Facts) bool { return f.LastCapability == 40 },
			"63":   func(f *host.Facts) bool { return f.LastCapability == 63 },
			"64\n": func(f *host.Facts) bool { return f.LastCapability == 0 },
			"-1\n": func(f *host.Facts) bool { return f.LastCapability == 0 },
		},
		"proc/self/status": {
			"CapPrm:\tff\nCapBnd:\t0f\n":                func(f *host.Facts) bool { return f.Capabilities == 0x0f },
			"CapPrm:\tff\n":                             func(f *host.Facts) bool { return f.Capabilities == 0 },
			"CapBnd:\tff\n":                             func(f *host.Facts) bool { return f.Capabilities == 0 },
			"CapPrm:\t1ffffffffffffffff\nCapBnd:\tff\n": func(f *host.Facts) bool { return f.Capabilities == 0 },
		},
		"sys/devices/system/cpu/online": {
			"0-3\n":     func(f *host.Facts) bool { return f.CPUs == 4 && f.Cores == 4 && len(f.Cells) == 1 },
			"nonsense":  func(f *host.Facts) bool { return f.CPUs == 0 && len(f.Cells) == 1 },
			"0-999999 ": func(f *host.Facts) bool { return f.CPUs == 0 },
		},
	} {
		for text, right := range rows {
			found := facts(t, lay(t, map[string]string{path: text}))
			assert.True(t, right(found), "%s: %q", path, text)
		}
	}
}

// TestHugePages: pools by size, without what is no pool.
func TestHugePages(t *testing.T) {
	const pools = "sys/kernel/mm/hugepages/"
	found := facts(t, lay(t, map[string]string{
		"proc/meminfo": "MemTotal: 4096 kB\n",
		pools + "hugepages-1048576kB/nr_hugepages": "2\n", pools + "hugepages-2048kB/nr_hugepages": "512\n",
		pools + "hugepages-64kB/nr_hugepages": "many\n", pools + "hugepages-kB/nr_hugepages": "1\n", pools + "other-4kB/nr_hugepages": "1\n",
		pools + "hugepages-32kB/free_hugepages": "1\n",
	}))
	base := uint64(os.Getpagesize()) >> 10
	assert.Equal(t, []host.PageSize{{KiB: base, Count: 4096 / base}, {KiB: 2048, Count: 512}, {KiB: 1048576, Count: 2}}, found.PageSizes)
}

// TestUUIDsThatAreNone are passed over, one source after the other.
func TestUUIDsThatAreNone(t *testing.T) {
	const firmware, second, installation = "sys/class/dmi/id/product_uuid", "sys/devices/virtual/dmi/id/product_uuid", "etc/machine-id"
	const good = "11111111-2222-4333-8444-555555555555\n"
	for _, bad := range []string{"", "Not Settable\n", "00000000-0000-0000-0000-000000000000\n", "ffffffff-ffff-ffff-ffff-ffffffffffff\n", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF\n"} {
		assert.EqualValues(t, 0x11, facts(t, lay(t, map[string]string{firmware: bad, second: good})).UUID[0], "%q", bad)
		assert.EqualValues(t, 0x11, facts(t, lay(t, map[string]string{firmware: bad, installation: good})).UUID[0], "%q", bad)
		made := facts(t, lay(t, map[string]string{firmware: bad, second: bad, installation: bad, "proc/sys/kernel/hostname": "a\n"}))
		same := facts(t, lay(t, map[string]string{installation: bad, "proc/sys/kernel/hostname": "a\n"}))
		other := facts(t, lay(t, map[string]string{"proc/sys/kernel/hostname": "b\n"}))
		assert.Equal(t, made.UUID, same.UUID, "by the name of the host")
		assert.NotEqual(t, made.UUID, other.UUID)
		assert.EqualValues(t, 0x80, made.UUID[6]&0xf0, "version 8")
		assert.EqualValues(t, 0x80, made.UUID[8]&0xc0)
	}
}

// TestLinksWithoutEnd and other ways to init that lead nowhere.
func TestLinksWithoutEnd(t *testing.T) {
	root := t.TempDir()
	link := func(target, name string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755))
		require.NoError(t, os.Symlink(target, filepath.Join(root, name)))
	}
	link("init", "sbin/init")              // itself
	link("/usr/bin", "usr/bin")            // a directory that is its own
	link("../../../../etc/real", "init")   // above the root is the root
	link("/nowhere", "etc/init")           // not there
	link("/sbin/none/../init", "bin/init") // through what is not there
	require.NoError(t, os.WriteFile(filepath.Join(root, "etc/real"), nil, 0o755))
	link("/etc/real (deleted)", "proc/1/exe")
	for i := range maxLinks + 1 { // one more than is followed
		link(fmt.Sprintf("hop%d", i+1), fmt.Sprintf("sbin/hop%d", i))
	}
	require.NoError(t, os.WriteFile(filepath.Join(root, fmt.Sprintf("sbin/hop%d", maxLinks+1)), nil, 0o755))
	link("hop0", "sbin/telinit")
	assert.Equal(t, []string{"/etc/real", "/init"}, New(root).initPaths())
}

// TestShellsAreNoInits though they may run as process 1, under any name.
func TestShellsAreNoInits(t *testing.T) {
	root := lay(t, map[string]string{"bin/busybox": "", "usr/lib/systemd/systemd": ""})
	require.NoError(t, os.MkdirAll(filepath.Join(root, "sbin"), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(root, "proc/1"), 0o755))
	require.NoError(t, os.Symlink("../bin/busybox", filepath.Join(root, "sbin/init")))
	require.NoError(t, os.Symlink("/bin/busybox", filepath.Join(root, "proc/1/exe")))
	assert.Equal(t, []string{"/sbin/init", "/usr/lib/systemd/systemd"}, New(root).initPaths())
}

// TestProcessorsWithoutATopology count as cores of one socket.
func TestProcessorsWithoutATopology(t *testing.T) {
	const cpu = "sys/devices/system/cpu/"
	found := facts(t, lay(t, map[string]string{
		cpu + "online": "0-1,3\n", cpu + "present": "0-3\n", cpu + "cpu0/topology/physical_package_id": "-1\n", cpu + "cpu1/topology/core_id": "x\n",
		cpu + "cpu3/topology/thread_siblings_list": "2-3\n", "proc/meminfo": "MemTotal: 77 kB\n",
	}))
	assert.Equal(t, []host.Cell{{Memory: 77, CPUs: []host.CPU{{ID: 0, Siblings: "0"}, {ID: 1, Siblings: "1"}, {ID: 3, Siblings: "2-3"}}}}, found.Cells)
	assert.Equal(t, []int{3, 1, 1, 4, 1}, []int{found.CPUs, found.Nodes, found.Sockets, found.Cores, found.Threads}, "as many as are plugged in")
}

func FuzzMounts(f *testing.F) {
	f.Add("30 23 0:30 / /sys/fs/cgroup rw - cgroup2 none rw\n31 23 0:30 / /mnt rw - cgroup2 none rw\n")
	f.Add("30 23 0:30 / /a rw - cgroup none rw,cpu\n31 23 0:30 / /sys/fs/cgroup/cpu rw - cgroup none rw,cpu\n")
	f.Fuzz(func(t *testing.T, table string) {
		mounts, err := parseMounts(strings.NewReader(table))
		if err != nil {
			return
		}
		seen := map[[2]int]bool{}
		for _, m := range mounts {
			device := [2]int{m.Major, m.Minor}
			assert.False(t, seen[device], "one mount of each")
			seen[device] = true
			assert.Contains(t, []string{"cgroup", "cgroup2", "securityfs"}, m.FSType)
			assert.False(t, usual(m.Mountpoint) && strings.HasPrefix(nameOf(m.Mountpoint), "/sys/fs/cgroup"), nameOf(m.Mountpoint))
		}
	})
}

// FuzzField: what is found stands behind its label.
func FuzzField(f *testing.F) {
	f.Add("CapPrm:\tff\nCapBnd:\t0f\n", "CapBnd")
	f.Fuzz(func(t *testing.T, text, label string) {
		value := field([]byte(text), label)
		if value != "" {
			assert.Contains(t, text, label)
			assert.Contains(t, text, value)
			assert.Equal(t, value, field([]byte(label+" : "+value+"\n"), label))
		}
	})
}
