package driver_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/fakes"
	"virtlxcd/ports"
)

// hooked returns what hooks were called for since last asked.
func (r *rig) hooked() (calls []string) {
	for _, c := range r.host.HookCalls() {
		assert.Equal(r.t, "-", c.Extra)
		calls = append(calls, fmt.Sprintf("%s %s %s: %s", c.Container, c.Operation, c.Phase, asked(c.Document)))
	}
	return calls
}

const (
	inactive = "web '' id=-1 inactive=true secure=false"
	filled   = "web '' id=-1 inactive=false secure=false"
	live     = "web '' id=1001 inactive=false secure=false"
)

func TestHooksOfALife(t *testing.T) {
	for name, end := range map[string]func(r *rig) error{
		"destroyed": func(r *rig) error { return r.client.Destroy(r.ctx, named("web")) },
		"exited":    func(r *rig) error { return r.host.ExitInit("web", 0) },
	} {
		t.Run(name, func(t *testing.T) {
			bench(t, func(r *rig) {
				r.host.InstallHooks()
				r.define(web())
				assert.Empty(t, r.hooked())
				r.start("web")
				assert.Equal(t, []string{
					"web prepare begin: " + inactive, "web start begin: " + filled, "web started begin: " + live,
				}, r.hooked())
				require.NoError(t, end(r))
				r.settle()
				assert.Equal(t, []string{"web stopped end: " + live, "web release end: " + filled}, r.hooked())
			})
		})
	}
}

func TestWithoutHooksNothingIsPrinted(t *testing.T) {
	bench(t, func(r *rig) {
		r.define(web())
		r.start("web")
		require.NoError(t, r.client.Destroy(r.ctx, named("web")))
		assert.NotContains(t, r.host.Ops(), "Hooks.Run")
	})
}

// TestHooksThatRefuseAStart: it is taken back, and what runs at the end of
// containers runs, whichever refused.
func TestHooksThatRefuseAStart(t *testing.T) {
	for operation, ended := range map[string]string{"prepare": filled, "start": live, "started": live} {
		t.Run(operation, func(t *testing.T) {
			bench(t, func(r *rig) {
				r.furnish()
				r.define(web())
				before := r.host.String()
				r.happened()
				r.host.FailHook(operation, "not today")
				_, err := r.client.Start(r.ctx, named("web"), ports.StartOptions{})
				assert.ErrorIs(t, err, fault.HookFailed)
				assert.ErrorContains(t, err, "not today")
				assert.Equal(t, "shutoff failed persistent", r.state("web"))
				assert.Equal(t, before, r.host.String())
				assert.Empty(t, r.happened())
				calls := r.hooked()
				assert.Equal(t, []string{"web stopped end: " + ended, "web release end: " + filled}, calls[len(calls)-2:])
				assert.Contains(t, calls[len(calls)-3], "web "+operation+" begin")
			})
		})
	}
}

// TestStoppedHookOfAFailedStartComesWhenNothingLives: after the processes, before
// the rest is given back.
func TestStoppedHookOfAFailedStartComesWhenNothingLives(t *testing.T) {
	bench(t, func(r *rig) {
		r.host.InstallHooks()
		r.define(web())
		r.host.Fail("Controller.Proceed", assert.AnError)
		release := r.host.HoldHook("stopped")
		failed := make(chan error)
		go func() {
			_, err := r.client.Start(r.ctx, named("web"), ports.StartOptions{})
			failed <- err
		}()
		r.settle()
		seen := r.host.String()
		assert.NotContains(t, seen, "stage of web")
		assert.Contains(t, seen, "cgroup: ")
		assert.Contains(t, seen, "status: web")
		release()
		assert.ErrorIs(t, <-failed, assert.AnError)
	})
}

func TestHooksAtTheEndPreventNothing(t *testing.T) {
	for _, operation := range []string{"stopped", "release"} {
		bench(t, func(r *rig) {
			r.host.InstallHooks()
			r.define(web())
			off := r.host.String()
			r.start("web")
			r.host.FailHook(operation, "too late")
			require.NoError(t, r.client.Destroy(r.ctx, named("web")))
			assert.Equal(t, off, r.host.String())
			assert.Contains(t, r.log.String(), "too late")
		})
	}
}

// TestSlowHooksHoldNobodyUp but who wants to change the same container.
func TestSlowHooksHoldNobodyUp(t *testing.T) {
	for _, operation := range []string{"prepare", "start", "started"} {
		bench(t, func(r *rig) {
			r.host.InstallHooks()
			r.define(web())
			release := r.host.HoldHook(operation)
			started := make(chan error)
			go func() {
				_, err := r.client.Start(r.ctx, named("web"), ports.StartOptions{})
				started <- err
			}()
			r.settle()
			all, err := r.client.List(r.ctx, container.Filter{})
			require.NoError(t, err)
			assert.Len(t, all, 1)
			r.define(plain("db", 2))
			err = r.client.SetAutostart(r.ctx, named("web"), true)
			assert.ErrorContains(t, err, "held by monitor=virDomainCreate")
			release()
			require.NoError(t, <-started)
		})
	}
}

func TestHooksThatHangAreGivenUp(t *testing.T) {
	bench(t, func(r *rig) {
		r.host.InstallHooks()
		r.define(web())
		before := r.host.String()
		defer r.host.HoldHook("prepare")()
		defer r.host.HoldHook("stopped")()
		defer r.host.HoldHook("release")()
		begun := time.Now()
		_, err := r.client.Start(r.ctx, named("web"), ports.StartOptions{})
		assert.ErrorIs(t, err, fault.Timeout)
		assert.Equal(t, 3*time.Minute, time.Since(begun))
		assert.Equal(t, before, r.host.String())
	})
}

func TestReconnectHook(t *testing.T) {
	bench(t, func(r *rig) {
		r.furnish()
		r.define(web())
		off := r.host.String()
		r.start("web")
		r.create(plain("db", 2), ports.StartOptions{})
		r.hooked()
		r.restart(nil)
		assert.Equal(t, []string{
			"db reconnect begin: db '' id=1003 inactive=false secure=false", "web reconnect begin: " + live,
		}, r.hooked())
		assert.Equal(t, "running unknown persistent", r.state("web"))

		r.restart(func() { r.host.FailHook("reconnect", "not any more") })
		assert.Equal(t, "shutoff failed persistent", r.state("web"))
		assert.Equal(t, "unknown to clients", r.state("db"))
		assert.Equal(t, off, r.host.String())
		assert.Contains(t, r.log.String(), "not any more")
		assert.Len(t, r.hooked(), 6, "reconnect, stopped, release of each")
	})
}

// TestAnEndingDaemonRefusesNobody: that a hook was interrupted says nothing.
func TestAnEndingDaemonRefusesNobody(t *testing.T) {
	bench(t, func(r *rig) {
		r.host.InstallHooks()
		r.define(web())
		r.start("web")
		r.stop()
		release := r.host.HoldHook("reconnect")
		booted := make(chan struct{})
		go func() {
			defer close(booted)
			r.boot()
		}()
		r.settle()
		hurry, cancel := context.WithCancel(r.ctx)
		cancel()
		assert.ErrorIs(t, r.driver.Shutdown(hurry), fault.Timeout)
		<-booted
		require.NoError(t, r.client.Close())
		assert.NotZero(t, r.host.InitPID("web"))
		release()
		r.host.KillDaemon()
		r.boot()
		assert.Equal(t, "running unknown persistent", r.state("web"))
	})
}

// TestNoReconnectHookForWhatHasEnded meanwhile.
func TestNoReconnectHookForWhatHasEnded(t *testing.T) {
	bench(t, func(r *rig) {
		r.host.InstallHooks()
		r.define(web())
		r.start("web")
		r.hooked()
		r.restart(func() { require.NoError(t, r.host.ExitInit("web", fakes.Exited(0))) })
		assert.Equal(t, []string{"web stopped end: " + live, "web release end: " + filled}, r.hooked())
	})
}
