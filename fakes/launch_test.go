package fakes

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/container"
	"virtlxcd/domain/device"
	"virtlxcd/domain/launch"
	"virtlxcd/domain/policy"
	"virtlxcd/ports"
)

// planned is an order made from a definition as the driver makes one.
func planned(t *testing.T, h *Host, d *container.Definition) ports.Order {
	t.Helper()
	facts, err := NewHostInfo(h).Facts(t.Context())
	require.NoError(t, err)
	plan, err := launch.New(launch.Request{Definition: d, Facts: facts})
	require.NoError(t, err)
	o := order(t, h, d.Name, "")
	o.Prepare, o.Enter, o.Slots, o.Terminals = plan.Prepare, plan.Enter, plan.Slots, plan.Terminals
	o.Namespaces, o.WaitLinks, o.IDMap = plan.Namespaces, plan.WaitLinks, d.IDMap
	require.Len(t, o.HostTerminals, len(d.Consoles))
	return o
}

func TestRealPlansRun(t *testing.T) {
	rooted := func(target string, more ...device.Filesystem) *container.Definition {
		return &container.Definition{
			Name: "web", UUID: container.UUID{1}, Memory: 65536, Arch: "x86_64", Init: container.Init{Path: target},
			Filesystems: append([]device.Filesystem{{Kind: device.HostDir, Source: "/srv/web", Target: "/"}}, more...),
			Consoles:    []device.Console{defaultConsole()},
		}
	}
	mapped := rooted("/sbin/init")
	mapped.IDMap = policy.IDMap{Users: []policy.IDRange{{Target: 1000, Count: 10}}, Groups: []policy.IDRange{{Target: 1000, Count: 10}}}
	shared := rooted("/sbin/init")
	shared.Filesystems = nil
	for name, c := range map[string]struct {
		definition *container.Definition
		works      bool
	}{
		"own root":                {rooted("/sbin/init"), true},
		"shared root":             {shared, true},
		"id map":                  {mapped, true},
		"program that is missing": {rooted("/bin/nothing"), false},
		"program in a filesystem": {rooted("/opt/run", device.Filesystem{Kind: device.HostDir, Source: "/data", Target: "/opt"}), true},
		"program under a tmpfs":   {rooted("/sbin/init", device.Filesystem{Kind: device.Memory, Target: "/sbin", Usage: 64}), false},
		"missing source":          {rooted("/sbin/init", device.Filesystem{Kind: device.HostDir, Source: "/nope", Target: "/opt"}), false},
	} {
		t.Run(name, func(t *testing.T) {
			h := tidyHost(t)
			h.AddRoot("/srv/web")
			h.AddPath("/data/run")
			failure := try(t, h, planned(t, h, c.definition))
			assert.Equal(t, c.works, failure == nil, "%+v", failure)
		})
	}
}

// TestGivingUpLeavesNothing compares hosts before and after starts that
// were given up at each point.
func TestGivingUpLeavesNothing(t *testing.T) {
	for _, op := range []string{"Controllers.Launch", "Controller.Begin", "Controller.Proceed"} {
		for name, inject := range map[string]func(h *Host){
			"before": func(h *Host) { h.Fail(op, errInjected) },
			"after":  func(h *Host) { h.FailAfter(op, errInjected) },
		} {
			t.Run(op+" "+name, func(t *testing.T) {
				h := hostWithPrograms(t)
				o := order(t, h, "web", "/bin/sleep")
				before := h.String()
				inject(h)
				giveUp(t, h, o)
				assert.Empty(t, h.Pending())
				assert.Equal(t, before, h.String())
			})
		}
	}
}

// giveUp starts as far as it goes and takes everything back.
func giveUp(t *testing.T, h *Host, o ports.Order) {
	t.Helper()
	controller, err := NewControllers(h).Launch(t.Context(), o.Identity)
	if controller == nil {
		require.ErrorIs(t, err, errInjected)
		return
	}
	held, err := controller.Begin(t.Context(), o)
	if err == nil {
		err = controller.Proceed(t.Context(), o.Identity.UUID)
	}
	_ = err // which of them failed is the injected fault's choice
	closeHeld(held)
	require.NoError(t, controller.Abandon(t.Context(), o.Identity.UUID))
	require.NoError(t, controller.Close())
}
