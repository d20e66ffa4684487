package porttest

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// controllerNetwork: the descriptor is how the daemon puts links inside, so it must be
// there and open when Begin returns, before init runs. A controller that sends the
// wrong one, or none, is found by the first link.
func controllerNetwork(t *testing.T, h ControllersHarness) {
	need(t, h.Missing, "network")
	_, _, held := start(t, h, Wanted{Name: "vlxa", Network: true})
	require.NotNil(t, held.Network)
	_, err := held.Network.Stat()
	assert.NoError(t, err)
}

// controllerReclaims: a daemon that was started anew gets all that a running container
// consists of. The descriptors are fresh, so it works although the first set was
// closed. Hosts and Plan are in it as well: without them no other controller could take
// over.
func controllerReclaims(t *testing.T, h ControllersHarness) {
	controller, order, held := start(t, h, Wanted{Name: "vlxa"})
	closeHeld(held) // theirs are others
	again, err := controller.Reclaim(soon(t), order.Identity.UUID)
	require.NoError(t, err)
	t.Cleanup(func() { closeHeld(again) })
	assert.Equal(t, held.PID, again.PID)
	assert.Equal(t, held.Start, again.Start)
	assert.NotNil(t, again.Process)
	assert.Len(t, again.Terminals, 1)
	assert.Len(t, again.Hosts, 1)
	assert.NotNil(t, again.Plan)
}

// controllerSeveral: two containers in one process. The end of the first, also when it
// is acknowledged, leaves both the other and the process alone; after the end of the
// last the process ends.
func controllerSeveral(t *testing.T, h ControllersHarness) {
	controller, first, _ := start(t, h, Wanted{Name: "vlxa"})
	second := h.Order(t, Wanted{Name: "vlxb"})
	begin(t, controller, second)
	require.NoError(t, controller.Proceed(soon(t), second.Identity.UUID))

	report := killed(t, controller, first)
	require.NoError(t, controller.Acknowledge(report.Number))
	assert.True(t, alive(t, second), "the other goes on")
	later := killed(t, controller, second)
	assert.Greater(t, later.Number, report.Number)
	require.NoError(t, controller.Acknowledge(later.Number))
	hungUp(t, controller)
}

// controllerOutlives: this is what controllers are there for. The daemon goes away
// without a word, as in a crash, and its successor finds the same process by what it
// remembers of it, and in it the same init. A controller that ends with its connection
// takes the containers along.
func controllerOutlives(t *testing.T, h ControllersHarness) {
	controller, order, held := start(t, h, Wanted{Name: "vlxa"})
	ref := controller.Ref()
	require.NoError(t, controller.Close())
	hungUp(t, controller)
	assert.True(t, alive(t, order), "it goes on holding")

	adopted := adopt(t, h.Again(t), ref)
	assert.Equal(t, ref, adopted.Ref())
	reclaimed, err := adopted.Reclaim(soon(t), order.Identity.UUID)
	require.NoError(t, err)
	t.Cleanup(func() { closeHeld(reclaimed) })
	assert.Equal(t, held.PID, reclaimed.PID)
	killed(t, adopted, order)
}

// controllerKeepsReports: init ends while there is no daemon. The report waits, and has
// the wait status that only the parent of init can have seen, so it is told why the
// container stopped and not merely that it did.
func controllerKeepsReports(t *testing.T, h ControllersHarness) {
	controller, order, _ := start(t, h, Wanted{Name: "vlxa"})
	require.NoError(t, controller.Close())
	require.NoError(t, order.Cgroup.Kill(soon(t)))

	adopted := adopt(t, h.Again(t), controller.Ref())
	report := next(t, adopted)
	assert.Equal(t, ports.ReportExited, report.Kind)
	assert.Equal(t, sigKILL, report.Exit&0x7f, "with its real reason")
	require.NoError(t, adopted.Acknowledge(report.Number))
	hungUp(t, adopted)
}

// controllerRepeats: a daemon that received a report may die before it has acted on it.
// What it did not acknowledge is told again, with the same number, so that nobody takes
// it for a second end.
func controllerRepeats(t *testing.T, h ControllersHarness) {
	controller, order, _ := start(t, h, Wanted{Name: "vlxa"})
	first := killed(t, controller, order)
	require.NoError(t, controller.Close()) // without Acknowledge
	adopted := adopt(t, h.Again(t), controller.Ref())
	second := next(t, adopted)
	assert.Equal(t, first.Number, second.Number)
	assert.Equal(t, first.Exit, second.Exit)
	require.NoError(t, adopted.Acknowledge(second.Number))
	hungUp(t, adopted)
}

// controllerAdoptsGone: numbers of processes come back. A reference with another start
// time is of another process, even if a controller answers there; one that was killed
// has left a socket at which nobody listens. Both are NotFound, by which the driver
// goes on to look for what is left of the container.
func controllerAdoptsGone(t *testing.T, h ControllersHarness) {
	needHook(t, h.Kill != nil, "Kill")
	controller, _, _ := start(t, h, Wanted{Name: "vlxa"})
	other := controller.Ref()
	other.Start++
	_, err := h.Again(t).Adopt(soon(t), other)
	assert.ErrorIs(t, err, fault.NotFound, "another process of that number")
	h.Kill(t, controller.Ref())
	_, err = h.Again(t).Adopt(soon(t), controller.Ref())
	assert.ErrorIs(t, err, fault.NotFound)
}

// controllerDies: init has lost its parent and nothing else. A controller that asks the
// kernel to kill init with it (PR_SET_PDEATHSIG of prctl(2)), or is process 1 of the
// namespace itself, would be found here. The connection says so by the end of reports,
// and calls fail instead of hanging.
func controllerDies(t *testing.T, h ControllersHarness) {
	needHook(t, h.Kill != nil, "Kill")
	controller, order, _ := start(t, h, Wanted{Name: "vlxa"})
	h.Kill(t, controller.Ref())
	hungUp(t, controller)
	assert.True(t, alive(t, order))
	_, err := controller.Reclaim(soon(t), order.Identity.UUID)
	assert.Error(t, err)
}

// controllerRestores: another process takes over by the descriptors that were reclaimed
// in time. It is not init's parent, so the exit status may be unknown, but the end must
// be reported all the same.
func controllerRestores(t *testing.T, h ControllersHarness) {
	needHook(t, h.Kill != nil, "Kill")
	controller, order, _ := start(t, h, Wanted{Name: "vlxa"})
	held, err := controller.Reclaim(soon(t), order.Identity.UUID)
	require.NoError(t, err)
	t.Cleanup(func() { closeHeld(held) })
	h.Kill(t, controller.Ref())
	hungUp(t, controller)

	fresh := launch(t, h, order)
	require.NoError(t, fresh.Restore(soon(t), order, held))
	again, err := fresh.Reclaim(soon(t), order.Identity.UUID)
	require.NoError(t, err)
	t.Cleanup(func() { closeHeld(again) })
	assert.Equal(t, held.PID, again.PID)
	report := killed(t, fresh, order)
	if report.Exit != 0 { // an older kernel does not tell
		assert.Equal(t, sigKILL, report.Exit&0x7f)
	}
	require.NoError(t, fresh.Acknowledge(report.Number))
	hungUp(t, fresh)
}
