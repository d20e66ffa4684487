package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/host"
)

func TestParseList(t *testing.T) {
	for text, want := range map[string][]int{
		"": nil, "\n": nil, "0": {0}, "0-3,8,10-11\n": {0, 1, 2, 3, 8, 10, 11}, "5-5": {5},
	} {
		got, ok := parseList(text)
		assert.True(t, ok, "%q", text)
		assert.Equal(t, want, got, "%q", text)
	}
	for _, text := range []string{"a", "1-", "-1", "3-1", "1,,2", "1,", "0-4294967295", "0-65536", "99999999999", "1 2",
		strings.Repeat("0-65535,", 2) + "1"} {
		_, ok := parseList(text)
		assert.False(t, ok, "%.20q", text)
	}
}

func TestControllersOf(t *testing.T) {
	assert.Equal(t, []string{"cpu", "cpuacct"}, controllersOf("rw,cpu,cpuacct"))
	assert.Equal(t, []string{"name=x"}, controllersOf("rw,none,name=x,release_agent=/memory"))
	assert.Empty(t, controllersOf("rw,seclabel,favordynmods"))
}

func TestUsualMountWins(t *testing.T) {
	mounts, err := parseMounts(strings.NewReader("1 0 0:9 / /old rw - cgroup c rw,cpu\n" +
		"2 0 0:9 / /sys/fs/cgroup/cpu rw - cgroup c rw,cpu\n3 0 0:9 / /later rw - cgroup c rw,cpu\n"))
	require.NoError(t, err)
	require.Len(t, mounts, 1)
	assert.Equal(t, "/sys/fs/cgroup/cpu", mounts[0].Mountpoint)
	assert.Equal(t, "with space", nameOf("/mnt/with space"))
}

func TestIrregularMachineIsFlat(t *testing.T) {
	two := []host.CPU{{ID: 0, Siblings: "0-1"}, {ID: 1, Siblings: "0-1"}}
	one := []host.CPU{{ID: 2, Socket: 1, Siblings: "2"}}
	place := topology{cells: []host.Cell{{CPUs: two}, {CPUs: one}}}
	place.count(3)
	assert.Equal(t, []int{1, 1, 3, 1}, []int{place.nodes, place.sockets, place.cores, place.threads})
	place = topology{cells: []host.Cell{{CPUs: two}, {CPUs: nil}}}
	place.count(4)
	assert.Equal(t, []int{2, 1, 1, 2}, []int{place.nodes, place.sockets, place.cores, place.threads})
}

func FuzzParseList(f *testing.F) {
	f.Add("0-3,8,10-11")
	f.Fuzz(func(t *testing.T, text string) {
		numbers, ok := parseList(text)
		if !ok {
			assert.Nil(t, numbers)
			return
		}
		assert.LessOrEqual(t, len(numbers), 2*maxCPU)
		var parts []string
		for _, n := range numbers[:min(len(numbers), 1000)] {
			parts = append(parts, fmt.Sprint(n))
		}
		again, ok := parseList(strings.Join(parts, ","))
		assert.True(t, ok)
		assert.True(t, slices.Equal(numbers[:min(len(numbers), 1000)], again))
	})
}

// FuzzFiles reads whatever may stand in the files that are decoded.
func FuzzFiles(f *testing.F) {
	for _, path := range []string{"/proc/self/mountinfo", "/proc/meminfo", "/proc/cpuinfo", "/proc/self/status"} {
		if text, err := os.ReadFile(path); err == nil {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		root := t.TempDir()
		for _, path := range []string{
			"proc/self/mountinfo", "proc/meminfo", "proc/cpuinfo", "proc/self/status", "sys/power/state", "etc/machine-id",
			"sys/devices/system/node/node0/distance", "sys/devices/system/cpu/online", "proc/sys/kernel/cap_last_cap",
		} {
			path = filepath.Join(root, path)
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			require.NoError(t, os.WriteFile(path, text, 0o644))
		}
		h := New(root)
		facts := host.Facts{}
		h.mounts(&facts)
		hosted := h.memory("/proc/meminfo")
		_ = h.pageSizes(hosted)
		assert.GreaterOrEqual(t, h.mhz(), 0)
		assert.LessOrEqual(t, h.lastCapability(), uint(63))
		h.capabilities()
		h.suspendModes()
		distances(h.line("/sys/devices/system/node/node0/distance"))
		assert.NotZero(t, h.findUUID())
		for _, mount := range facts.Cgroups {
			assert.True(t, mount.V2 || len(mount.Controllers) > 0)
		}
	})
}
