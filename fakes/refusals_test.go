package fakes

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/container"
	"virtlxcd/domain/device"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/policy"
	"virtlxcd/ports"
)

// TestLimitsThatNoKernelTakes are refused, at their bounds.
func TestLimitsThatNoKernelTakes(t *testing.T) {
	h := NewHost()
	group, err := NewCgroups(h).Create(t.Context(), "/machine", "web")
	require.NoError(t, err)
	for name, test := range map[string]struct {
		wish policy.Limits
		fine bool
	}{
		"shortest period":  {policy.Limits{CPUPeriod: new(uint64(1000))}, true},
		"too short":        {policy.Limits{CPUPeriod: new(uint64(999))}, false},
		"longest period":   {policy.Limits{CPUPeriod: new(uint64(1_000_000))}, true},
		"too long":         {policy.Limits{CPUPeriod: new(uint64(1_000_001))}, false},
		"smallest quota":   {policy.Limits{CPUQuota: new(int64(1000))}, true},
		"too small":        {policy.Limits{CPUQuota: new(int64(999))}, false},
		"no time at all":   {policy.Limits{CPUQuota: new(int64(0))}, false},
		"no quota":         {policy.Limits{CPUQuota: new(int64(-1))}, true},
		"processors":       {policy.Limits{CPUSet: "0-1,3"}, true},
		"some processors":  {policy.Limits{CPUSet: "all"}, false},
		"nothing is asked": {policy.Limits{}, true},
	} {
		before := h.Limits(group.Path())
		err := group.Apply(t.Context(), test.wish)
		assert.Equal(t, test.fine, err == nil, "%s: %v", name, err)
		if !test.fine {
			assert.ErrorIs(t, err, fault.System, name)
			assert.Equal(t, before, h.Limits(group.Path()), name)
		}
	}
}

// TestNamesGivenLaterAreNotTakenBefore by a pattern of the same call.
func TestNamesGivenLaterAreNotTakenBefore(t *testing.T) {
	h := NewHost()
	links := NewLinks(h)
	named, err := links.Name(t.Context(), []device.Link{{}, {HostName: "vnet0"}, {HostName: "vnet%d"}, {HostName: "vnet2"}})
	require.NoError(t, err)
	var all []string
	for _, link := range named {
		all = append(all, link.HostName)
	}
	assert.Equal(t, []string{"vnet1", "vnet0", "vnet3", "vnet2"}, all)
	links.Release(named)
	assert.NotContains(t, h.String(), "reserved")
}

// TestSweepAsksForEachThatHoldsNothing, and leaves those alone that a daemon talks to.
func TestSweepAsksForEachThatHoldsNothing(t *testing.T) {
	h := hostWithPrograms(t)
	controllers := NewControllers(h)
	made, err := controllers.Launch(t.Context(), container.Identity{Name: "web", UUID: container.UUID{1}})
	require.NoError(t, err)
	ended, err := controllers.Sweep(t.Context(), func(string) bool {
		t.Error("it is connected, so it was not asked about")
		return false
	})
	require.NoError(t, err)
	assert.Empty(t, ended)
	require.NoError(t, made.Close())
	h.Fail("Controllers.Sweep", assert.AnError)
	_, err = controllers.Sweep(t.Context(), func(string) bool { return false })
	assert.ErrorIs(t, err, assert.AnError)
}

// TestStatusWithUnknownNumbers is refused: they would have no name to print.
func TestStatusWithUnknownNumbers(t *testing.T) {
	codec := NewCodec(NewEntropy(NewHost()))
	for head, fine := range map[string]bool{
		"status 7 3 7": true, "status 7 4 1": false, "status 7 2 8": false, "status 7 200 1": false, "status 7 2": false,
	} {
		text := head + " true 1 2\nboot \"b\"\ncgroup \"/g\"\ncontroller 1 2 \"s\"\n\nname web\nuuid " + container.UUID{1}.String() + "\n"
		status, err := codec.ParseStatus(text)
		if fine {
			require.NoError(t, err, head)
			assert.Equal(t, text[:len(head)], codec.FormatStatus(status)[:len(head)])
			continue
		}
		assert.ErrorIs(t, err, fault.Malformed, head)
		assert.Nil(t, status)
	}
	_, err := codec.ParseStatus(codec.FormatStatus(&container.Status{Definition: &container.Definition{}}))
	assert.ErrorIs(t, err, fault.NoName, "the definition counts as well")
}

// TestCodecRefusesValues that the real format would refuse, naming the line.
func TestCodecRefusesValues(t *testing.T) {
	codec := NewCodec(NewEntropy(NewHost()))
	for _, line := range []string{
		"limit hard -1", "limit weight 4294967296", "limit quota x", "limit hard", "limit none 1", "cap kill perhaps", "cap kill",
		"caps some", "uidmap 0 0", "uidmap 0 0 4294967296", "uidmap 0 0 -1", "filesystem mount /a", "filesystem mount /a / rw x",
		"link", "link bridge virbr0 52:54", "link bridge virbr0 \"\" a b 1.2.3.4", "env A", "metadata urn:x", "memory x",
		"vcpus -1", "uuid 1234", "title", "name",
	} {
		_, err := codec.Parse("name web\n" + line + "\n")
		require.Error(t, err, line)
		assert.ErrorContains(t, err, line)
		assert.ErrorIs(t, err, fault.BadDefinition, line)
	}
}

// TestLimitsAreReadBack as they were written.
func TestLimitsAreReadBack(t *testing.T) {
	codec := NewCodec(NewEntropy(NewHost()))
	document := "name web\nlimit hard 18446744073709551615\nlimit shares 2\nlimit pids 1\nlimit quota -1\nlimit weight 1000\nlimit cpuset 0-3\n"
	d, err := codec.Parse(document)
	require.NoError(t, err)
	assert.Equal(t, policy.Limits{
		MemoryHard: new(uint64(1<<64 - 1)), CPUShares: new(uint64(2)), PIDs: new(uint64(1)),
		CPUQuota: new(int64(-1)), BlockWeight: new(uint(1000)), CPUSet: "0-3",
	}, d.Limits)
	printed := codec.Format(d, ports.Format{ID: container.NoID})
	for _, line := range []string{"limit hard 18446744073709551615\n", "limit quota -1\n", "limit weight 1000\n", "limit cpuset 0-3\n"} {
		assert.Contains(t, printed, line)
	}
}
