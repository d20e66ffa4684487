package cgroup

import (
	"os"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/policy"
)

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
