package cgroup

import (
	"os"
	"path"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
	"virtlxcd/domain/policy"
)

// TestRefused: what the kernel's answers to a limit mean.
func TestRefused(t *testing.T) {
	g := fakeGroup(t, fakeHost(t, "memory pids", newHost...), nil)
	for _, row := range []struct {
		errno      unix.Errno
		controller string
		kind       fault.Kind
		text       string
	}{
		{unix.EINVAL, "memory", fault.InvalidArgument, "'7' as thing"},
		{unix.ERANGE, "pids", fault.InvalidArgument, "'7' as thing"},
		{unix.ENOSPC, "cpuset", fault.InvalidArgument, "'7' as thing"},
		{unix.EACCES, "cpuset", fault.InvalidArgument, "'7' as thing"},
		{unix.EBUSY, "memory", fault.System, "thing below what is in use"},
		{unix.EBUSY, "cpuset", fault.System, "unable to set the thing to '7'"},
		{unix.EIO, "memory", fault.System, "unable to set the thing to '7'"},
		{unix.ENOENT, "memory", fault.UnsupportedConfig, "'memory' control group controller of this host has no thing (x.max)"},
		{unix.ENODEV, "memory", fault.UnsupportedConfig, "(x.max)"},
	} {
		err := g.refused(row.errno, change{row.controller, g.dirs[0] + "/x.max", "7", "thing"})
		require.ErrorIs(t, err, row.kind, row.errno.Error())
		assert.ErrorContains(t, err, row.text)
		var known *fault.Error
		require.ErrorAs(t, err, &known)
		assert.Equal(t, fault.ControlGroup, known.Area)
	}
	for _, errno := range []unix.Errno{unix.ENOENT, unix.ENODEV} {
		err := g.refused(errno, change{"memory", g.dirs[0] + "x/memory.max", "7", "thing"})
		require.ErrorIs(t, err, fault.NotFound, "the group itself is gone")
		assert.ErrorContains(t, err, g.Path())
	}
}

// TestSwapWithoutAccounting: a kernel may count memory but not swap. What is missing
// is named, and the limit of memory is what it was.
func TestSwapWithoutAccounting(t *testing.T) {
	g := fakeGroup(t, fakeHost(t, "", oldHost...), map[string]string{"memory.limit_in_bytes": "9223372036854771712\n"})
	err := g.Apply(t.Context(), policy.Limits{MemoryHard: ptr(uint64(2048)), SwapHard: ptr(uint64(4096))})
	require.ErrorIs(t, err, fault.UnsupportedConfig)
	assert.ErrorContains(t, err, "limit of memory plus swap (memory.memsw.limit_in_bytes)")
	dir, _, _ := g.dir("memory")
	assert.Equal(t, "9223372036854771712", value(t, dir+"/memory.limit_in_bytes"))
}

// TestRestoresInReverse: each step back undoes one that was allowed.
func TestRestoresInReverse(t *testing.T) {
	g := fakeGroup(t, fakeHost(t, "cpu memory pids", newHost...), map[string]string{
		"memory.high": "11111", "memory.max": "22222222", "memory.swap.max": "max", "cpu.weight": "100", "cpu.max": "max 100000",
	})
	require.NoError(t, os.Mkdir(g.dirs[0]+"/pids.max", 0o755)) // cannot be written
	err := g.Apply(t.Context(), policy.Limits{
		MemorySoft: ptr(uint64(10)), MemoryHard: ptr(uint64(10000)), SwapHard: ptr(uint64(10000)),
		CPUShares: ptr(uint64(1024)), CPUQuota: ptr(int64(1000)), PIDs: ptr(uint64(1)),
	})
	require.ErrorIs(t, err, unix.EISDIR)
	assert.ErrorContains(t, err, "process limit to '1'")
	for file, want := range map[string]string{"memory.high": "11111", "memory.max": "22222222", "memory.swap.max": "max", "cpu.weight": "100", "cpu.max": "max 100000"} {
		assert.Equal(t, want, value(t, g.dirs[0]+"/"+file), file)
	}
}

func TestMakeRoom(t *testing.T) {
	for name, row := range map[string]struct {
		current string // memory.current; empty: no file
		limit   uint64
		asked   string // of memory.reclaim
		refused bool
	}{
		"room":           {"1000\n", 1000, "", false},
		"too much":       {"3000\n", 1000, "2000", true},
		"no limit":       {"3000\n", unlimited, "", false},
		"nobody counts":  {"", 1, "", false},
		"not understood": {"many\n", 1, "", false},
	} {
		dir := t.TempDir()
		write(t, dir+"/memory.reclaim", "")
		if row.current != "" {
			write(t, dir+"/memory.current", row.current)
		}
		err := makeRoom(dir, row.limit)
		assert.Equal(t, row.refused, err != nil, name)
		if row.refused {
			assert.ErrorIs(t, err, unix.EBUSY, name)
		}
		assert.Equal(t, row.asked, value(t, dir+"/memory.reclaim"), name)
	}
}

func TestBytes(t *testing.T) {
	for kib, want := range map[uint64]uint64{
		0: 0, 1: 1024, policy.Unlimited: unlimited, policy.Unlimited + 1: unlimited, 1<<64 - 1: unlimited,
		policy.Unlimited - 1: (policy.Unlimited - 1) * 1024,
	} {
		assert.Equal(t, want, bytesOf(kib), "%d KiB", kib)
	}
	assert.Equal(t, "4611686018427387903", byteText(unlimited-1, "max"))
	assert.Equal(t, "max", byteText(unlimited, "max"))
	assert.Equal(t, "-1", byteText(bytesOf(policy.Unlimited-1), "-1"), "more than there can be")
	dir := t.TempDir()
	for text, want := range map[string]uint64{
		"max\n": unlimited, "9223372036854771712\n": unlimited, "4096\n": 4096, "0\n": 0, "": unlimited, "-1\n": unlimited, "99999999999999999999\n": unlimited,
	} {
		write(t, dir+"/limit", text)
		assert.Equal(t, want, readBytes(dir+"/limit"), "%q", text)
	}
}

// FuzzMemoryPlan applies limits one after the other, as a version 2 host would, and
// compares with what version 1 would keep: two limits that are independent but for
// their order.
func FuzzMemoryPlan(f *testing.F) {
	f.Add(uint32(100), uint32(150), uint32(140))
	f.Add(uint32(0), uint32(150), uint32(100))
	f.Add(uint32(100), uint32(0), uint32(0))
	f.Fuzz(func(t *testing.T, hard, total, then uint32) {
		dir := t.TempDir()
		put := func(limits policy.Limits) error {
			changes, err := planMemoryUnified(dir, limits)
			for _, c := range changes {
				write(t, c.path, c.value+"\n")
			}
			return err
		}
		wish := func(kib uint32) *uint64 { // 0: no limit
			if kib == 0 {
				return ptr(policy.Unlimited)
			}
			return ptr(uint64(kib))
		}
		hardBytes, totalBytes, thenBytes := bytesOf(*wish(hard)), bytesOf(*wish(total)), bytesOf(*wish(then))
		err := put(policy.Limits{MemoryHard: wish(hard), SwapHard: wish(total)})
		if hardBytes > totalBytes && hardBytes < unlimited {
			require.ErrorIs(t, err, fault.InvalidArgument)
			return
		}
		require.NoError(t, err)
		err = put(policy.Limits{MemoryHard: wish(then)})
		if thenBytes > totalBytes && thenBytes < unlimited {
			require.ErrorIs(t, err, fault.InvalidArgument)
			return
		}
		require.NoError(t, err)
		require.Equal(t, thenBytes, readBytes(dir+"/memory.max"))
		swap := readBytes(dir + "/memory.swap.max")
		switch {
		case totalBytes == unlimited:
			require.Equal(t, uint64(unlimited), swap)
		case thenBytes == unlimited:
			require.Equal(t, totalBytes, swap)
		default:
			require.Equal(t, totalBytes, thenBytes+swap)
		}
	})
}

// TestCreateWithoutRoom: the kernel may refuse a group in any hierarchy. None stays.
func TestCreateWithoutRoom(t *testing.T) {
	c := realHost(t)
	if !c.unified() {
		t.Skip("needs a version 2 tree, to limit how many groups there are")
	}
	parent := c.all[0].root + c.base + "/machine"
	create(t, c, "lxc-1-a")
	require.NoError(t, writeValue(parent+"/cgroup.max.descendants", "1"))
	_, err := c.Create(within(t), "/machine", "lxc-2-b")
	require.ErrorIs(t, err, unix.EAGAIN)
	assert.ErrorContains(t, err, parent+"/lxc-2-b.libvirt-lxc")
	require.NoError(t, writeValue(parent+"/cgroup.max.descendants", strconv.Itoa(2)))
	create(t, c, "lxc-2-b")
}

// TestCreateTakesBackWhatItMade: a leftover that lives in the last hierarchy only.
func TestCreateTakesBackWhatItMade(t *testing.T) {
	c := realHost(t)
	if len(c.all) < 2 {
		t.Skip("needs more than one hierarchy")
	}
	create(t, c, "lxc-1-other") // so that the partition is there
	g := c.group(c.base + "/machine/lxc-2-b.libvirt-lxc")
	last := len(g.dirs) - 1
	require.NoError(t, os.Mkdir(g.dirs[last], 0o755))
	require.NoError(t, c.equip(last, g.dirs[last]))
	alone := &Group{layout: &layout{all: c.all[last:], by: c.by}, path: g.path, dirs: g.dirs[last:], log: g.log}
	p := spawn(t, alone, "read x")
	_, err := c.Create(within(t), "/machine", "lxc-2-b")
	require.ErrorIs(t, err, fault.Busy)
	assert.ErrorContains(t, err, g.dirs[last])
	for i, dir := range g.dirs {
		assert.Equal(t, i == last, exists(dir), path.Dir(dir))
	}
	_ = p.in.Close()
	p.end()
	require.NoError(t, g.Remove(within(t)))
}
