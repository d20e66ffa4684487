package driver_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/container"
	"virtlxcd/domain/lifecycle"
	"virtlxcd/fakes"
	"virtlxcd/ports"
)

func TestHowContainersEnd(t *testing.T) {
	for name, test := range map[string]struct {
		end   func(h *fakes.Host) error
		state string
		event string
	}{
		"exit":          {func(h *fakes.Host) error { return h.ExitInit("web", fakes.Exited(0)) }, "shutoff shutdown persistent", "web stopped 0"},
		"exit 3":        {func(h *fakes.Host) error { return h.ExitInit("web", fakes.Exited(3)) }, "shutoff shutdown persistent", "web stopped 0"},
		"power off":     {func(h *fakes.Host) error { return h.ExitInit("web", fakes.Killed(2)) }, "shutoff shutdown persistent", "web stopped 0"},
		"killed":        {func(h *fakes.Host) error { return h.ExitInit("web", fakes.Killed(9)) }, "shutoff shutdown persistent", "web stopped 0"},
		"segmentation":  {func(h *fakes.Host) error { return h.ExitInit("web", fakes.Killed(11)) }, "shutoff crashed persistent", "web stopped 2"},
		"abort":         {func(h *fakes.Host) error { return h.ExitInit("web", fakes.Killed(6)) }, "shutoff crashed persistent", "web stopped 2"},
		"abort, core":   {func(h *fakes.Host) error { return h.ExitInit("web", 6|0x80) }, "shutoff crashed persistent", "web stopped 2"},
		"bus":           {func(h *fakes.Host) error { return h.ExitInit("web", fakes.Killed(7)) }, "shutoff crashed persistent", "web stopped 2"},
		"illegal":       {func(h *fakes.Host) error { return h.ExitInit("web", fakes.Killed(4)) }, "shutoff crashed persistent", "web stopped 2"},
		"out of memory": {func(h *fakes.Host) error { return h.OOMKill("web") }, "shutoff crashed persistent", "web stopped 2"},
	} {
		t.Run(name, func(t *testing.T) {
			bench(t, func(r *rig) {
				r.define(web())
				off := r.host.String()
				r.start("web")
				r.happened()
				require.NoError(t, test.end(r.host))
				assert.Equal(t, []string{test.event}, r.happened())
				assert.Equal(t, test.state, r.state("web"))
				assert.Equal(t, off, r.host.String())
				r.start("web")
			})
		})
	}
}

func TestTransientVanishesWithItsEnd(t *testing.T) {
	bench(t, func(r *rig) {
		empty := r.host.String()
		r.create(plain("web", 1), ports.StartOptions{})
		require.NoError(t, r.host.ExitInit("web", 0))
		assert.Equal(t, []string{"web started 0 running", "web stopped 0"}, r.happened())
		assert.Equal(t, "unknown to clients", r.state("web"))
		assert.Equal(t, empty, r.host.String())
	})
}

func TestInitThatEndsAtOnceWasStarted(t *testing.T) {
	bench(t, func(r *rig) {
		definition := plain("web", 1)
		definition.Init.Path = "/bin/true"
		r.define(definition)
		r.start("web")
		assert.Equal(t, []string{"web defined 0", "web started 0 running", "web stopped 0"}, r.happened())
		assert.Equal(t, "shutoff shutdown persistent", r.state("web"))
	})
}

func TestRebootKeepsTheContainer(t *testing.T) {
	for name, definition := range map[string]*container.Definition{"plain": web(), "needs links": mapped()} {
		t.Run(name, func(t *testing.T) {
			bench(t, func(r *rig) {
				r.define(definition)
				off := r.host.String()
				r.start("web")
				before, err := r.client.State(r.ctx, named("web"))
				require.NoError(t, err)
				next := web()
				next.Description = "not yet"
				r.define(next)
				r.happened()
				for range 3 {
					require.NoError(t, r.host.RebootInit("web"))
					assert.Equal(t, []string{"web rebooted running"}, r.happened())
				}
				after, err := r.client.State(r.ctx, named("web"))
				require.NoError(t, err)
				assert.Equal(t, before.ID, after.ID)
				assert.Equal(t, before.Reason, after.Reason)
				assert.Equal(t, before.Live, after.Live, "the new definition waits for a real start")
				assert.True(t, after.Updated)
				assert.NotEqual(t, before.InitPID, after.InitPID)
				assert.Equal(t, r.host.InitPID("web"), after.InitPID)
				assert.Len(t, r.host.Links(), 2)
				require.NoError(t, r.client.Destroy(r.ctx, named("web")))
				r.define(definition)
				assert.Equal(t, off, r.host.String())
			})
		})
	}
}

func TestRebootWhosePlaceIsGoneFails(t *testing.T) {
	bench(t, func(r *rig) {
		r.define(plain("web", 1))
		off := r.host.String()
		r.start("web")
		r.happened()
		r.host.RemovePath("/srv/web")
		require.NoError(t, r.host.RebootInit("web"))
		assert.Equal(t, []string{"web stopped 0"}, r.happened())
		assert.Equal(t, "shutoff failed persistent", r.state("web"))
		assert.Equal(t, off, r.host.String())
	})
}

func TestRebootWithoutItsBridgeFails(t *testing.T) {
	bench(t, func(r *rig) {
		r.define(mapped())
		off := r.host.String()
		r.start("web")
		r.happened()
		r.host.RemoveBridge("virbr0")
		require.NoError(t, r.host.RebootInit("web"))
		assert.Equal(t, []string{"web stopped 0"}, r.happened())
		assert.Equal(t, "shutoff failed persistent", r.state("web"))
		assert.Equal(t, off, r.host.String())
	})
}

func TestActions(t *testing.T) {
	exit := func(h *fakes.Host) error { return h.ExitInit("web", 0) }
	crash := func(h *fakes.Host) error { return h.ExitInit("web", fakes.Killed(11)) }
	reboot := func(h *fakes.Host) error { return h.RebootInit("web") }
	again := []string{"web stopped 0", "web started 0 running"}
	for name, test := range map[string]struct {
		end                     func(h *fakes.Host) error
		poweroff, reboot, crash string
		events                  []string
		state                   string
	}{
		"poweroff destroy":  {exit, "destroy", "restart", "restart", []string{"web stopped 0"}, "shutoff shutdown persistent"},
		"poweroff preserve": {exit, "preserve", "", "", []string{"web stopped 0"}, "shutoff shutdown persistent"},
		"poweroff restart":  {exit, "restart", "restart", "destroy", again, "running booted persistent"},
		"reboot destroy":    {reboot, "restart", "destroy", "restart", []string{"web stopped 0"}, "shutoff shutdown persistent"},
		"reboot restart":    {reboot, "destroy", "restart", "destroy", []string{"web rebooted running"}, "running booted persistent"},
		"reboot unsaid":     {reboot, "", "", "", []string{"web rebooted running"}, "running booted persistent"},
		"crash destroy":     {crash, "restart", "restart", "destroy", []string{"web stopped 2"}, "shutoff crashed persistent"},
		"crash restart":     {crash, "destroy", "destroy", "restart", []string{"web stopped 2", "web started 0 running"}, "running booted persistent"},
		"crash with core":   {crash, "", "", "coredump-restart", []string{"web stopped 2", "web started 0 running"}, "running booted persistent"},
	} {
		t.Run(name, func(t *testing.T) {
			bench(t, func(r *rig) {
				definition := web()
				definition.OnPoweroff, definition.OnReboot, definition.OnCrash = test.poweroff, test.reboot, test.crash
				r.define(definition)
				off := r.host.String()
				r.start("web")
				r.happened()
				require.NoError(t, test.end(r.host))
				assert.Equal(t, test.events, r.happened())
				assert.Equal(t, test.state, r.state("web"))
				if s, err := r.client.State(r.ctx, named("web")); assert.NoError(t, err) && s.State == lifecycle.Running {
					require.NoError(t, r.client.Destroy(r.ctx, named("web")))
				}
				assert.Equal(t, off, r.host.String())
			})
		})
	}
}

func TestRestartOfTransientIsNoEnd(t *testing.T) {
	bench(t, func(r *rig) {
		definition := plain("web", 1)
		definition.OnPoweroff = "restart"
		r.create(definition, ports.StartOptions{})
		time.Sleep(time.Minute)
		require.NoError(t, r.host.ExitInit("web", 0))
		r.settle()
		assert.Equal(t, "running booted", r.state("web"))
	})
}

func TestRestartsThatLeadNowhereCease(t *testing.T) {
	bench(t, func(r *rig) {
		definition := plain("web", 1)
		definition.OnPoweroff, definition.Init.Path = "restart", "/bin/true"
		r.define(definition)
		r.start("web")
		events := r.happened()
		assert.Len(t, events, 1+2*6, "%v", events)
		assert.Equal(t, "shutoff shutdown persistent", r.state("web"))
	})
}

func TestControllerDies(t *testing.T) {
	bench(t, func(r *rig) {
		r.host.Init("/sbin/init", fakes.Usual())
		r.define(web())
		off := r.host.String()
		r.start("web")
		r.happened()
		before := r.host.InitPID("web")
		require.NoError(t, r.host.KillController("web"))
		r.settle()
		assert.Equal(t, "running booted persistent", r.state("web"))
		assert.Equal(t, before, r.host.InitPID("web"), "init noticed nothing")
		console, err := r.client.OpenConsole(r.ctx, named("web"), "console1")
		require.NoError(t, err)
		_, err = console.Write([]byte("still there?\n"))
		require.NoError(t, err)
		answer := make([]byte, 64)
		n, err := console.Read(answer)
		require.NoError(t, err)
		assert.Equal(t, "got still there?\r\n", string(answer[:n]))
		require.NoError(t, console.Close())

		require.NoError(t, r.host.KillController("web"))
		r.settle()
		require.NoError(t, r.host.ExitInit("web", fakes.Exited(0)))
		assert.Equal(t, []string{"web stopped 0"}, r.happened())
		assert.Equal(t, off, r.host.String())
	})
}

func TestControllerDiesAndNoneCanBeHad(t *testing.T) {
	for name, end := range map[string]struct {
		do    func(r *rig) error
		event string
	}{
		"exit":    {func(r *rig) error { return r.host.ExitInit("web", 0) }, "web stopped 5"},
		"destroy": {func(r *rig) error { return r.client.Destroy(r.ctx, named("web")) }, "web stopped 1"},
	} {
		t.Run(name, func(t *testing.T) {
			bench(t, func(r *rig) {
				r.define(web())
				off := r.host.String()
				r.start("web")
				r.happened()
				r.host.Fail("Controllers.Launch", assert.AnError)
				require.NoError(t, r.host.KillController("web"))
				r.settle()
				assert.Equal(t, "running booted persistent", r.state("web"))
				begun := time.Now()
				require.NoError(t, end.do(r))
				assert.Equal(t, []string{end.event}, r.happened())
				assert.Zero(t, time.Since(begun))
				assert.Equal(t, off, r.host.String())
			})
		})
	}
}

func TestAutoDestroy(t *testing.T) {
	bench(t, func(r *rig) {
		empty := r.host.String()
		owner := r.connect(callerRoot)
		r.host.AddRoot("/srv/web")
		_, err := owner.Create(r.ctx, document(plain("web", 1)), ports.StartOptions{AutoDestroy: true})
		require.NoError(t, err)
		r.create(plain("db", 2), ports.StartOptions{})
		r.settle() // subscriptions are in order each, not among each other
		require.NoError(t, r.host.RebootInit("web"))
		r.settle()
		require.NoError(t, owner.Close())
		require.NoError(t, owner.Close())
		assert.Equal(t, "unknown to clients", r.state("web"))
		assert.Equal(t, "running booted", r.state("db"))
		assert.Equal(t, []string{
			"web started 0 running", "db started 0 running", "web rebooted running", "web stopped 1",
		}, r.happened())
		_, err = owner.Create(r.ctx, document(plain("web", 1)), ports.StartOptions{AutoDestroy: true})
		assert.Error(t, err, "nobody would destroy it")
		require.NoError(t, r.client.Destroy(r.ctx, named("db")))
		assert.Equal(t, empty, r.host.String())
	})
}
