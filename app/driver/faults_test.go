package driver_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/fakes"
	"virtlxcd/ports"
)

// useCase is an action that calls ports, after a preparation.
type useCase struct {
	prepare func(r *rig)
	act     func(r *rig) error
	// either: a failed call may also leave the result of success, where what
	// failed could be done another way.
	either bool
}

var useCases = map[string]useCase{
	"define": {
		prepare: func(r *rig) { r.host.AddRoot("/srv/web") },
		act: func(r *rig) error {
			_, err := r.client.Define(r.ctx, document(web()), false)
			return err
		},
	},
	"redefine": {
		prepare: func(r *rig) { r.define(web()) },
		act: func(r *rig) error {
			changed := web()
			changed.Title = "new"
			_, err := r.client.Define(r.ctx, document(changed), false)
			return err
		},
	},
	"undefine": {
		prepare: func(r *rig) {
			r.define(web())
			require.NoError(r.t, r.client.SetAutostart(r.ctx, named("web"), true))
		},
		act: func(r *rig) error { return r.client.Undefine(r.ctx, named("web")) },
	},
	"start": {
		prepare: func(r *rig) { r.define(web()) },
		act: func(r *rig) error {
			_, err := r.client.Start(r.ctx, named("web"), ports.StartOptions{})
			return err
		},
	},
	"create": {
		prepare: func(r *rig) { r.host.AddRoot("/srv/web") },
		act: func(r *rig) error {
			_, err := r.client.Create(r.ctx, document(web()), ports.StartOptions{AutoDestroy: true})
			return err
		},
	},
	"destroy": {
		prepare: running, either: true,
		act: func(r *rig) error { return r.client.Destroy(r.ctx, named("web")) },
	},
	"suspend": {
		prepare: running,
		act:     func(r *rig) error { return r.client.Suspend(r.ctx, named("web")) },
	},
	"resume": {
		prepare: func(r *rig) {
			running(r)
			require.NoError(r.t, r.client.Suspend(r.ctx, named("web")))
		},
		act: func(r *rig) error { return r.client.Resume(r.ctx, named("web")) },
	},
	"metadata": {
		prepare: running,
		act: func(r *rig) error {
			which := ports.MetadataKey{Kind: ports.Title, Live: true, Persistent: true}
			return r.client.SetMetadata(r.ctx, named("web"), which, text("both"))
		},
	},
	"autostart": {
		prepare: running,
		act:     func(r *rig) error { return r.client.SetAutostart(r.ctx, named("web"), true) },
	},
	"exit": {
		prepare: running, either: true,
		act: func(r *rig) error { return r.host.ExitInit("web", 0) },
	},
}

func running(r *rig) {
	r.define(web())
	r.start("web")
	r.settle()
}

// call is the nth call of an operation.
type call struct {
	op  string
	nth int
}

// calls performs a use case without faults and returns its calls and what the
// host looks like afterwards.
func calls(t *testing.T, u useCase, full bool) (all []call, success string) {
	bench(t, func(r *rig) {
		if full {
			r.furnish()
		}
		u.prepare(r)
		r.settle()
		r.host.ForgetOps()
		require.NoError(t, u.act(r))
		r.settle()
		counts := map[string]int{}
		for _, op := range r.host.Ops() {
			counts[op]++
			all = append(all, call{op, counts[op]})
		}
		success = r.host.String()
	})
	return all, success
}

// handsOut are the calls that return something to be closed or given back: one
// that fails keeps it, which only its adapter can see to.
var handsOut = map[string]bool{
	"Controllers.Launch": true, "Controller.Begin": true, "Controller.Reclaim": true,
	"Links.Name": true, "Terminals.Open": true, "Processes.Open": true,
}

// dispensable are the calls of which the failure only leaves something out.
var dispensable = map[string]bool{
	"Machines.Enclose": true, "Cgroups.CreateIn": true, "Machines.Register": true, "Escrow.Keep": true,
}

// furnish gives the host all that a container can do without.
func (r *rig) furnish() {
	r.host.InstallHooks()
	r.host.InstallManager()
	r.host.InstallKeeper()
}

// TestEveryCallFailsOnce: whichever call of a port fails, and whether it did its
// work or not, the host is as before or the use case has succeeded; nothing
// leaks and no event is sent for what did not happen.
func TestEveryCallFailsOnce(t *testing.T) {
	for name, u := range useCases {
		t.Run(name, func(t *testing.T) { everyCallFailsOnce(t, u, false) })
		t.Run(name+", with everything", func(t *testing.T) { everyCallFailsOnce(t, u, true) })
	}
}

func everyCallFailsOnce(t *testing.T, u useCase, full bool) {
	all, success := calls(t, u, full)
	require.NotEmpty(t, all)
	for _, c := range all {
		fail := failOnce
		if full && dispensable[c.op] {
			fail = doWithout
		}
		t.Run(fmt.Sprintf("%s %d", c.op, c.nth), func(t *testing.T) {
			fail(t, u, full, success, func(h *fakes.Host) { h.FailNth(c.op, c.nth, assert.AnError) })
		})
		if handsOut[c.op] {
			continue
		}
		t.Run(fmt.Sprintf("%s %d, done", c.op, c.nth), func(t *testing.T) {
			fail(t, u, full, success, func(h *fakes.Host) { h.FailAfterNth(c.op, c.nth, assert.AnError) })
		})
	}
}

// doWithout: the use case succeeds, and what it made goes without a trace.
func doWithout(t *testing.T, u useCase, _ bool, _ string, inject func(*fakes.Host)) {
	bench(t, func(r *rig) {
		r.furnish()
		r.host.AddRoot("/srv/web")
		empty := r.host.String()
		u.prepare(r)
		r.settle()
		inject(r.host)
		require.NoError(t, u.act(r))
		r.settle()
		assert.Regexp(t, "^running booted", r.state("web"))
		require.NoError(t, r.client.Destroy(r.ctx, named("web")))
		if r.state("web") != "unknown to clients" {
			require.NoError(t, r.client.Undefine(r.ctx, named("web")))
		}
		assert.Equal(t, empty, r.host.String())
	})
}

// rebootWithLinks is a reboot from inside of a container with users mapped, whose links
// the daemon has to make again.
var rebootWithLinks = useCase{
	prepare: func(r *rig) {
		r.define(mapped())
		r.start("web")
		r.settle()
	},
	act: func(r *rig) error { return r.host.RebootInit("web") },
}

// TestRebootDoesWithout: none of the calls that a reboot needs with everything is
// worth its end, but those that make its links.
func TestRebootDoesWithout(t *testing.T) {
	all, _ := calls(t, rebootWithLinks, true)
	assert.Contains(t, all, call{"Machines.Register", 1})
	assert.Contains(t, all, call{"Escrow.Keep", 1})
	for _, c := range all {
		if c.op == "Links.Connect" || c.op == "Controller.Proceed" || c.op == "Access.Check" {
			continue
		}
		t.Run(c.op, func(t *testing.T) {
			doWithout(t, rebootWithLinks, true, "", func(h *fakes.Host) { h.FailNth(c.op, c.nth, assert.AnError) })
		})
	}
}

func failOnce(t *testing.T, u useCase, full bool, success string, inject func(*fakes.Host)) {
	bench(t, func(r *rig) {
		if full {
			r.furnish()
		}
		u.prepare(r)
		r.happened()
		before := r.host.String()
		state := r.state("web")
		inject(r.host)
		err := u.act(r)
		events := r.happened()
		after := r.host.String()
		switch {
		case err == nil:
			assert.Equal(t, success, after, "a success that is none")
		case u.either && after == success:
		default:
			assert.Equal(t, before, after)
			assert.Empty(t, events)
			if r.state("web") != "shutoff failed persistent" {
				assert.Equal(t, state, r.state("web"))
			}
		}
	})
}
