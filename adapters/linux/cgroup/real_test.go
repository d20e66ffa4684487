package cgroup

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
	"virtlxcd/domain/policy"
)

func TestCreateMakesEveryHierarchy(t *testing.T) {
	c := realHost(t)
	g := create(t, c, "lxc-1-a")
	assert.Equal(t, c.base+"/machine/lxc-1-a.libvirt-lxc", g.Path())
	for _, dir := range g.dirs {
		assert.DirExists(t, dir)
	}
	if dir, version, ok := g.dir("cpuset"); ok && version == 1 {
		for _, file := range []string{"/cpuset.cpus", "/cpuset.mems"} {
			value, err := readValue(dir + file)
			require.NoError(t, err)
			assert.NotEmpty(t, value, file)
		}
	}
	opened, err := c.Open(within(t), g.Path())
	require.NoError(t, err)
	assert.Equal(t, g.Path(), opened.Path())
}

func TestCreateInCustomPartition(t *testing.T) {
	c := realHost(t)
	made, err := c.Create(within(t), "/web/front", "lxc-1-a")
	require.NoError(t, err)
	assert.Equal(t, c.base+"/web.partition/front.partition/lxc-1-a.libvirt-lxc", made.Path())
	require.NoError(t, made.Remove(within(t)))
}

func TestCreateReplacesOnlyWhatIsEmpty(t *testing.T) {
	c := realHost(t)
	g := create(t, c, "lxc-1-a")
	for _, dir := range g.dirs {
		require.NoError(t, os.Mkdir(dir+"/inside", 0o755))
	}
	_, err := c.Create(within(t), "/machine", "lxc-1-a")
	require.NoError(t, err)
	assert.NoDirExists(t, g.dirs[0]+"/inside")

	spawn(t, g, "read x")
	_, err = c.Create(within(t), "/machine", "lxc-1-a")
	require.ErrorIs(t, err, fault.Busy)
	for _, dir := range g.dirs {
		assert.DirExists(t, dir, "a refused creation must not take anything away")
	}
}

func TestOpenOfNothing(t *testing.T) {
	c := realHost(t)
	for _, where := range []string{c.base + "/machine/lxc-9-x.libvirt-lxc", "/", "", "/etc", c.base + "/../x"} {
		_, err := c.Open(within(t), where)
		require.ErrorIs(t, err, fault.NotFound, where)
	}
}

func TestApplySetsAndRestores(t *testing.T) {
	c := realHost(t)
	g := create(t, c, "lxc-1-a")
	require.NoError(t, g.Apply(within(t), policy.Limits{
		MemoryHard: ptr(uint64(65536)), MemorySoft: ptr(uint64(32768)), SwapHard: ptr(uint64(131072)),
		CPUShares: ptr(uint64(2048)), CPUPeriod: ptr(uint64(50000)), CPUQuota: ptr(int64(25000)),
		PIDs: ptr(uint64(100)), CPUSet: "0",
	}))
	want := wantedFiles(g)
	for path, value := range want {
		got, err := readValue(path)
		require.NoError(t, err, path)
		assert.Equal(t, value, got, path)
	}
	// Growing and shrinking in every order the kernel could mind.
	for _, sizes := range [][2]uint64{{200000, 400000}, {300000, 300000}, {1000, 2000}, {policy.Unlimited, policy.Unlimited}, {65536, 131072}} {
		require.NoError(t, g.Apply(within(t), policy.Limits{MemoryHard: &sizes[0], SwapHard: &sizes[1]}), "%v", sizes)
	}
	// A refused value leaves everything as it was, also what came before it.
	err := g.Apply(within(t), policy.Limits{MemoryHard: ptr(uint64(40000)), CPUShares: ptr(uint64(10)), CPUSet: "4095"})
	require.Error(t, err)
	for path, value := range want {
		got, err := readValue(path)
		require.NoError(t, err, path)
		assert.Equal(t, value, got, path)
	}
}

// wantedFiles are the files that TestApplySetsAndRestores expects.
func wantedFiles(g *Group) map[string]string {
	want := map[string]string{}
	put := func(controller string, v1, v2 map[string]string) {
		dir, version, _ := g.dir(controller)
		files := v1
		if version == 2 {
			files = v2
		}
		for file, value := range files {
			want[dir+"/"+file] = value
		}
	}
	put("memory",
		map[string]string{"memory.limit_in_bytes": "67108864", "memory.soft_limit_in_bytes": "33554432", "memory.memsw.limit_in_bytes": "134217728"},
		map[string]string{"memory.max": "67108864", "memory.high": "33554432", "memory.swap.max": "67108864"})
	put("cpu",
		map[string]string{"cpu.shares": "2048", "cpu.cfs_period_us": "50000", "cpu.cfs_quota_us": "25000"},
		map[string]string{"cpu.weight": "174", "cpu.max": "25000 50000"})
	put("pids", map[string]string{"pids.max": "100"}, map[string]string{"pids.max": "100"})
	put("cpuset", map[string]string{"cpuset.cpus": "0"}, map[string]string{"cpuset.cpus": "0"})
	return want
}

func TestApplyRefusesBelowUsage(t *testing.T) {
	c := realHost(t)
	g := create(t, c, "lxc-1-a")
	p := spawn(t, g, `x=$(head -c 30000000 /dev/zero | tr '\0' a); echo full; read y`)
	require.Equal(t, "full\n", p.line(t))
	before := readBytes(memoryLimit(g))
	err := g.Apply(within(t), policy.Limits{MemorySoft: ptr(uint64(5000)), MemoryHard: ptr(uint64(8000)), SwapHard: ptr(uint64(8000))})
	require.ErrorIs(t, err, unix.EBUSY)
	assert.Contains(t, err.Error(), "below what is in use")
	assert.Equal(t, before, readBytes(memoryLimit(g)))
	require.NoError(t, p.Process.Signal(syscall.Signal(0)), "nobody was killed for it")
}

func memoryLimit(g *Group) string {
	dir, version, _ := g.dir("memory")
	if version == 2 {
		return dir + "/memory.max"
	}
	return dir + "/memory.limit_in_bytes"
}

func TestDevices(t *testing.T) {
	c := realHost(t)
	g := create(t, c, "lxc-1-a")
	checkDevices(t, g, func(rules []policy.DeviceRule) error { return g.AllowDevices(within(t), rules) },
		func(rules []policy.DeviceRule) error {
			again, err := c.Open(within(t), g.Path())
			require.NoError(t, err)
			return again.AllowDevices(within(t), rules)
		})
}

// TestDeviceProgram uses the program also where a version 1 controller is
// preferred.
func TestDeviceProgram(t *testing.T) {
	c := realHost(t)
	if !c.unified() {
		t.Skip("no version 2 tree on this host")
	}
	g := create(t, c, "lxc-1-a")
	fresh := true
	allow := func(rules []policy.DeviceRule) error {
		list, err := newDeviceList(rules)
		require.NoError(t, err)
		err = allowByProgram(g.dirs[0], list, fresh)
		fresh = false
		return err
	}
	checkDevices(t, g, allow, allow)

	// More rules than the map has room for: one program takes the place of the other.
	many := policy.DefaultDevices()
	for minor := range int64(200) {
		many = append(many, policy.DeviceRule{Block: true, Major: 8, Minor: minor, Read: true})
	}
	require.NoError(t, allow(many))
	dir, err := os.Open(g.dirs[0])
	require.NoError(t, err)
	defer dir.Close()
	attached, err := link.QueryPrograms(link.QueryOptions{Target: int(dir.Fd()), Attach: ebpf.AttachCGroupDevice})
	require.NoError(t, err)
	assert.Len(t, attached.Programs, 1)
}

// checkDevices compares what a process in the group may open with a series of
// lists. Again sets the same list as a daemon would that has just started.
func checkDevices(t *testing.T, g *Group, allow, again func([]policy.DeviceRule) error) {
	t.Helper()
	null := policy.DeviceRule{Major: 1, Minor: 3, Read: true}
	zero := policy.DeviceRule{Major: 1, Minor: 5, Read: true}
	p := spawn(t, g, `while read f; do r=-; w=-; b=-
(: < $f) 2>&- && r=r; (: > $f) 2>&- && w=w; (: <> $f) 2>&- && b=b; echo $r$w$b; done`)
	try := func(path string) string {
		_, err := p.in.Write([]byte(path + "\n"))
		require.NoError(t, err)
		return strings.TrimSpace(p.line(t))
	}
	for _, stage := range []struct {
		rules      []policy.DeviceRule
		null, zero string
	}{
		{[]policy.DeviceRule{null}, "r--", "---"},
		{[]policy.DeviceRule{null, {Major: 1, Minor: 3, Write: true}}, "rwb", "---"},
		{[]policy.DeviceRule{zero, {Major: 1, Minor: 3, Write: true}}, "-w-", "r--"},
		{[]policy.DeviceRule{{Major: 1, Minor: policy.AnyNumber, Read: true, Write: true}}, "rwb", "rwb"},
		{[]policy.DeviceRule{{Major: policy.AnyNumber, Minor: 5, Read: true, Write: true}}, "---", "rwb"},
		{[]policy.DeviceRule{{Major: policy.AnyNumber, Minor: policy.AnyNumber, Read: true}}, "r--", "r--"},
		{[]policy.DeviceRule{{Block: true, Major: 1, Minor: 3, Read: true, Write: true}}, "---", "---"},
		{append(policy.DefaultDevices(), policy.MakeAnyNode()...), "rwb", "rwb"},
		{nil, "---", "---"},
	} {
		require.NoError(t, allow(stage.rules))
		assert.Equal(t, stage.null, try("/dev/null"), "%v", stage.rules)
		assert.Equal(t, stage.zero, try("/dev/zero"), "%v", stage.rules)
		require.NoError(t, again(stage.rules))
		assert.Equal(t, stage.null, try("/dev/null"), "%v", stage.rules)
	}
}

func TestUsage(t *testing.T) {
	c := realHost(t)
	g := create(t, c, "lxc-1-a")
	u, err := g.Usage(within(t))
	require.NoError(t, err)
	assert.False(t, u.Populated)
	assert.False(t, u.Frozen)
	p := spawn(t, g, `i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo done; read y`)
	require.Equal(t, "done\n", p.line(t))
	u, err = g.Usage(within(t))
	require.NoError(t, err)
	assert.True(t, u.Populated)
	assert.Greater(t, u.CPU, uint64(1_000_000))
	assert.Greater(t, u.CPUUser, uint64(0))
	assert.Greater(t, u.Memory, uint64(0))
	assert.Equal(t, uint64(1), u.PIDs)
	assert.Less(t, u.CPU, uint64(100*time.Second))
}

func TestUsageCountsKillsForMemory(t *testing.T) {
	c := realHost(t)
	g := create(t, c, "lxc-1-a")
	require.NoError(t, g.Apply(within(t), policy.Limits{MemoryHard: ptr(uint64(16 << 10)), SwapHard: ptr(uint64(16 << 10))}))
	p := spawn(t, g, `head -c 90000000 /dev/zero | tail > /dev/null; echo over; read y`)
	// The kernel chooses the victim; when it is the shell, its end is all there is to see.
	_, _ = p.out.ReadString('\n')
	u, err := g.Usage(within(t))
	require.NoError(t, err)
	assert.Greater(t, u.OOMKills, uint64(0))
}

func TestUsageDoesNotAllocate(t *testing.T) {
	c := realHost(t)
	g := create(t, c, "lxc-1-a")
	if !c.unified() {
		t.Skip("without events the process list is read anew each time")
	}
	ctx := within(t)
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	allocations := testing.AllocsPerRun(100, func() { _, _ = g.Usage(ctx) })
	assert.Zero(t, allocations)
}

func TestUsageWhileRemoved(t *testing.T) {
	c := realHost(t)
	ctx := within(t)
	for range 20 {
		made, err := c.Create(ctx, "/machine", "lxc-1-gone")
		require.NoError(t, err)
		var readers sync.WaitGroup
		for range 4 {
			readers.Go(func() {
				for {
					if _, err := made.Usage(ctx); err != nil {
						assert.ErrorIs(t, err, fault.NotFound)
						return
					}
				}
			})
		}
		require.NoError(t, made.Remove(ctx))
		readers.Wait()
	}
}

func TestFreezeAndThaw(t *testing.T) {
	c := realHost(t)
	g := create(t, c, "lxc-1-a")
	p := spawn(t, g, `while read x; do echo $x; done`)
	require.NoError(t, g.Freeze(within(t)))
	require.NoError(t, g.Freeze(within(t)), "twice is fine")
	u, err := g.Usage(within(t))
	require.NoError(t, err)
	assert.True(t, u.Frozen)
	assert.True(t, u.Populated)
	_, err = p.in.Write([]byte("hello\n"))
	require.NoError(t, err)
	require.NoError(t, g.Thaw(within(t)))
	require.NoError(t, g.Thaw(within(t)), "twice is fine")
	assert.Equal(t, "hello\n", p.line(t))
	u, err = g.Usage(within(t))
	require.NoError(t, err)
	assert.False(t, u.Frozen)
}

func TestSignalReachesSubgroups(t *testing.T) {
	c := realHost(t)
	g := create(t, c, "lxc-1-a")
	inside := &Group{layout: g.layout, path: g.path + "/inside", log: g.log}
	for i, h := range g.all {
		dir := g.dirs[i] + "/inside"
		require.NoError(t, os.Mkdir(dir, 0o755))
		inside.dirs = append(inside.dirs, dir)
		if !h.unified { // there, a group that hands controllers down holds no processes
			require.NoError(t, c.equip(i, dir), h.root)
		}
	}
	script := `trap 'echo caught; exit 0' USR1; echo ready; while :; do read x || sleep 0.01; done`
	outer, inner := spawn(t, g, script), spawn(t, inside, script)
	require.Equal(t, "ready\n", outer.line(t))
	require.Equal(t, "ready\n", inner.line(t))
	require.NoError(t, g.Signal(within(t), int(unix.SIGUSR1)))
	for _, p := range []*child{outer, inner} {
		_ = p.in.Close()
		assert.Equal(t, "caught\n", p.line(t))
	}
}

func TestKill(t *testing.T) {
	for _, frozen := range []bool{false, true} {
		c := realHost(t)
		g := create(t, c, "lxc-1-a")
		p := spawn(t, g, `trap '' TERM; (while :; do sleep 1; done) & (sleep 1000) & echo up; sleep 1000`)
		require.Equal(t, "up\n", p.line(t))
		if frozen {
			require.NoError(t, g.Freeze(within(t)))
		}
		require.NoError(t, g.Kill(within(t)))
		u, err := g.Usage(within(t))
		require.NoError(t, err)
		assert.False(t, u.Populated)
		require.NoError(t, g.Kill(within(t)), "killing what is empty is fine")
		p.end()
	}
}

func TestKillEachWithoutTheFile(t *testing.T) {
	c := realHost(t)
	g := create(t, c, "lxc-1-a")
	p := spawn(t, g, `(while :; do sleep 0.01; done) & (sleep 1000) & echo up; sleep 1000`)
	require.Equal(t, "up\n", p.line(t))
	require.NoError(t, g.killEach(within(t)))
	occupied, err := populated(g.dirs[0])
	require.NoError(t, err)
	assert.False(t, occupied)
	p.end()
}

func TestRemoveWaitsForTheLastProcess(t *testing.T) {
	c := realHost(t)
	g := create(t, c, "lxc-1-a")
	for _, dir := range g.dirs {
		require.NoError(t, os.MkdirAll(dir+"/deep/er", 0o755))
	}
	p := spawn(t, g, `read x`)
	short, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, g.Remove(short), fault.Timeout)
	done := make(chan error, 1)
	go func() { done <- g.Remove(within(t)) }()
	_ = p.in.Close()
	p.end()
	require.NoError(t, <-done)
	for _, dir := range g.dirs {
		assert.NoDirExists(t, dir)
	}
	require.NoError(t, g.Remove(within(t)), "removing what is gone is fine")
	require.NoError(t, g.Kill(within(t)), "so is killing it")
	_, err := g.Usage(within(t))
	require.ErrorIs(t, err, fault.NotFound)
	require.ErrorIs(t, g.Freeze(within(t)), fault.NotFound)
	require.Error(t, g.Apply(within(t), defaultLimits()))
}

func TestSweep(t *testing.T) {
	c := realHost(t)
	kept, dead, busy := create(t, c, "lxc-1-kept"), create(t, c, "lxc-2-dead"), create(t, c, "lxc-3-busy")
	custom, err := c.Create(within(t), "/web", "lxc-4-dead")
	require.NoError(t, err)
	half := c.group(c.base + "/machine/lxc-5-half.libvirt-lxc")
	require.NoError(t, os.Mkdir(half.dirs[len(half.dirs)-1], 0o755))
	foreign := c.all[0].root + c.base + "/machine/foreign"
	require.NoError(t, os.Mkdir(foreign, 0o755))
	t.Cleanup(func() { _ = os.Remove(foreign) })
	p := spawn(t, busy, "read x")
	removed, err := c.Sweep(within(t), func(path string) bool { return path == kept.Path() })
	require.NoError(t, err)
	assert.Equal(t, []string{dead.Path(), half.Path(), custom.Path()}, removed)
	assert.DirExists(t, kept.dirs[0])
	assert.DirExists(t, busy.dirs[0])
	assert.DirExists(t, foreign)
	_ = p.in.Close()
	p.end()
}

func TestEntry(t *testing.T) {
	c := realHost(t)
	g := create(t, c, "lxc-1-a")
	unified, tasks, err := g.Entry()
	require.NoError(t, err)
	defer closeAll(unified, tasks)
	if unified == nil {
		t.Skip("no version 2 tree on this host")
	}
	cmd := exec.Command("/bin/cat", "/proc/self/cgroup")
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(unified.Fd())}
	out, err := cmd.Output()
	require.NoError(t, err)
	assert.Contains(t, string(out), "0::"+g.Path()+"\n")
	for i, mount := range g.Mounts() {
		assert.Equal(t, g.dirs[i], mount.Path)
		assert.DirExists(t, mount.Path)
	}
}

func TestControllersGroup(t *testing.T) {
	c := realHost(t)
	for range 2 {
		unified, tasks, err := c.ControllersGroup(within(t))
		require.NoError(t, err)
		closeAll(unified, tasks)
		assert.Len(t, tasks, len(c.all)-boolToInt(unified != nil))
	}
	for _, h := range c.all {
		assert.DirExists(t, h.root+c.base+"/machine/"+controllersName)
	}
	removed, err := c.Sweep(within(t), func(string) bool { return false })
	require.NoError(t, err)
	assert.Empty(t, removed)
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
