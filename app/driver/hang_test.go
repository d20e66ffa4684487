package driver_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
)

// endless are the calls that no context ends: their ports promise not to wait.
func endless(op string) bool {
	return strings.HasPrefix(op, "Process.") || strings.HasPrefix(op, "Escrow.") ||
		op == "Controller.Acknowledge" || op == "Access.Check"
}

// TestEveryCallHangsOnce: whichever call of a start never returns, the start fails
// when its time is over, and the host is as before.
func TestEveryCallHangsOnce(t *testing.T) {
	for _, name := range []string{"start", "create"} {
		u := useCases[name]
		all, _ := calls(t, u, true)
		for _, c := range all {
			// Of what a start can do without it waits as long as there is time for all.
			if endless(c.op) || c.op == "HostInfo.Facts" || dispensable[c.op] {
				continue
			}
			t.Run(fmt.Sprintf("%s, %s %d", name, c.op, c.nth), func(t *testing.T) { startHangs(t, u, c) })
		}
	}
}

func startHangs(t *testing.T, u useCase, c call) {
	bench(t, func(r *rig) {
		r.furnish()
		u.prepare(r)
		r.happened()
		before := r.host.String()
		r.host.Hang(c.op, c.nth)
		begun := time.Now()
		err := u.act(r)
		require.Error(t, err)
		assert.ErrorIs(t, err, fault.Timeout)
		assert.LessOrEqual(t, time.Since(begun), 2*time.Minute)
		assert.Empty(t, r.happened())
		assert.Equal(t, before, r.host.String())
	})
}

// TestDaemonEndsDuringEveryCall: a daemon that cannot wait for a change any longer
// gives it up. The next one finds a host that it can work with: nothing is frozen
// that is shown as running, what ran and was not to end runs on, and all can be
// destroyed without a trace.
func TestDaemonEndsDuringEveryCall(t *testing.T) {
	for name, u := range useCases {
		all, _ := calls(t, u, true)
		for _, c := range all {
			if endless(c.op) || name == "exit" {
				continue
			}
			t.Run(fmt.Sprintf("%s, %s %d", name, c.op, c.nth), func(t *testing.T) { endsDuring(t, name, u, c) })
		}
	}
}

func endsDuring(t *testing.T, name string, u useCase, c call) {
	bench(t, func(r *rig) {
		r.furnish()
		r.host.AddRoot("/srv/web")
		empty := r.host.String()
		u.prepare(r)
		r.settle()
		before, init := r.state("web"), r.host.InitPID("web")
		r.host.Hang(c.op, c.nth)
		outcome := make(chan error, 1)
		go func() { outcome <- u.act(r) }()
		r.settle()
		r.endDaemon()
		err := <-outcome
		require.NoError(t, r.client.Close())
		require.NoError(t, r.driver.Shutdown(r.ctx))
		assert.Empty(t, r.host.OpenFiles())
		r.boot()
		if init != 0 && name != "destroy" {
			assert.Equal(t, init, r.host.InitPID("web"), "it runs on")
		}
		if err != nil && name != "destroy" {
			want, _, _ := strings.Cut(before, " ")
			got, _, _ := strings.Cut(r.state("web"), " ")
			assert.Equal(t, want, got, "what failed was not done")
		}
		r.remove("web")
		assert.Equal(t, empty, r.host.String())
	})
}

// endDaemon stops the daemon and does not wait long for what is under way.
func (r *rig) endDaemon() {
	ctx, cancel := context.WithTimeout(r.ctx, time.Second)
	defer cancel()
	_ = r.driver.Shutdown(ctx) // Timeout, or nothing was under way
	r.settle()
}

// TestDaemonEndsDuringAReboot: the links of a container that reboots are left to
// the next daemon, and the container runs on.
func TestDaemonEndsDuringAReboot(t *testing.T) {
	all, _ := calls(t, rebootWithLinks, true)
	for _, c := range all {
		if endless(c.op) {
			continue
		}
		t.Run(fmt.Sprintf("%s %d", c.op, c.nth), func(t *testing.T) {
			bench(t, func(r *rig) {
				r.furnish()
				rebootWithLinks.prepare(r)
				r.host.Hang(c.op, c.nth)
				require.NoError(t, rebootWithLinks.act(r))
				r.settle()
				r.endDaemon()
				require.NoError(t, r.client.Close())
				require.NoError(t, r.driver.Shutdown(r.ctx))
				assert.Empty(t, r.host.OpenFiles())
				r.boot()
				r.settle()
				assert.NotZero(t, r.host.InitPID("web"), "it runs on")
				assert.Regexp(t, "^running ", r.state("web"))
				assert.Len(t, r.host.Links(), 2)
			})
		})
	}
}

// TestRebootThatIsToldTwice: the controller did not hear that its report was dealt
// with, so it tells the next daemon. The container has its links and goes on.
func TestRebootThatIsToldTwice(t *testing.T) {
	bench(t, func(r *rig) {
		r.define(mapped())
		r.start("web")
		r.host.Fail("Controller.Acknowledge", assert.AnError)
		r.host.Fail("Controller.Acknowledge", assert.AnError)
		require.NoError(t, r.host.RebootInit("web"))
		r.settle()
		require.Empty(t, r.host.Pending())
		init, links := r.host.InitPID("web"), r.host.Links()
		r.restart(nil)
		r.settle()
		assert.Equal(t, init, r.host.InitPID("web"))
		assert.Equal(t, links, r.host.Links(), "they were not made again")
		assert.Equal(t, "running unknown persistent", r.state("web"))
		require.NoError(t, r.host.RebootInit("web"))
		r.settle()
		assert.NotEqual(t, init, r.host.InitPID("web"), "a later reboot is another one")
		assert.NotEqual(t, links, r.host.Links())
		require.Len(t, r.host.Links(), 2)
		require.NoError(t, r.client.Destroy(r.ctx, named("web")))
	})
}
