package fakes

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/access"
	"virtlxcd/domain/device"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/policy"
	"virtlxcd/ports"
)

var errInjected = errors.New("injected")

func TestFailPreventsTheEffectOnce(t *testing.T) {
	h := tidyHost(t)
	before := h.String()
	h.Fail("Store.SaveDefinition", errInjected)
	d := &definition{Name: "web"}
	assert.ErrorIs(t, NewStore(h).SaveDefinition(t.Context(), d), errInjected)
	assert.Equal(t, before, h.String())
	assert.NoError(t, NewStore(h).SaveDefinition(t.Context(), d))
	assert.NotEqual(t, before, h.String())
	assert.Empty(t, h.Pending())
}

func TestFailAfterLetsTheEffectHappen(t *testing.T) {
	h := tidyHost(t)
	h.FailAfter("Cgroups.Create", errInjected)
	_, err := NewCgroups(h).Create(t.Context(), "/machine", "web")
	assert.ErrorIs(t, err, errInjected)
	_, err = NewCgroups(h).Open(t.Context(), "/machine/web")
	assert.NoError(t, err)
}

func TestFailNthCountsCalls(t *testing.T) {
	h := tidyHost(t)
	h.FailNth("Notifier.Status", 3, errInjected)
	h.FailAfterNth("Notifier.Status", 2, errInjected)
	var failed []bool
	for range 4 {
		failed = append(failed, NewNotifier(h).Status("x") != nil)
	}
	assert.Equal(t, []bool{false, true, true, false}, failed)
	assert.Len(t, h.Notices(), 3, "one had no effect")
}

func TestPendingNamesFaultsThatNeverStruck(t *testing.T) {
	h := tidyHost(t)
	h.Fail("Links.Conect", errInjected)
	assert.Equal(t, []string{"Links.Conect"}, h.Pending())
}

func TestOpsListsCallsInOrder(t *testing.T) {
	h := tidyHost(t)
	_, err := NewEntropy(h).NewUUID()
	require.NoError(t, err)
	h.ForgetOps()
	require.NoError(t, NewNotifier(h).Ready())
	_, err = NewHostInfo(h).Facts(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"Notifier.Ready", "HostInfo.Facts"}, h.Ops())
}

func TestEndedContextPreventsTheEffect(t *testing.T) {
	h := tidyHost(t)
	before := h.String()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := NewCgroups(h).Create(canceled, "/machine", "web")
	assert.ErrorIs(t, err, fault.Aborted)
	late, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	_, err = NewCgroups(h).Create(late, "/machine", "web")
	assert.ErrorIs(t, err, fault.Timeout)
	assert.Equal(t, before, h.String())
}

func TestRemoveWaitsInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHost()
		group, err := NewCgroups(h).Create(t.Context(), "/machine", "web")
		require.NoError(t, err)
		stubborn := child(h, Usual(), h.groups["/machine/web"])
		short, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		assert.ErrorIs(t, group.Remove(short), fault.Timeout)

		go func() {
			time.Sleep(time.Hour)
			stubborn.End()
		}()
		began := time.Now()
		assert.NoError(t, group.Remove(t.Context()))
		assert.Equal(t, time.Hour, time.Since(began))
	})
}

func TestAccessDenies(t *testing.T) {
	h := tidyHost(t)
	check := func() error {
		return NewAccess(h).Check(t.Context(), access.Caller{UID: 7}, access.Start, ports.AccessObject{Name: "web"})
	}
	assert.NoError(t, check())
	h.Deny(access.Start)
	assert.ErrorIs(t, check(), fault.AccessDenied)
	h.Allow(access.Start)
	assert.NoError(t, check())
	assert.Equal(t, []string{"7 domain.start web", "7 domain.start web", "7 domain.start web"}, h.Asked())
}

func TestMissingCgroupControllerRefusesItsLimits(t *testing.T) {
	h := tidyHost(t)
	h.MissController("memory")
	group, err := NewCgroups(h).Create(t.Context(), "/machine", "web")
	require.NoError(t, err)
	wish := policy.Limits{MemoryHard: new(uint64(1024)), PIDs: new(uint64(5))}
	assert.ErrorIs(t, group.Apply(t.Context(), wish), fault.UnsupportedConfig)
	assert.Equal(t, policy.Limits{}, h.Limits(group.Path()), "as before")
	assert.NoError(t, group.Apply(t.Context(), policy.Limits{PIDs: new(uint64(5))}))
}

func TestRemovedBridgeFailsConnect(t *testing.T) {
	h := tidyHost(t)
	h.RemoveBridge("virbr0")
	h.AddBridge("br7")
	netns := h.hand("network", &netns{name: "web"})
	defer netns.Close()
	link := device.Link{Kind: device.Bridge, Source: "virbr0", HostName: "vnet0", GuestName: "eth0"}
	_, err := NewLinks(h).Connect(t.Context(), link, netns)
	assert.ErrorIs(t, err, fault.System)
	link.Source = "br7"
	_, err = NewLinks(h).Connect(t.Context(), link, netns)
	assert.NoError(t, err)
	assert.Len(t, h.Links(), 1)
}

// TestFailAfterClosesWhatNobodyGets calls everything that returns something to
// close.
func TestFailAfterClosesWhatNobodyGets(t *testing.T) {
	h := hostWithPrograms(t)
	r := started(t, h, "/bin/sleep")
	process, err := NewProcesses(h).Open(t.Context(), r.held.PID, r.held.Start)
	require.NoError(t, err)
	defer process.Close()
	other := order(t, h, "mail", "/bin/sleep")
	for op, call := range map[string]func() (any, error){
		"Controllers.Launch":  func() (any, error) { return NewControllers(h).Launch(t.Context(), other.Identity) },
		"Controller.Reclaim":  func() (any, error) { return r.controller.Reclaim(t.Context(), r.order.Identity.UUID) },
		"Controller.Begin":    func() (any, error) { return r.controller.Begin(t.Context(), other) },
		"Processes.Open":      func() (any, error) { return NewProcesses(h).Open(t.Context(), r.held.PID, 0) },
		"Process.Namespaces":  func() (any, error) { return process.Namespaces() },
		"Terminals.Open":      func() (any, error) { return NewTerminals(h).Open(t.Context()) },
		"Terminals.Attach":    func() (any, error) { return NewTerminals(h).Attach(t.Context(), r.path) },
		"Links.Name":          func() (any, error) { return NewLinks(h).Name(t.Context(), []device.Link{{}}) },
		"Cgroups.Open":        func() (any, error) { return NewCgroups(h).Open(t.Context(), other.Cgroup.Path()) },
		"Store.Load":          func() (any, error) { return NewStore(h).Load(t.Context(), nil) },
		"Entropy.NewMAC":      func() (any, error) { return NewEntropy(h).NewMAC() },
		"HostInfo.Facts":      func() (any, error) { return NewHostInfo(h).Facts(t.Context()) },
		"Controller.Abandon":  func() (any, error) { return nil, r.controller.Abandon(t.Context(), other.Identity.UUID) },
		"Store.SetAutostart":  func() (any, error) { return nil, NewStore(h).SetAutostart(t.Context(), "x", false) },
		"Process.Catches":     func() (any, error) { return process.Catches(sigTERM) },
		"Process.Program":     func() (any, error) { return process.Program() },
		"Store.RemoveStatus":  func() (any, error) { return nil, NewStore(h).RemoveStatus(t.Context(), "x") },
		"Cgroup.AllowDevices": func() (any, error) { return nil, other.Cgroup.AllowDevices(t.Context(), nil) },
	} {
		open := h.OpenFiles()
		h.FailAfter(op, errInjected)
		_, err := call()
		assert.ErrorIs(t, err, errInjected, op)
		assert.Equal(t, open, h.OpenFiles(), op)
		assert.NotContains(t, h.String(), "reserved", op)
	}
	h.FailAfter("Controllers.Adopt", errInjected)
	adopted, err := NewControllers(h).Adopt(t.Context(), r.controller.Ref())
	assert.ErrorIs(t, err, errInjected)
	assert.Nil(t, adopted)
	assert.NotContains(t, h.OpenFiles(), "connection to controller")
	require.Empty(t, h.Pending())
}
