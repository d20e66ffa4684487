package driver_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/fakes"
	"virtlxcd/ports"
)

// runs creates containers whose inits are at /sbin/NAME.
func (r *rig) runs(inits map[string]fakes.Init) {
	number := byte(100)
	for name, behaviour := range inits {
		r.host.AddPath("/srv/"+name, "/sbin/"+name)
		r.host.Init("/sbin/"+name, behaviour)
		definition := plain(name, number)
		definition.Init.Path = "/sbin/" + name
		definition.Filesystems = nil
		r.create(definition, ports.StartOptions{})
		number++
	}
}

func TestStopAll(t *testing.T) {
	const limit = time.Minute
	halts := map[int]fakes.Reaction{15: fakes.Halts, 38: fakes.Halts}
	deaf := map[int]fakes.Reaction{15: fakes.GoesOn}
	for name, test := range map[string]struct {
		inits map[string]fakes.Init
		took  time.Duration
	}{
		"nobody": {nil, 0},
		"who halt": {map[string]fakes.Init{
			"a": {Catches: halts}, "b": {Control: true}, "c": {Program: "/lib/systemd", Catches: halts},
		}, 0},
		"who cannot hear": {map[string]fakes.Init{"a": fakes.Deaf(), "b": {Catches: halts}}, 0},
		"who do not obey": {map[string]fakes.Init{"a": {Catches: deaf}, "b": {Catches: deaf}, "c": {Catches: halts}},
			limit + 1600*time.Millisecond},
		"who reboot": {map[string]fakes.Init{"a": {Catches: map[int]fakes.Reaction{15: fakes.Reboots}}}, limit},
	} {
		t.Run(name, func(t *testing.T) {
			bench(t, func(r *rig) {
				r.runs(test.inits)
				begun := time.Now()
				require.NoError(t, r.driver.StopAll(r.ctx, limit))
				assert.Equal(t, test.took, time.Since(begun))
				all, err := r.client.List(r.ctx, container.Filter{})
				require.NoError(t, err)
				assert.Empty(t, all)
				assert.NotContains(t, r.host.String(), "process: ")
			})
		})
	}
}

func TestStopAllOfAPausedOne(t *testing.T) {
	bench(t, func(r *rig) {
		r.define(web())
		off := r.host.String()
		r.start("web")
		require.NoError(t, r.client.Suspend(r.ctx, named("web")))
		begun := time.Now()
		require.NoError(t, r.driver.StopAll(r.ctx, time.Minute))
		assert.Zero(t, time.Since(begun), "it could not answer")
		assert.Equal(t, off, r.host.String())
	})
}

func TestStopAllCutShort(t *testing.T) {
	bench(t, func(r *rig) {
		r.runs(map[string]fakes.Init{"a": {Catches: map[int]fakes.Reaction{15: fakes.GoesOn}}})
		ctx, cancel := context.WithTimeout(r.ctx, time.Second)
		defer cancel()
		begun := time.Now()
		require.NoError(t, r.driver.StopAll(ctx, time.Hour))
		assert.Equal(t, 2600*time.Millisecond, time.Since(begun))
		assert.Equal(t, "unknown to clients", r.state("a"))
	})
}

func TestNothingStartsWhileAllIsStopped(t *testing.T) {
	bench(t, func(r *rig) {
		again := web()
		again.OnPoweroff = "restart"
		r.host.Init("/sbin/init", fakes.Init{Catches: map[int]fakes.Reaction{15: fakes.Halts}})
		r.define(again)
		transient := plain("db", 2)
		transient.OnPoweroff = "restart"
		r.create(transient, ports.StartOptions{})
		r.start("web")
		r.runs(map[string]fakes.Init{"stubborn": {Catches: map[int]fakes.Reaction{15: fakes.GoesOn}}})
		stopped := make(chan error)
		go func() { stopped <- r.driver.StopAll(r.ctx, time.Minute) }()
		r.settle()
		assert.Equal(t, "shutoff shutdown persistent", r.state("web"))
		assert.Equal(t, "unknown to clients", r.state("db"))
		_, err := r.client.Start(r.ctx, named("web"), ports.StartOptions{})
		assert.ErrorIs(t, err, fault.Aborted)
		assert.ErrorContains(t, err, "all containers are being stopped")
		require.NoError(t, <-stopped)
		r.start("web")
	})
}

// TestStopAllSeesStartsUnderWay, of containers that nobody can see yet.
func TestStopAllSeesStartsUnderWay(t *testing.T) {
	bench(t, func(r *rig) {
		r.host.InstallHooks()
		r.host.Init("/sbin/init", fakes.Deaf())
		release := r.host.HoldHook("prepare")
		created := make(chan error)
		r.host.AddRoot("/srv/web")
		go func() {
			_, err := r.client.Create(r.ctx, document(web()), ports.StartOptions{})
			created <- err
		}()
		r.settle()
		stopped := make(chan error)
		go func() { stopped <- r.driver.StopAll(r.ctx, time.Minute) }()
		r.settle()
		release()
		require.NoError(t, <-created)
		require.NoError(t, <-stopped)
		assert.Equal(t, "unknown to clients", r.state("web"))
	})
}

func TestStopAllTriesTwice(t *testing.T) {
	bench(t, func(r *rig) {
		r.host.Init("/sbin/init", fakes.Deaf())
		r.create(plain("web", 1), ports.StartOptions{})
		r.host.Fail("Cgroup.Kill", assert.AnError)
		require.NoError(t, r.driver.StopAll(r.ctx, time.Minute))
		r.create(plain("web", 1), ports.StartOptions{})
		r.host.Fail("Cgroup.Kill", assert.AnError)
		r.host.Fail("Cgroup.Kill", assert.AnError)
		err := r.driver.StopAll(r.ctx, time.Minute)
		assert.ErrorIs(t, err, assert.AnError)
		assert.ErrorContains(t, err, "web")
		assert.Equal(t, "running booted", r.state("web"))
		require.NoError(t, r.client.Destroy(r.ctx, named("web")))
	})
}
