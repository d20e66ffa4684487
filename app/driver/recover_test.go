package driver_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/container"
	"virtlxcd/fakes"
	"virtlxcd/ports"
)

func TestNewDaemonFindsWhatRuns(t *testing.T) {
	bench(t, func(r *rig) {
		r.host.Init("/sbin/init", fakes.Usual())
		r.define(web())
		require.NoError(t, r.client.SetAutostart(r.ctx, named("web"), true))
		r.define(plain("off", 2))
		off := r.host.String()
		r.create(plain("transient", 3), ports.StartOptions{})
		r.start("web")
		before, err := r.client.State(r.ctx, named("web"))
		require.NoError(t, err)
		r.happened()
		r.restart(nil)
		assert.Equal(t, "running unknown persistent", r.state("web"))
		assert.Equal(t, "shutoff unknown persistent", r.state("off"))
		assert.Equal(t, "running unknown", r.state("transient"))
		after, err := r.client.State(r.ctx, named("web"))
		require.NoError(t, err)
		assert.Equal(t, before.Identity, after.Identity)
		assert.Equal(t, before.Live, after.Live)
		assert.True(t, after.Autostart)
		assert.Empty(t, r.happened(), "nobody is told of what goes on")

		require.NoError(t, r.host.RebootInit("web"))
		assert.Equal(t, []string{"web rebooted running"}, r.happened())
		require.NoError(t, r.host.KillController("web"))
		r.settle()
		require.NoError(t, r.client.Suspend(r.ctx, named("web")))
		require.NoError(t, r.client.Resume(r.ctx, named("web")))
		require.NoError(t, r.client.Destroy(r.ctx, named("web")))
		require.NoError(t, r.client.Destroy(r.ctx, named("transient")))
		assert.Equal(t, off, r.host.String())
		r.start("web")
		s, err := r.client.State(r.ctx, named("web"))
		require.NoError(t, err)
		assert.NotEqual(t, before.ID, s.ID)
	})
}

func TestPausedStaysPaused(t *testing.T) {
	bench(t, func(r *rig) {
		r.create(plain("web", 1), ports.StartOptions{})
		require.NoError(t, r.client.Suspend(r.ctx, named("web")))
		r.restart(nil)
		assert.Equal(t, "paused unknown", r.state("web"))
		require.NoError(t, r.client.Resume(r.ctx, named("web")))
		assert.Equal(t, "running unpaused", r.state("web"))
	})
}

// TestMeanwhile is about what happens while no daemon is there.
func TestMeanwhile(t *testing.T) {
	must := func(r *rig, errs ...error) {
		for _, err := range errs {
			require.NoError(r.t, err)
		}
	}
	for name, test := range map[string]struct {
		happens    func(r *rig)
		persistent string // what a persistent one is afterwards
		transient  string
	}{
		"nothing": {func(*rig) {}, "running unknown persistent", "running unknown"},
		"exit": {func(r *rig) { must(r, r.host.ExitInit("web", fakes.Exited(1))) },
			"shutoff shutdown persistent", "unknown to clients"},
		"crash": {func(r *rig) { must(r, r.host.ExitInit("web", fakes.Killed(11))) },
			"shutoff crashed persistent", "unknown to clients"},
		"out of memory": {func(r *rig) { must(r, r.host.OOMKill("web")) },
			"shutoff crashed persistent", "unknown to clients"},
		"reboot": {func(r *rig) { must(r, r.host.RebootInit("web"), r.host.RebootInit("web")) },
			"running unknown persistent", "running unknown"},
		"reboot and exit": {func(r *rig) { must(r, r.host.RebootInit("web"), r.host.ExitInit("web", fakes.Killed(6))) },
			"shutoff crashed persistent", "unknown to clients"},
		"failed reboot": {func(r *rig) {
			r.host.RemovePath("/srv/web")
			must(r, r.host.RebootInit("web"))
			r.host.AddRoot("/srv/web")
		}, "shutoff failed persistent", "unknown to clients"},
		"controller killed, then init": {func(r *rig) {
			must(r, r.host.KillController("web"), r.host.ExitInit("web", fakes.Exited(0)))
		}, "shutoff failed persistent", "unknown to clients"},
		"controller killed": {func(r *rig) { must(r, r.host.KillController("web")) },
			"running unknown persistent", "running unknown"},
		"boot": {func(r *rig) { r.host.Boot() }, "shutoff unknown persistent", "unknown to clients"},
	} {
		for _, persistent := range []bool{true, false} {
			t.Run(map[bool]string{true: name, false: name + ", transient"}[persistent], func(t *testing.T) {
				bench(t, func(r *rig) {
					want := test.transient
					r.host.AddRoot("/srv/web")
					if persistent {
						r.define(web())
						want = test.persistent
					}
					off := r.host.String()
					r.create(web(), ports.StartOptions{})
					r.restart(func() { test.happens(r) })
					assert.Equal(t, want, r.state("web"))
					if r.host.InitPID("web") != 0 {
						require.NoError(t, r.client.Destroy(r.ctx, named("web")))
					}
					assert.Equal(t, off, r.host.String())
					r.create(web(), ports.StartOptions{})
				})
			})
		}
	}
}

func TestRebootThatWaitedForTheDaemon(t *testing.T) {
	bench(t, func(r *rig) {
		r.define(mapped())
		off := r.host.String()
		r.start("web")
		r.restart(func() { require.NoError(t, r.host.RebootInit("web")) })
		r.settle()
		assert.Equal(t, "running unknown persistent", r.state("web"))
		assert.Len(t, r.host.Links(), 2)
		require.NoError(t, r.client.Destroy(r.ctx, named("web")))
		assert.Equal(t, off, r.host.String())
	})
}

// TestUnfinishedStart lets a start fail at some step and every attempt to take it
// back too: what is left is what a killed daemon leaves.
func TestUnfinishedStart(t *testing.T) {
	undoing := []string{
		"Links.Disconnect", "Links.Disconnect", "Controller.Abandon", "Cgroup.Kill", "Cgroup.Remove", "Store.RemoveStatus",
	}
	for name, test := range map[string]struct {
		op   string
		nth  int
		undo []string
	}{
		"limits":  {"Cgroup.Apply", 1, undoing[3:]},
		"init":    {"Processes.Open", 1, undoing[2:]},
		"links":   {"Links.Connect", 2, undoing[1:]},
		"proceed": {"Controller.Proceed", 1, undoing},
	} {
		t.Run(name, func(t *testing.T) {
			bench(t, func(r *rig) {
				r.define(web())
				before := r.host.String()
				r.host.FailNth(test.op, test.nth, assert.AnError)
				for _, op := range test.undo {
					r.host.Fail(op, assert.AnError)
				}
				_, err := r.client.Start(r.ctx, named("web"), ports.StartOptions{})
				require.ErrorIs(t, err, assert.AnError)
				assert.Regexp(t, "status: web (starting|running)", r.host.String())
				r.restart(nil)
				assert.Equal(t, "shutoff failed persistent", r.state("web"))
				assert.Equal(t, before, r.host.String())
				r.start("web")
			})
		})
	}
}

func TestDamagedFilesAreSkipped(t *testing.T) {
	bench(t, func(r *rig) {
		r.define(plain("good", 1))
		r.define(plain("bad", 2))
		r.create(plain("unreadable", 3), ports.StartOptions{})
		r.restart(func() {
			r.host.DamageDefinition("bad")
			r.host.DamageStatus("unreadable")
		})
		assert.Equal(t, "shutoff unknown persistent", r.state("good"))
		assert.Equal(t, "unknown to clients", r.state("bad"))
		assert.Equal(t, "unknown to clients", r.state("unreadable"))
		assert.Contains(t, r.log.String(), "/etc/bad")
		assert.Contains(t, r.log.String(), "/run/unreadable")
		assert.NotZero(t, r.host.InitPID("unreadable"), "what is not understood is not killed")
	})
}

func TestRunningContainerOfAnotherUUIDIsKept(t *testing.T) {
	bench(t, func(r *rig) {
		r.create(plain("web", 1), ports.StartOptions{})
		r.restart(func() {
			changed := plain("web", 9)
			require.NoError(t, fakes.NewStore(r.host).SaveDefinition(r.ctx, changed))
		})
		s, err := r.client.State(r.ctx, named("web"))
		require.NoError(t, err)
		assert.Equal(t, container.UUID{1}, s.UUID)
		assert.False(t, s.Persistent)
	})
}

func TestLeftoverGroupsAreSwept(t *testing.T) {
	bench(t, func(r *rig) {
		r.create(plain("web", 1), ports.StartOptions{})
		before := r.host.String()
		r.restart(func() { r.host.AddGroup("/machine/lxc-77-gone.libvirt-lxc") })
		require.NoError(t, r.client.Close())
		after := r.host.String()
		assert.NotContains(t, after, "lxc-77-gone")
		assert.Contains(t, before, "lxc-1001-web")
		assert.Contains(t, after, "lxc-1001-web")
	})
}

func TestAutostartOncePerBoot(t *testing.T) {
	bench(t, func(r *rig) {
		for i, name := range []string{"a", "b", "c", "d"} {
			r.define(plain(name, byte(i+1)))
			require.NoError(t, r.client.SetAutostart(r.ctx, named(name), name != "d"))
		}
		r.host.RemovePath("/srv/b")
		r.start("c")
		r.happened()
		require.NoError(t, r.driver.StartAutostarted(r.ctx))
		assert.Equal(t, []string{"a started 0 running"}, r.happened())
		assert.Equal(t, "shutoff failed persistent", r.state("b"))
		assert.Contains(t, r.log.String(), "cannot autostart a container")
		require.NoError(t, r.client.Destroy(r.ctx, named("a")))
		require.NoError(t, r.driver.StartAutostarted(r.ctx))
		assert.Equal(t, "shutoff destroyed persistent", r.state("a"), "not a second time")
		r.restart(r.host.Boot)
		require.NoError(t, r.driver.StartAutostarted(r.ctx))
		assert.Equal(t, "running booted persistent", r.state("a"))
		assert.Equal(t, "running booted persistent", r.state("c"))
	})
}

func TestRecoverFailsWithoutFactsOrStore(t *testing.T) {
	for _, op := range []string{"HostInfo.Facts", "Store.Load"} {
		bench(t, func(r *rig) {
			r.stop()
			r.host.Fail(op, assert.AnError)
			assert.ErrorIs(t, r.driver.Recover(r.ctx), assert.AnError)
			r.boot()
		})
	}
}

// TestRecoverNeverKills lets each call of a recovery fail once. The daemon after
// the next one knows the container in any case.
func TestRecoverNeverKills(t *testing.T) {
	for name, furnish := range map[string]func(*rig){"bare": func(*rig) {}, "with everything": (*rig).furnish} {
		t.Run(name, func(t *testing.T) { recoverNeverKills(t, furnish) })
	}
}

func recoverNeverKills(t *testing.T, furnish func(*rig)) {
	recovery := func(r *rig, inject func()) {
		furnish(r)
		r.define(web())
		r.start("web")
		r.stop()
		r.host.ForgetOps()
		inject()
	}
	var all []call
	bench(t, func(r *rig) {
		recovery(r, func() {})
		r.boot()
		counts := map[string]int{}
		for _, op := range r.host.Ops() {
			counts[op]++
			all = append(all, call{op, counts[op]})
		}
	})
	require.NotEmpty(t, all)
	for _, c := range all {
		if c.op == "Access.Check" || c.op == "HostInfo.Facts" || c.op == "Store.Load" || c.op == "Hooks.Run" {
			continue // a hook may kill, and the recovery itself fails, see TestRecoverFailsWithoutFactsOrStore
		}
		t.Run(c.op, func(t *testing.T) {
			bench(t, func(r *rig) {
				recovery(r, func() { r.host.FailNth(c.op, c.nth, assert.AnError) })
				pid := r.host.InitPID("web")
				require.NotZero(t, pid)
				r.boot()
				r.settle()
				assert.Equal(t, pid, r.host.InitPID("web"))
				r.restart(nil)
				assert.Equal(t, "running unknown persistent", r.state("web"))
				require.NoError(t, r.client.Destroy(r.ctx, named("web")))
			})
		})
	}
}

func TestDestroyWithoutController(t *testing.T) {
	bench(t, func(r *rig) {
		r.define(web())
		off := r.host.String()
		r.start("web")
		r.restart(func() { require.NoError(t, r.host.KillController("web")) })
		assert.Equal(t, "running unknown persistent", r.state("web"))
		require.NoError(t, r.client.Suspend(r.ctx, named("web")))
		require.NoError(t, r.client.Destroy(r.ctx, named("web")))
		events := r.happened()
		assert.Equal(t, []string{"web suspended 0 running", "web stopped 1"}, events[len(events)-2:])
		assert.Equal(t, off, r.host.String())
	})
}

func TestStatusOfAnotherBootIsVoid(t *testing.T) {
	bench(t, func(r *rig) {
		r.create(plain("web", 1), ports.StartOptions{})
		r.restart(func() {
			status := container.Status{Definition: plain("web", 1), BootID: "another"}
			require.NoError(t, fakes.NewStore(r.host).SaveStatus(r.ctx, &status))
		})
		assert.Equal(t, "unknown to clients", r.state("web"))
		assert.NotContains(t, r.host.String(), "status:")
	})
}
