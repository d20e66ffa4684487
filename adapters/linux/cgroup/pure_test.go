package cgroup

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
	"virtlxcd/domain/policy"
)

func TestGroupPath(t *testing.T) {
	for _, row := range []struct{ base, partition, name, want string }{
		{"", "/machine", "lxc-1-a", "/machine/lxc-1-a.libvirt-lxc"},
		{"", "/machine", "lxc-1-a.libvirt-lxc", "/machine/lxc-1-a.libvirt-lxc"},
		{"/vlx-1", "/machine", "a", "/vlx-1/machine/a.libvirt-lxc"},
		{"", "/a/b", "x", "/a.partition/b.partition/x.libvirt-lxc"},
		{"", "/machine/a", "x", "/machine/a.partition/x.libvirt-lxc"},
		{"", "/a/machine", "x", "/a.partition/machine.partition/x.libvirt-lxc"},
		{"", "/a.partition/web.slice", "x", "/a.partition/web.slice/x.libvirt-lxc"},
		{"", "/", "x", "/x.libvirt-lxc"},
		{"", "", "x", "/x.libvirt-lxc"},
		{"", "//a//", "x", "/a.partition/x.libvirt-lxc"},
		{"", "/cpu.x/_y/tasks", "x", "/_cpu.x/__y.partition/tasks.partition/x.libvirt-lxc"},
		{"", "/machine", "memory", "/machine/_memory.libvirt-lxc"},
		{"", "/machine", "cgroup.procs", "/machine/_cgroup.procs.libvirt-lxc"},
		{"", "/machine", ".hidden", "/machine/_.hidden.libvirt-lxc"},
	} {
		got, err := groupPath(row.base, row.partition, row.name)
		require.NoError(t, err, row.want)
		assert.Equal(t, row.want, got)
	}
	for _, bad := range [][2]string{
		{"machine", "x"}, {"/a/./b\n", "x"}, {"/machine", "a/b"}, {"/machine", "a\x00"},
		{"/machine", strings.Repeat("x", 250)}, {"/" + strings.Repeat("y", 256), "x"},
	} {
		_, err := groupPath("", bad[0], bad[1])
		require.ErrorIs(t, err, fault.InvalidArgument, "%q", bad)
	}
}

func FuzzGroupPath(f *testing.F) {
	f.Add("/machine", "lxc-1-a")
	f.Add("/../..", "..")
	f.Add("/cpu.x/_y", "tasks")
	f.Fuzz(func(t *testing.T, partition, name string) {
		got, err := groupPath("/vlx", partition, name)
		if err != nil {
			return
		}
		require.NoError(t, checkPath("/vlx", got), "what is made can be opened, and is below the base")
		for part := range strings.SplitSeq(got[1:], "/") {
			require.False(t, part != "machine" && clashes(part) && part[0] != '_', part)
		}
	})
}

func TestRuleText(t *testing.T) {
	for text, key := range map[string]deviceKey{
		"c 1:3 rwm": {charType, 1, 3}, "b *:* m": {blockType, anyNumber, anyNumber}, "c 136:* rw": {charType, 136, anyNumber},
	} {
		parsed, rights, err := parseRule(text)
		require.NoError(t, err)
		assert.Equal(t, key, parsed)
		assert.Equal(t, text, ruleText(parsed, rights))
	}
	list, everything := parseDeviceList("c 1:3 r\nnonsense\nc 1:3 w\nb 7:x m\n")
	assert.False(t, everything)
	assert.Equal(t, deviceList{{charType, 1, 3}: mayRead | mayWrite}, list)
	_, everything = parseDeviceList("a *:* rwm\n")
	assert.True(t, everything)
}

func TestDeviceRules(t *testing.T) {
	list, err := newDeviceList([]policy.DeviceRule{
		{Major: 7, Minor: 1, Read: true}, {Block: true, Major: 7, Minor: 1, MakeNod: true},
		{Major: 7, Minor: 1, Write: true}, {Major: 9, Minor: 9}, {Major: policy.AnyNumber, Minor: 0, MakeNod: true},
	})
	require.NoError(t, err)
	assert.Equal(t, deviceList{
		{charType, 7, 1}: mayRead | mayWrite, {blockType, 7, 1}: mayMake, {charType, anyNumber, 0}: mayMake,
	}, list)
	for _, number := range []int64{-2, anyNumber, 1 << 40} {
		_, err := newDeviceList([]policy.DeviceRule{{Major: 1, Minor: number, Read: true}})
		require.ErrorIs(t, err, fault.InvalidArgument)
	}
}

func FuzzParseRule(f *testing.F) {
	f.Add("c 1:3 rwm")
	f.Add("b *:* m")
	f.Add("a *:* rwm")
	f.Fuzz(func(t *testing.T, line string) {
		key, rights, err := parseRule(line)
		if err != nil || rights == 0 {
			return
		}
		again, same, err := parseRule(ruleText(key, rights))
		require.NoError(t, err)
		require.Equal(t, key, again)
		require.Equal(t, rights, same)
	})
}

func TestField(t *testing.T) {
	text := []byte("oom 3\noom_kill 2\nempty \nlast 18446744073709551615")
	assert.Equal(t, uint64(3), field(text, "oom"))
	assert.Equal(t, uint64(2), field(text, "oom_kill"))
	assert.Equal(t, uint64(0), field(text, "empty"))
	assert.Equal(t, ^uint64(0), field(text, "last"))
	assert.Equal(t, uint64(0), field(text, "kill"))
	assert.Equal(t, uint64(0), field(nil, "kill"))
}

func FuzzField(f *testing.F) {
	f.Add([]byte("populated 1\nfrozen 0\n"), "frozen")
	f.Fuzz(func(t *testing.T, text []byte, key string) {
		if field(text, key) != 0 {
			require.Contains(t, "\n"+string(text), "\n"+key+" ")
		}
	})
}

func TestParsePIDs(t *testing.T) {
	assert.Equal(t, []int{1, 22}, parsePIDs("1\n0\n22\nx\n-3\n"))
	assert.Empty(t, parsePIDs(""))
}

func FuzzMounts(f *testing.F) {
	f.Add("30 1 0:30 / /sys/fs/cgroup/cpu rw - cgroup none rw,cpu\n")
	f.Fuzz(func(t *testing.T, table string) {
		found, err := parseMounts(strings.NewReader(table))
		if err == nil && len(found) > 0 {
			arranged := arrange(found)
			require.Len(t, arranged.all, len(found))
		}
	})
}
