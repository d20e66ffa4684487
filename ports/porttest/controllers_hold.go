package porttest

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

func controllerNetwork(t *testing.T, h ControllersHarness) {
	need(t, h.Missing, "network")
	_, _, held := start(t, h, Wanted{Name: "vlxa", Network: true})
	require.NotNil(t, held.Network)
	_, err := held.Network.Stat()
	assert.NoError(t, err)
}

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

func controllerDies(t *testing.T, h ControllersHarness) {
	needHook(t, h.Kill != nil, "Kill")
	controller, order, _ := start(t, h, Wanted{Name: "vlxa"})
	h.Kill(t, controller.Ref())
	hungUp(t, controller)
	assert.True(t, alive(t, order))
	_, err := controller.Reclaim(soon(t), order.Identity.UUID)
	assert.Error(t, err)
}

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
