package cgroup

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

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
		{"/machine/lxc-1-a.libvirt-lxc", "x"}, {"/.libvirt-lxc/deep", "x"}, // inside a container
	} {
		_, err := groupPath("", bad[0], bad[1])
		require.ErrorIs(t, err, fault.InvalidArgument, "%q", bad)
	}
}

// TestNamesNeverMeet: what is escaped is no other name as it is.
func TestNamesNeverMeet(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{"tasks", "_tasks", "__tasks", "cpu.max", "_cpu.max", "io.x", "dmem.x", "x", "_x", ".x", "_.x", "memory", "cpu", "release_agent"} {
		escaped := escape(name)
		assert.False(t, seen[escaped] != "", "%q and %q are both %q", name, seen[escaped], escaped)
		seen[escaped] = name
		assert.False(t, escaped == "tasks" || strings.HasPrefix(escaped, "cpu."), escaped)
	}
}

// TestCheckPath: a status file that is damaged must not lead to groups of others.
func TestCheckPath(t *testing.T) {
	const group, scope = "/machine/lxc-1-a.libvirt-lxc", `/machine.slice/machine-lxc\x2d1\x2da.scope/libvirt`
	for _, base := range []string{"", "/vlx-1"} {
		for _, good := range []string{group, scope} {
			require.NoError(t, checkPath(base, base+good))
		}
		for _, bad := range []string{
			"", "/", "/machine", "/system.slice/sshd.service", "/machine.slice", "/libvirt", "/user.slice/libvirt", group + "/", group + "/inside",
			"/machine/../x.libvirt-lxc", "//machine/x.libvirt-lxc", "/machine/\x00.libvirt-lxc", "/a.scope/supervisor",
		} {
			require.ErrorIs(t, checkPath(base, base+bad), fault.NotFound, "%q", bad)
		}
	}
	require.ErrorIs(t, checkPath("/vlx-1", group), fault.NotFound, "another daemon's")
	require.ErrorIs(t, checkPath("/vlx-1", "/vlx-12"+group), fault.NotFound)
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

func TestRulesThatAreNone(t *testing.T) {
	for _, line := range []string{
		"", "c", "c 1:3", "c 1:3 r w", "d 1:3 r", "a *:* rwm", "c 1 r", "c :3 r", "c 1: r", "c -1:3 r", "c 4294967295:3 r", "c 1:4294967296 r", "c *1:3 r",
	} {
		_, _, err := parseRule(line)
		assert.Error(t, err, "%q", line)
	}
	key, _, err := parseRule("b 4294967294:0 r")
	require.NoError(t, err)
	assert.Equal(t, deviceKey{blockType, anyNumber - 1, 0}, key)
}

// TestDifferenceIsWritten: the kernel takes one rule per call, and only what differs.
func TestDifferenceIsWritten(t *testing.T) {
	path := t.TempDir() + "/devices.allow"
	write(t, path, "")
	one, two := deviceKey{charType, 1, 3}, deviceKey{blockType, 7, anyNumber}
	require.NoError(t, writeRules(path, deviceList{one: mayRead}, deviceList{one: mayRead | mayWrite}))
	assert.Empty(t, value(t, path), "nothing is lacking")
	require.NoError(t, writeRules(path, deviceList{two: mayMake, one: mayRead | mayWrite}, deviceList{one: mayRead}))
	assert.Equal(t, "b 7:* mc 1:3 w", value(t, path), "in order, on a file that only grows")
	require.ErrorIs(t, writeRules(path+"x", deviceList{one: mayRead}, nil), unix.ENOENT)
	require.NoError(t, writeRules(path+"x", nil, deviceList{one: mayRead}), "not even opened")
}

// FuzzDeviceList: what is shown of a list is the list.
func FuzzDeviceList(f *testing.F) {
	f.Add("c 1:3 rwm\nb *:* m\nc 1:3 w\n")
	f.Add("a *:* rwm\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, everything := parseDeviceList(text)
		if everything {
			require.Contains(t, text, "a ")
			require.Empty(t, list)
			return
		}
		var lines []string
		for _, key := range sortedKeys(list) {
			if list[key] == 0 {
				delete(list, key)
				continue
			}
			lines = append(lines, ruleText(key, list[key]))
		}
		again, everything := parseDeviceList(strings.Join(lines, "\n"))
		require.False(t, everything)
		require.Equal(t, list, again)
	})
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

func TestNumber(t *testing.T) {
	for text, want := range map[string]uint64{"": 0, "x": 0, "-1": 0, "007\n": 7, "12 34": 12, "18446744073709551615": 1<<64 - 1} {
		assert.Equal(t, want, number([]byte(text)), "%q", text)
	}
}

// TestFilesCutShort: what is missing counts nothing, and no line is taken for another.
func TestFilesCutShort(t *testing.T) {
	whole := "usage_usec 12\nuser_usec 8\nsystem_usec 4\n"
	for n := range len(whole) {
		text := []byte(whole[:n])
		assert.Contains(t, []uint64{0, 1, 12}, field(text, "usage_usec"))
		assert.Contains(t, []uint64{0, 8}, field(text, "user_usec"))
		assert.Contains(t, []uint64{0, 4}, field(text, "system_usec"))
		assert.Zero(t, field(text, "sec"))
	}
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
	f.Add("30 1 0:30 / /a rw - cgroup none rw,name=systemd\n31 1 0:31 / /b rw - cgroup2 none rw\n32 1 0:31 / /c rw - cgroup2 none rw\n")
	f.Fuzz(func(t *testing.T, table string) {
		found, err := parseMounts(strings.NewReader(table))
		if err == nil && len(found) > 0 {
			arranged := arrange(found)
			require.Len(t, arranged.all, len(found))
			for i, h := range arranged.all {
				require.False(t, h.unified && i > 0, "the version 2 tree comes first, and is one")
				require.True(t, h.unified || len(h.controllers) > 0)
			}
			for controller, i := range arranged.by {
				require.Contains(t, arranged.all[i].controllers, controller)
			}
		}
	})
}
