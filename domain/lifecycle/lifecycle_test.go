package lifecycle_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"

	"virtlxcd/domain/lifecycle"
)

var (
	states   = []lifecycle.State{lifecycle.Off, lifecycle.Starting, lifecycle.Running, lifecycle.Paused}
	triggers = func() (all []lifecycle.Trigger) {
		for n := range lifecycle.Triggers {
			all = append(all, lifecycle.Trigger(n))
		}
		return all
	}()
)

// allowed is the table again, in the words of the interface: what happens, where
// it leads, and the event as clients number it.
var allowed = map[lifecycle.State]map[lifecycle.Trigger]struct {
	state, reason string
	kind, detail  int // -1: no event
}{
	lifecycle.Off: {
		lifecycle.Start:      {"starting", "unknown", -1, 0},
		lifecycle.Find:       {"running", "unknown", -1, 0},
		lifecycle.FindPaused: {"paused", "unknown", -1, 0},
	},
	lifecycle.Starting: {
		lifecycle.Started:     {"running", "booted", 2, 0},
		lifecycle.StartFailed: {"shutoff", "failed", -1, 0},
		lifecycle.Destroy:     {"shutoff", "failed", -1, 0},
	},
	lifecycle.Running: {
		lifecycle.Suspend:     {"paused", "user", 3, 0},
		lifecycle.GuestReboot: {"running", "booted", -1, 0},
		lifecycle.Destroy:     {"shutoff", "destroyed", 5, 1},
		lifecycle.Exit:        {"shutoff", "shutdown", 5, 0},
		lifecycle.Crash:       {"shutoff", "crashed", 5, 2},
		lifecycle.Lose:        {"shutoff", "failed", 5, 5},
	},
	lifecycle.Paused: {
		lifecycle.Suspend: {"paused", "user", -1, 0},
		lifecycle.Resume:  {"running", "unpaused", 4, 0},
		lifecycle.Destroy: {"shutoff", "destroyed", 5, 1},
		lifecycle.Exit:    {"shutoff", "shutdown", 5, 0},
		lifecycle.Crash:   {"shutoff", "crashed", 5, 2},
		lifecycle.Lose:    {"shutoff", "failed", 5, 5},
	},
}

func TestEveryPair(t *testing.T) {
	for _, state := range states {
		for _, trigger := range triggers {
			step, ok := lifecycle.Next(state, trigger)
			want, wanted := allowed[state][trigger]
			if !assert.Equal(t, wanted, ok, "%s, trigger %d", state, trigger) || !ok {
				assert.Zero(t, step, "a refused trigger changes nothing")
				continue
			}
			assert.Equal(t, want.state, step.State.String())
			assert.Equal(t, want.reason, step.Reason.String())
			if want.kind < 0 {
				assert.Nil(t, step.Event, "%s, trigger %d", state, trigger)
				continue
			}
			assert.Equal(t, &lifecycle.Change{
				Kind: lifecycle.ChangeKind(want.kind), Detail: lifecycle.Detail(want.detail),
			}, step.Event)
		}
	}
}

// TestRandomWalks checks what must hold however triggers follow each other.
func TestRandomWalks(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		state, running := lifecycle.Off, false
		for range 200 {
			trigger := triggers[random.IntN(len(triggers))]
			step, ok := lifecycle.Next(state, trigger)
			if !ok {
				continue
			}
			if found := trigger == lifecycle.Find || trigger == lifecycle.FindPaused; found {
				running = true
			}
			checkEvent(t, step, &running)
			assert.Equal(t, running, step.State == lifecycle.Running || step.State == lifecycle.Paused)
			state = step.State
		}
	}
}

// checkEvent checks that starts and stops alternate.
func checkEvent(t *testing.T, step lifecycle.Step, running *bool) {
	if step.Event == nil {
		return
	}
	switch step.Event.Kind {
	case lifecycle.WasStarted:
		assert.False(t, *running, "started twice")
		*running = true
	case lifecycle.WasStopped:
		assert.True(t, *running, "stopped twice")
		*running = false
		assert.Equal(t, lifecycle.Off, step.State)
	case lifecycle.WasSuspended, lifecycle.WasResumed:
		assert.True(t, *running)
	default:
		t.Errorf("event kind %d comes from no trigger", step.Event.Kind)
	}
}

// TestEveryStateEnds: whatever happens, some triggers lead back to Off.
func TestEveryStateEnds(t *testing.T) {
	for _, state := range states[1:] {
		step, ok := lifecycle.Next(state, lifecycle.Destroy)
		assert.True(t, ok)
		assert.Equal(t, lifecycle.Off, step.State)
		assert.True(t, state.Active())
	}
	assert.False(t, lifecycle.Off.Active())
}

func TestOutcomesAreNotShared(t *testing.T) {
	first, _ := lifecycle.Next(lifecycle.Off, lifecycle.Start)
	first.State = lifecycle.Paused
	again, _ := lifecycle.Next(lifecycle.Off, lifecycle.Start)
	assert.Equal(t, lifecycle.Starting, again.State)
}

// TestEndsHappenOnce: what is off cannot end once more, so that no end is announced
// twice when two of them cross.
func TestEndsHappenOnce(t *testing.T) {
	ends := []lifecycle.Trigger{lifecycle.Destroy, lifecycle.Exit, lifecycle.Crash, lifecycle.Lose}
	for _, first := range ends {
		step, ok := lifecycle.Next(lifecycle.Running, first)
		assert.True(t, ok)
		assert.Equal(t, lifecycle.WasStopped, step.Event.Kind)
		for _, second := range ends {
			_, ok := lifecycle.Next(step.State, second)
			assert.False(t, ok, "%d after %d", second, first)
		}
	}
}

// TestPausedIsRunningToItsEnd: how a container ends does not depend on whether it
// is frozen at that moment.
func TestPausedIsRunningToItsEnd(t *testing.T) {
	for _, end := range []lifecycle.Trigger{lifecycle.Destroy, lifecycle.Exit, lifecycle.Crash, lifecycle.Lose} {
		running, _ := lifecycle.Next(lifecycle.Running, end)
		paused, _ := lifecycle.Next(lifecycle.Paused, end)
		assert.Equal(t, running, paused, "trigger %d", end)
	}
}

// TestUnknownStates and triggers, as of a later version, are refused.
func TestUnknownStates(t *testing.T) {
	for _, trigger := range triggers {
		_, ok := lifecycle.Next(lifecycle.Paused+1, trigger)
		assert.False(t, ok)
	}
	for _, state := range states {
		_, ok := lifecycle.Next(state, lifecycle.Trigger(lifecycle.Triggers))
		assert.False(t, ok)
	}
}
