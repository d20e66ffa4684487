package cgroup

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
	"virtlxcd/domain/policy"
)

func TestPlanV1(t *testing.T) {
	c := fakeHost(t, "", oldHost...)
	g := fakeGroup(t, c, map[string]string{"memory.limit_in_bytes": "104857600\n"})
	all := policy.Limits{
		MemoryHard: ptr(uint64(51200)), MemorySoft: ptr(uint64(1)), SwapHard: ptr(uint64(51200)),
		CPUShares: ptr(uint64(2)), CPUPeriod: ptr(uint64(1000)), CPUQuota: ptr(int64(-7)),
	}
	assert.Equal(t, []string{
		"memory.soft_limit_in_bytes=1024", "memory.limit_in_bytes=52428800", "memory.memsw.limit_in_bytes=52428800",
		"cpu.shares=2", "cpu.cfs_period_us=1000", "cpu.cfs_quota_us=-1",
	}, planned(t, g, all), "shrinking")
	all.MemoryHard, all.SwapHard, all.CPUQuota = ptr(policy.Unlimited), ptr(policy.Unlimited), ptr(int64(0))
	assert.Equal(t, []string{
		"memory.soft_limit_in_bytes=1024", "memory.memsw.limit_in_bytes=-1", "memory.limit_in_bytes=-1",
		"cpu.shares=2", "cpu.cfs_period_us=1000",
	}, planned(t, g, all), "growing")
	assert.Empty(t, planned(t, g, policy.Limits{}))

	for controller, limits := range map[string]policy.Limits{"pids": {PIDs: ptr(uint64(1))}, "cpuset": {CPUSet: "0"}} {
		err := g.Apply(t.Context(), limits)
		require.ErrorIs(t, err, fault.UnsupportedConfig)
		assert.Contains(t, err.Error(), "'"+controller+"'")
	}
	err := g.Apply(t.Context(), policy.Limits{MemoryHard: ptr(uint64(2)), SwapHard: ptr(uint64(1))})
	require.ErrorIs(t, err, fault.InvalidArgument)
}

func TestPlanUnified(t *testing.T) {
	const mib = 1024
	for name, row := range map[string]struct {
		files  map[string]string
		limits policy.Limits
		want   []string
	}{
		"both": {nil, policy.Limits{MemoryHard: ptr(uint64(100 * mib)), MemorySoft: ptr(uint64(50 * mib)), SwapHard: ptr(uint64(150 * mib))},
			[]string{"memory.high=52428800", "memory.max=104857600", "memory.swap.max=52428800"}},
		"total alone": {map[string]string{"memory.max": "104857600\n"}, policy.Limits{SwapHard: ptr(uint64(150 * mib))},
			[]string{"memory.swap.max=52428800"}},
		"total alone, memory unlimited": {map[string]string{"memory.max": "max\n"}, policy.Limits{SwapHard: ptr(uint64(150 * mib))},
			[]string{"memory.swap.max=157286400"}},
		"memory alone keeps the total": {map[string]string{"memory.max": "104857600\n", "memory.swap.max": "52428800\n"}, policy.Limits{MemoryHard: ptr(uint64(140 * mib))},
			[]string{"memory.max=146800640", "memory.swap.max=10485760"}},
		"memory alone, no total": {map[string]string{"memory.max": "104857600\n", "memory.swap.max": "max\n"}, policy.Limits{MemoryHard: ptr(uint64(140 * mib))},
			[]string{"memory.max=146800640"}},
		"memory alone, limited anew": {map[string]string{"memory.max": "max\n", "memory.swap.max": "157286400\n"}, policy.Limits{MemoryHard: ptr(uint64(100 * mib))},
			[]string{"memory.max=104857600", "memory.swap.max=52428800"}},
		"memory alone, no limit any more": {map[string]string{"memory.max": "104857600\n", "memory.swap.max": "52428800\n"}, policy.Limits{MemoryHard: ptr(policy.Unlimited)},
			[]string{"memory.max=max", "memory.swap.max=157286400"}},
		"soft alone": {nil, policy.Limits{MemorySoft: ptr(policy.Unlimited)}, []string{"memory.high=max"}},
		"unlimited": {nil, policy.Limits{MemoryHard: ptr(policy.Unlimited), SwapHard: ptr(policy.Unlimited), PIDs: ptr(policy.Unlimited)},
			[]string{"memory.max=max", "memory.swap.max=max", "pids.max=max"}},
		"quota":                             {map[string]string{"cpu.max": "max 50000\n"}, policy.Limits{CPUQuota: ptr(int64(7000))}, []string{"cpu.max=7000 50000"}},
		"no quota":                          {map[string]string{"cpu.max": "7000 50000\n"}, policy.Limits{CPUQuota: ptr(int64(-1))}, []string{"cpu.max=max 50000"}},
		"period":                            {map[string]string{"cpu.max": "7000 50000\n"}, policy.Limits{CPUPeriod: ptr(uint64(9000)), CPUQuota: ptr(int64(0))}, []string{"cpu.max=7000 9000"}},
		"quota on a file that says nothing": {map[string]string{"cpu.max": "\n"}, policy.Limits{CPUQuota: ptr(int64(7000))}, []string{"cpu.max=7000 100000"}},
		"quota without the file":            {nil, policy.Limits{CPUPeriod: ptr(uint64(5000))}, []string{"cpu.max=max 5000"}},
		"quota left alone":                  {nil, policy.Limits{CPUQuota: ptr(int64(0))}, nil},
		"shares alone":                      {nil, policy.Limits{CPUShares: ptr(uint64(1024))}, []string{"cpu.weight=100"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := fakeHost(t, "cpu memory pids", newHost...)
			assert.Equal(t, row.want, planned(t, fakeGroup(t, c, row.files), row.limits))
		})
	}
	c := fakeHost(t, "cpu memory pids", newHost...)
	g := fakeGroup(t, c, map[string]string{"memory.max": "104857600\n", "memory.swap.max": "0\n", "memory.current": "90000000\n"})
	_, err := g.plan(policy.Limits{MemoryHard: ptr(uint64(200 * mib))})
	require.ErrorIs(t, err, fault.InvalidArgument, "above what was set as the total")
	err = g.Apply(t.Context(), policy.Limits{MemoryHard: ptr(uint64(10 * mib))})
	require.ErrorContains(t, err, "below what is in use")
}

// planned shows the plan without directories.
func planned(t *testing.T, g *Group, limits policy.Limits) (shown []string) {
	t.Helper()
	changes, err := g.plan(limits)
	require.NoError(t, err)
	for _, c := range changes {
		shown = append(shown, filepath.Base(c.path)+"="+c.value)
	}
	return shown
}

func TestRestoreAfterFailure(t *testing.T) {
	c := fakeHost(t, "cpu memory pids", newHost...)
	g := fakeGroup(t, c, map[string]string{"memory.max": "111111111", "memory.swap.max": "222222222"})
	err := g.Apply(t.Context(), policy.Limits{MemoryHard: ptr(uint64(100000)), SwapHard: ptr(uint64(200000)), PIDs: ptr(uint64(5))})
	require.ErrorIs(t, err, fault.UnsupportedConfig, "there is no pids.max")
	for file, want := range map[string]string{"memory.max": "111111111", "memory.swap.max": "222222222"} {
		got, err := readValue(g.dirs[0] + "/" + file)
		require.NoError(t, err)
		assert.Equal(t, want, got, file)
	}
}
