package driver_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/app/driver"
	"virtlxcd/domain/container"
	"virtlxcd/domain/policy"
	"virtlxcd/fakes"
	"virtlxcd/ports"
)

func mapped() *container.Definition {
	definition := web()
	definition.IDMap = policy.IDMap{
		Users:  []policy.IDRange{{Target: 100000, Count: 1000}},
		Groups: []policy.IDRange{{Target: 100000, Count: 1000}},
	}
	return definition
}

// TestDestroyOfOneThatRebootsInstead: an init may take SIGTERM for a reboot.
func TestDestroyOfOneThatRebootsInstead(t *testing.T) {
	for name, definition := range map[string]*container.Definition{"plain": web(), "needs links": mapped()} {
		t.Run(name, func(t *testing.T) {
			bench(t, func(r *rig) {
				r.host.Init("/sbin/init", fakes.Init{Catches: map[int]fakes.Reaction{15: fakes.Reboots}})
				r.define(definition)
				off := r.host.String()
				r.start("web")
				r.happened()
				begun := time.Now()
				require.NoError(t, r.client.Destroy(r.ctx, named("web")))
				assert.Zero(t, time.Since(begun))
				assert.Equal(t, []string{"web stopped 1"}, r.happened())
				assert.Equal(t, off, r.host.String())
			})
		})
	}
}

func TestGraceIsGivenAfterARebootToo(t *testing.T) {
	bench(t, func(r *rig) {
		r.host.Init("/sbin/init", fakes.Init{Catches: map[int]fakes.Reaction{15: fakes.GoesOn}})
		r.define(web())
		r.start("web")
		require.NoError(t, r.host.RebootInit("web"))
		r.settle()
		begun := time.Now()
		require.NoError(t, r.client.Destroy(r.ctx, named("web")))
		assert.Equal(t, 1600*time.Millisecond, time.Since(begun))
	})
}

// TestControllerDiesDuringDestroy: nobody is left to report the end.
func TestControllerDiesDuringDestroy(t *testing.T) {
	bench(t, func(r *rig) {
		r.host.Init("/sbin/init", fakes.Init{Catches: map[int]fakes.Reaction{15: fakes.GoesOn}})
		r.define(web())
		off := r.host.String()
		r.start("web")
		r.happened()
		destroyed := make(chan error, 1)
		begun := time.Now()
		go func() { destroyed <- r.client.Destroy(r.ctx, named("web")) }()
		r.settle() // in its time of grace
		require.NoError(t, r.host.KillController("web"))
		require.NoError(t, <-destroyed)
		assert.Zero(t, time.Since(begun))
		assert.Equal(t, []string{"web stopped 1"}, r.happened())
		assert.Equal(t, off, r.host.String())
	})
}

func TestExitDuringSuspend(t *testing.T) {
	bench(t, func(r *rig) {
		r.define(web())
		off := r.host.String()
		r.start("web")
		require.NoError(t, r.client.Suspend(r.ctx, named("web")))
		require.NoError(t, r.host.OOMKill("web"))
		assert.Equal(t, []string{"web defined 0", "web started 0 running", "web suspended 0 running", "web stopped 2"}, r.happened())
		assert.Equal(t, off, r.host.String())
	})
}

// TestFailedKillLeavesItRunning: what still lives is shown as living.
func TestFailedKillLeavesItRunning(t *testing.T) {
	bench(t, func(r *rig) {
		r.host.Init("/sbin/init", fakes.Deaf())
		r.create(plain("web", 1), ports.StartOptions{})
		r.happened()
		r.host.Fail("Cgroup.Kill", assert.AnError)
		err := r.client.Destroy(r.ctx, named("web"))
		assert.ErrorContains(t, err, "Some processes refused to die")
		assert.Equal(t, "running booted", r.state("web"))
		assert.Empty(t, r.happened())
		require.NoError(t, r.client.Destroy(r.ctx, named("web")))
	})
}

func TestFaultsDuringAReboot(t *testing.T) {
	for op, test := range map[string]struct{ events, state string }{
		"Links.Connect":      {"web stopped 0", "shutoff failed persistent"},
		"Controller.Proceed": {"web stopped 0", "shutoff failed persistent"},
		"Processes.Open":     {"web rebooted running", "running booted persistent"},
		"Store.SaveStatus":   {"web rebooted running", "running booted persistent"},
	} {
		t.Run(op, func(t *testing.T) {
			bench(t, func(r *rig) {
				r.define(mapped())
				off := r.host.String()
				r.start("web")
				r.happened()
				r.host.Fail(op, assert.AnError)
				require.NoError(t, r.host.RebootInit("web"))
				assert.Equal(t, []string{test.events}, r.happened())
				assert.Equal(t, test.state, r.state("web"))
				if r.host.InitPID("web") != 0 {
					require.NoError(t, r.client.Destroy(r.ctx, named("web")))
				}
				assert.Equal(t, off, r.host.String())
			})
		})
	}
}

func TestNewNeedsEveryPort(t *testing.T) {
	_, err := driver.New(driver.Ports{}, driver.Options{}, nil)
	assert.Error(t, err)
}

func TestRebootThatNeedsLinksAndIsNotAllowed(t *testing.T) {
	bench(t, func(r *rig) {
		definition := mapped()
		definition.OnReboot = "destroy"
		r.define(definition)
		off := r.host.String()
		r.start("web")
		r.happened()
		require.NoError(t, r.host.RebootInit("web"))
		assert.Equal(t, []string{"web stopped 0"}, r.happened())
		assert.Equal(t, "shutoff shutdown persistent", r.state("web"))
		assert.Equal(t, off, r.host.String())
	})
}

// deafController never reports the end of a container.
type deafController struct{ ports.Controllers }

type silent struct{ ports.Controller }

func (c deafController) Launch(ctx context.Context, who container.Identity) (ports.Controller, error) {
	made, err := c.Controllers.Launch(ctx, who)
	return &silent{made}, err
}

func (silent) Reports() <-chan ports.Report { return nil }

func TestDestroyDoesNotWaitForEverForAReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, ctx: context.Background(), host: fakes.NewHost()}
		r.wrap = func(p *driver.Ports) { p.Controllers = deafController{p.Controllers} }
		r.boot()
		r.host.Init("/sbin/init", fakes.Deaf())
		r.create(plain("web", 1), ports.StartOptions{})
		begun := time.Now()
		require.NoError(t, r.client.Destroy(r.ctx, named("web")))
		assert.Equal(t, 10*time.Second, time.Since(begun))
		assert.Equal(t, "unknown to clients", r.state("web"))
		assert.Contains(t, r.log.String(), "did not report the end")
		r.close()
	})
}
