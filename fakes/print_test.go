package fakes

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/container"
	"virtlxcd/domain/device"
	"virtlxcd/domain/lifecycle"
	"virtlxcd/domain/policy"
	"virtlxcd/ports"
)

func TestStringOfAnEmptyHost(t *testing.T) {
	assert.Empty(t, tidyHost(t).String())
}

// TestStringShowsEverything has one line of each kind.
func TestStringShowsEverything(t *testing.T) {
	h := hostWithPrograms(t)
	r := started(t, h, "/bin/sleep", func(o *ports.Order) { o.Namespaces.Net = true })
	link := device.Link{Kind: device.Bridge, Source: "virbr0", HostName: "vnet0", GuestName: "eth0"}
	_, err := NewLinks(h).Connect(t.Context(), link, r.held.Network)
	require.NoError(t, err)
	reserved, err := NewLinks(h).Name(t.Context(), []device.Link{{}})
	require.NoError(t, err)
	defer NewLinks(h).Release(reserved)
	require.NoError(t, r.order.Cgroup.Apply(t.Context(), policy.Limits{MemoryHard: new(uint64(1024))}))
	require.NoError(t, r.order.Cgroup.Freeze(t.Context()))
	stored := &definition{Name: "web", Memory: 1024}
	store := NewStore(h)
	require.NoError(t, store.SaveDefinition(t.Context(), stored))
	require.NoError(t, store.SetAutostart(t.Context(), "web", true))
	require.NoError(t, store.SaveStatus(t.Context(), &container.Status{
		ID: 1001, State: lifecycle.Paused, Reason: lifecycle.ByUser, Definition: stored,
		Controller: r.controller.Ref(), CgroupPath: "/machine/web", InitPID: r.held.PID,
	}))
	_, err = store.FirstStartSinceBoot(t.Context())
	require.NoError(t, err)
	h.DamageStatus("web")

	const plainWeb = "name web; uuid 00000000-0000-0000-0000-000000000000; memory 1024; current 0; vcpus 0; online 0"
	assert.Equal(t, `definition: `+plainWeb+`
autostart: web
status: web paused (user) id 1001 init 1002 persistent false controller 1001 in /machine/web: `+plainWeb+`
damaged: /run/web
autostart: done since boot
cgroup: /machine/web processes 1 devices 0 hard=1024 frozen
process: 1001 controller
process: 1002 /bin/sleep init of web in /machine/web
controller: 1001 holds [web], 0 reports open
link: vnet0 bridge virbr0, eth0 of web 00:00:00:00:00:00 []
reserved: vnet1
terminal: /dev/pts/0 console 0 of web
open: connection to controller 1001
open: guest terminal 0 of web
open: master of /dev/pts/0
open: network of web
open: pidfd of web
`, h.String())
}

func TestStringIsStable(t *testing.T) {
	h := hostWithPrograms(t)
	started(t, h, "/bin/sleep")
	for range 20 {
		assert.Equal(t, h.String(), h.String())
	}
}

func TestUsageAdvancesUnlessFrozen(t *testing.T) {
	r := started(t, hostWithPrograms(t), "/bin/sleep")
	cpu := func() uint64 {
		used, err := r.order.Cgroup.Usage(t.Context())
		require.NoError(t, err)
		return used.CPU
	}
	first := cpu()
	assert.Equal(t, first+cpuPerLook, cpu())
	require.NoError(t, r.order.Cgroup.Freeze(t.Context()))
	assert.Equal(t, cpu(), cpu())
}

func TestLeftoverGroupIsSwept(t *testing.T) {
	h := tidyHost(t)
	h.AddGroup("machine/old")
	removed, err := NewCgroups(h).Sweep(t.Context(), func(string) bool { return false })
	require.NoError(t, err)
	assert.Equal(t, []string{"/machine/old"}, removed)
	assert.Empty(t, h.String())
}

func TestDeviceListIsReplaced(t *testing.T) {
	h := tidyHost(t)
	group, err := NewCgroups(h).Create(t.Context(), "/machine", "web")
	require.NoError(t, err)
	require.NoError(t, group.AllowDevices(t.Context(), policy.DefaultDevices()))
	require.NoError(t, group.AllowDevices(t.Context(), policy.DefaultDevices()[:2]))
	assert.Equal(t, policy.DefaultDevices()[:2], h.Devices(group.Path()))
}
