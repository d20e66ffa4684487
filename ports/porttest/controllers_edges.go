package porttest

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// controllerEdges are the checks of what is rare: words said twice, ends that
// cross, controllers that nobody knows.
var controllerEdges = []check[ControllersHarness]{
	{"leaves the files of an order alone", controllerFiles},
	{"lets go on once or twice", controllerProceedsTwice},
	{"refuses what it holds", controllerHoldsAlready},
	{"abandons what runs without a report", controllerAbandonsRunning},
	{"one acknowledgement is for all before", controllerAcknowledgesAll},
	{"repeats only what was not acknowledged", controllerRepeatsRest},
	{"numbers reports without end", controllerNumbers},
	{"ends when nothing was begun and the daemon is gone", controllerUnused},
	{"an ended context begins nothing", controllerEnded},
	{"sweeps controllers that hold nothing", controllerSweeps},
}

// controllerFiles: what an order carries is its maker's, whether or not the start
// succeeds.
func controllerFiles(t *testing.T, h ControllersHarness) {
	for _, init := range []InitKind{Sleeps, Absent} {
		order := h.Order(t, Wanted{Name: "vlxa", Init: init})
		reader, writer, err := os.Pipe()
		require.NoError(t, err)
		order.Files = []*os.File{reader, writer}
		controller := launch(t, h, order)
		begin(t, controller, order)
		err = controller.Proceed(soon(t), order.Identity.UUID)
		assert.Equal(t, init == Absent, err != nil)
		for _, file := range slices.Concat(order.Files, order.HostTerminals) {
			_, err := file.Stat()
			assert.NoError(t, err, "it was closed")
		}
		require.NoError(t, reader.Close())
		require.NoError(t, writer.Close())
		require.NoError(t, controller.Abandon(soon(t), order.Identity.UUID))
	}
}

// controllerProceedsTwice: a daemon that does not know whether its predecessor said
// so says it again.
func controllerProceedsTwice(t *testing.T, h ControllersHarness) {
	controller, order, held := start(t, h, Wanted{Name: "vlxa"})
	require.NoError(t, controller.Proceed(soon(t), order.Identity.UUID))
	again, err := controller.Reclaim(soon(t), order.Identity.UUID)
	require.NoError(t, err)
	t.Cleanup(func() { closeHeld(again) })
	assert.Equal(t, held.PID, again.PID, "it is the same init")
	killed(t, controller, order)
}

func controllerHoldsAlready(t *testing.T, h ControllersHarness) {
	controller, order, held := start(t, h, Wanted{Name: "vlxa"})
	second, err := controller.Begin(soon(t), order)
	assert.Error(t, err)
	assert.Zero(t, second.PID)
	assert.True(t, alive(t, order))
	again, err := controller.Reclaim(soon(t), order.Identity.UUID)
	require.NoError(t, err)
	t.Cleanup(func() { closeHeld(again) })
	assert.Equal(t, held.PID, again.PID, "the first is unharmed")
}

// controllerAbandonsRunning: whoever abandons knows of the end already.
func controllerAbandonsRunning(t *testing.T, h ControllersHarness) {
	controller, order, _ := start(t, h, Wanted{Name: "vlxa"})
	other := h.Order(t, Wanted{Name: "vlxb"})
	begin(t, controller, other) // keeps the controller
	require.NoError(t, controller.Abandon(soon(t), order.Identity.UUID))
	require.NoError(t, order.Cgroup.Remove(soon(t)), "nothing lives in the group")
	_, err := controller.Reclaim(soon(t), order.Identity.UUID)
	assert.ErrorIs(t, err, fault.NotFound)
	select {
	case report, open := <-controller.Reports():
		require.True(t, open, "the controller ended with another container in its hands")
		assert.Fail(t, "it was reported", "%+v", report)
	case <-time.After(moment):
	}
}

// twoKilled starts two containers in one controller and kills both.
func twoKilled(t *testing.T, h ControllersHarness) (ports.Controller, [2]ports.Report) {
	t.Helper()
	controller, first, _ := start(t, h, Wanted{Name: "vlxa"})
	second := h.Order(t, Wanted{Name: "vlxb"})
	begin(t, controller, second)
	require.NoError(t, controller.Proceed(soon(t), second.Identity.UUID))
	return controller, [2]ports.Report{killed(t, controller, first), killed(t, controller, second)}
}

func controllerAcknowledgesAll(t *testing.T, h ControllersHarness) {
	controller, reports := twoKilled(t, h)
	assert.Greater(t, reports[1].Number, reports[0].Number)
	require.NoError(t, controller.Acknowledge(reports[1].Number))
	hungUp(t, controller)
	_, err := h.Again(t).Adopt(soon(t), controller.Ref())
	assert.ErrorIs(t, err, fault.NotFound)
}

func controllerRepeatsRest(t *testing.T, h ControllersHarness) {
	controller, reports := twoKilled(t, h)
	require.NoError(t, controller.Acknowledge(reports[0].Number))
	require.NoError(t, controller.Acknowledge(reports[0].Number), "twice is harmless")
	require.NoError(t, controller.Close())
	adopted := adopt(t, h.Again(t), controller.Ref())
	again := next(t, adopted)
	assert.Equal(t, reports[1].Number, again.Number)
	assert.Equal(t, reports[1].Container, again.Container)
	require.NoError(t, adopted.Acknowledge(again.Number))
	hungUp(t, adopted)
}

// controllerNumbers: a number never comes back, so that an acknowledgement that
// comes late takes nothing else along.
func controllerNumbers(t *testing.T, h ControllersHarness) {
	controller, first, _ := start(t, h, Wanted{Name: "vlxa"})
	keeper := h.Order(t, Wanted{Name: "vlxkeep"})
	begin(t, controller, keeper)
	require.NoError(t, controller.Proceed(soon(t), keeper.Identity.UUID))
	report := killed(t, controller, first)
	require.NoError(t, controller.Acknowledge(report.Number))
	later := killed(t, controller, keeper)
	assert.Greater(t, later.Number, report.Number)
	require.NoError(t, controller.Acknowledge(report.Number), "late, and of no effect")
	require.NoError(t, controller.Close())
	adopted := adopt(t, h.Again(t), controller.Ref())
	assert.Equal(t, later.Number, next(t, adopted).Number)
	require.NoError(t, adopted.Acknowledge(later.Number))
}

func controllerUnused(t *testing.T, h ControllersHarness) {
	order := h.Order(t, Wanted{Name: "vlxa"})
	controller := launch(t, h, order)
	require.NoError(t, controller.Abandon(soon(t), order.Identity.UUID), "it answers")
	require.NoError(t, controller.Close())
	hungUp(t, controller)
	_, err := controller.Begin(soon(t), order)
	assert.Error(t, err, "nobody listens any more")
}

func controllerEnded(t *testing.T, h ControllersHarness) {
	order := h.Order(t, Wanted{Name: "vlxa"})
	controller := launch(t, h, order)
	held, err := controller.Begin(over(), order)
	t.Cleanup(func() { closeHeld(held) })
	if refused(t, err) {
		assert.Zero(t, held.PID)
	}
	require.NoError(t, controller.Abandon(soon(t), order.Identity.UUID))
	require.NoError(t, order.Cgroup.Remove(soon(t)), "nothing lives in the group")
}

// controllerSweeps: one has ended and nobody was told, one holds a container, one is
// known to the daemon.
func controllerSweeps(t *testing.T, h ControllersHarness) {
	forgotten, over, _ := start(t, h, Wanted{Name: "vlxa"})
	holding, order, _ := start(t, h, Wanted{Name: "vlxb"})
	known, gone, _ := start(t, h, Wanted{Name: "vlxc"})
	killed(t, forgotten, over)
	killed(t, known, gone)
	for _, controller := range []ports.Controller{forgotten, holding, known} {
		require.NoError(t, controller.Close())
	}
	daemon := h.Again(t)
	sweeper, ok := daemon.(ports.ControllerSweeper)
	if !ok {
		t.Skip("it does not sweep, or its harness hides it")
	}
	mine := func(socket string) bool { return socket == known.Ref().Socket }
	ended, err := sweeper.Sweep(soon(t), mine)
	require.NoError(t, err)
	assert.Equal(t, []string{forgotten.Ref().Socket}, ended)
	assert.True(t, alive(t, order), "what is held is left alone")
	_, err = daemon.Adopt(soon(t), forgotten.Ref())
	assert.ErrorIs(t, err, fault.NotFound)
	report := next(t, adopt(t, daemon, known.Ref()))
	assert.Equal(t, ports.ReportExited, report.Kind, "its report was not taken")
	ended, err = sweeper.Sweep(soon(t), mine)
	require.NoError(t, err)
	assert.Empty(t, ended, "swept once")
	killed(t, adopt(t, daemon, holding.Ref()), order)
}
