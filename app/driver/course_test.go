package driver_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/app/driver"
	"virtlxcd/fakes"
	"virtlxcd/ports"
)

// logged returns the lines of the log that say what.
func (r *rig) logged(what string) (lines []string) {
	for line := range strings.Lines(r.log.String()) {
		if strings.Contains(line, "msg="+what) || strings.Contains(line, `msg="`+what+`"`) {
			lines = append(lines, line)
		}
	}
	return lines
}

func TestEveryStartAndStopIsLoggedOnce(t *testing.T) {
	bench(t, func(r *rig) {
		r.host.InstallHooks()
		r.host.Init("/sbin/init", fakes.Init{Catches: map[int]fakes.Reaction{15: fakes.GoesOn}})
		r.define(web())
		release := r.host.HoldHook("prepare")
		time.AfterFunc(2*time.Second, release)
		r.start("web")
		require.NoError(t, r.client.Destroy(r.ctx, named("web")))
		started, stopped := r.logged("container started"), r.logged("container stopped")
		require.Len(t, started, 1)
		require.Len(t, stopped, 1)
		const who = "container=web uuid=01000000-0000-0000-0000-000000000000 "
		assert.Contains(t, started[0], "level=INFO")
		assert.Contains(t, started[0], who+"id=1001 duration=2s ")
		assert.Contains(t, started[0], " phases.prepare-hook=2s phases.controller=0s ")
		assert.Contains(t, stopped[0], who+"id=1001 reason=destroyed status=0 duration=1.6s")

		r.start("web")
		require.NoError(t, r.host.ExitInit("web", fakes.Exited(3)))
		r.settle()
		stopped = r.logged("container stopped")
		require.Len(t, stopped, 2)
		assert.Contains(t, stopped[1], "reason=shutdown status=768 ")
	})
}

func TestFailedStartsAreLoggedWithTheirStep(t *testing.T) {
	bench(t, func(r *rig) {
		r.define(web())
		r.host.Fail("Controller.Begin", assert.AnError)
		_, err := r.client.Start(r.ctx, named("web"), ports.StartOptions{})
		require.Error(t, err)
		failed := r.logged("container not started")
		require.Len(t, failed, 1)
		assert.Contains(t, failed[0], "level=WARN")
		assert.Contains(t, failed[0], "step=begin ")
		assert.Contains(t, failed[0], assert.AnError.Error())
		assert.Empty(t, r.logged("container started"))
	})
}

func TestOccupied(t *testing.T) {
	bench(t, func(r *rig) {
		running := 0
		r.options = driver.Options{Occupied: func(delta int) {
			running += delta
			assert.GreaterOrEqual(t, running, 0)
		}}
		r.restart(nil)
		r.define(web())
		r.host.Fail("Controller.Proceed", assert.AnError)
		_, err := r.client.Start(r.ctx, named("web"), ports.StartOptions{})
		require.Error(t, err)
		assert.Zero(t, running)
		r.start("web")
		r.create(plain("db", 2), ports.StartOptions{})
		assert.Equal(t, 2, running)
		require.NoError(t, r.host.RebootInit("web"))
		r.settle()
		assert.Equal(t, 2, running)
		require.NoError(t, r.client.Destroy(r.ctx, named("db")))
		assert.Equal(t, 1, running)
		running = 0
		r.restart(nil)
		assert.Equal(t, 1, running, "found")
		running = 0
		r.restart(func() { require.NoError(t, r.host.ExitInit("web", 0)) })
		assert.Zero(t, running, "found and gone")
	})
}
