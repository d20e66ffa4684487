package cgroup

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/policy"
)

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
