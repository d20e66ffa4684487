package driver_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// second is what another client wants of a container while something is done to it.
type second struct {
	do func(r *rig) error
	// refused is the kind of the answer; fine: there is none.
	refused fault.Kind
	fine    bool
	state   string   // when all is over
	events  []string // of everything, in order
}

func startAgain(r *rig) error {
	_, err := r.client.Start(r.ctx, named("web"), ports.StartOptions{})
	return err
}

func createAgain(r *rig) error {
	_, err := r.client.Create(r.ctx, document(plain("web", 1)), ports.StartOptions{})
	return err
}

func defineAgain(r *rig) error {
	_, err := r.client.Define(r.ctx, document(plain("web", 1)), false)
	return err
}

var duringStart = map[string]second{
	"start":  {do: startAgain, refused: fault.WrongState, state: "running booted persistent", events: []string{"web started 0 running"}},
	"create": {do: createAgain, refused: fault.WrongState, state: "running booted persistent", events: []string{"web started 0 running"}},
	"define": {do: defineAgain, fine: true, state: "running booted persistent updated", events: []string{"web started 0 running", "web defined 1 running"}},
	"undefine": {
		do:   func(r *rig) error { return r.client.Undefine(r.ctx, named("web")) },
		fine: true, state: "running booted", events: []string{"web started 0 running", "web undefined 0 running"},
	},
	"destroy": {
		do:   func(r *rig) error { return r.client.Destroy(r.ctx, named("web")) },
		fine: true, state: "shutoff destroyed persistent", events: []string{"web started 0 running", "web stopped 1"},
	},
	"suspend": {
		do:   func(r *rig) error { return r.client.Suspend(r.ctx, named("web")) },
		fine: true, state: "paused user persistent", events: []string{"web started 0 running", "web suspended 0 running"},
	},
	"resume": {
		do:      func(r *rig) error { return r.client.Resume(r.ctx, named("web")) },
		refused: fault.WrongState, state: "running booted persistent", events: []string{"web started 0 running"},
	},
	"shutdown": {
		do:   func(r *rig) error { return r.client.Shutdown(r.ctx, named("web"), ports.Asking{}) },
		fine: true, state: "shutoff shutdown persistent", events: []string{"web started 0 running", "web stopped 0"},
	},
	"reload": {
		do:   func(r *rig) error { return r.driver.Reload(r.ctx) },
		fine: true, state: "running booted persistent", events: []string{"web started 0 running"},
	},
}

// TestSecondCallerDuringAStart: at whichever hook a start is held up, another
// client's change waits its turn or is refused, and events come in their order.
func TestSecondCallerDuringAStart(t *testing.T) {
	for _, stage := range []string{"prepare", "start", "started"} {
		for name, other := range duringStart {
			t.Run(fmt.Sprintf("%s, %s", stage, name), func(t *testing.T) {
				overlap(t, stage, startAgain, func(r *rig) {}, other)
			})
		}
	}
}

var duringDestroy = map[string]second{
	"destroy": {
		do:      func(r *rig) error { return r.client.Destroy(r.ctx, named("web")) },
		refused: fault.WrongState, state: "shutoff destroyed persistent", events: []string{"web stopped 1"},
	},
	"start":  {do: startAgain, fine: true, state: "running booted persistent", events: []string{"web stopped 1", "web started 0 running"}},
	"define": {do: defineAgain, fine: true, state: "shutoff destroyed persistent", events: []string{"web stopped 1", "web defined 1"}},
	"undefine": {
		do:   func(r *rig) error { return r.client.Undefine(r.ctx, named("web")) },
		fine: true, state: "unknown to clients", events: []string{"web stopped 1", "web undefined 0"},
	},
	"suspend": {
		do:      func(r *rig) error { return r.client.Suspend(r.ctx, named("web")) },
		refused: fault.WrongState, state: "shutoff destroyed persistent", events: []string{"web stopped 1"},
	},
	"signal": {
		do:      func(r *rig) error { return r.client.Signal(r.ctx, named("web"), 1, 15) },
		refused: fault.WrongState, state: "shutoff destroyed persistent", events: []string{"web stopped 1"},
	},
	"namespaces": {
		do: func(r *rig) error {
			_, err := r.client.OpenNamespaces(r.ctx, named("web"))
			return err
		},
		refused: fault.WrongState, state: "shutoff destroyed persistent", events: []string{"web stopped 1"},
	},
	"metadata": {
		do: func(r *rig) error {
			return r.client.SetMetadata(r.ctx, named("web"), ports.MetadataKey{Kind: ports.Title, Live: true}, text("x"))
		},
		refused: fault.WrongState, state: "shutoff destroyed persistent", events: []string{"web stopped 1"},
	},
	"reload": {
		do:   func(r *rig) error { return r.driver.Reload(r.ctx) },
		fine: true, state: "shutoff destroyed persistent", events: []string{"web stopped 1"},
	},
}

// TestSecondCallerDuringADestroy: the same while a container is being cleared up.
func TestSecondCallerDuringADestroy(t *testing.T) {
	destroy := func(r *rig) error { return r.client.Destroy(r.ctx, named("web")) }
	for _, stage := range []string{"stopped", "release"} {
		for name, other := range duringDestroy {
			t.Run(fmt.Sprintf("%s, %s", stage, name), func(t *testing.T) {
				overlap(t, stage, destroy, func(r *rig) { r.start("web") }, other)
			})
		}
	}
}

// overlap lets two changes meet: the first is held up by a hook.
func overlap(t *testing.T, hook string, first func(*rig) error, prepare func(*rig), other second) {
	bench(t, func(r *rig) {
		r.host.InstallHooks()
		r.define(plain("web", 1))
		prepare(r)
		r.happened()
		release := r.host.HoldHook(hook)
		outcomes := make([]chan error, 2)
		for i, do := range []func(*rig) error{first, other.do} {
			outcomes[i] = make(chan error, 1)
			go func() { outcomes[i] <- do(r) }()
			r.settle()
		}
		release()
		require.NoError(t, <-outcomes[0])
		err := <-outcomes[1]
		if other.fine {
			assert.NoError(t, err)
		} else {
			assert.ErrorIs(t, err, other.refused)
		}
		events := r.happened()
		assert.Equal(t, other.events, events)
		assert.Equal(t, other.state, r.state("web"))
	})
}
