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
// succeeds. A client's files are its connection's to close, and the undo of a start
// that failed closes terminals: if the port closed them too, another descriptor that
// has got the number by then would be hit. Both a start that succeeds and one that
// fails are looked at, as they end on different ways.
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

// controllerProceedsTwice: a daemon that does not know whether its predecessor said so
// says it again. It must not execute init again, nor fail: either would end a container
// that runs well.
func controllerProceedsTwice(t *testing.T, h ControllersHarness) {
	controller, order, held := start(t, h, Wanted{Name: "vlxa"})
	require.NoError(t, controller.Proceed(soon(t), order.Identity.UUID))
	again, err := controller.Reclaim(soon(t), order.Identity.UUID)
	require.NoError(t, err)
	t.Cleanup(func() { closeHeld(again) })
	assert.Equal(t, held.PID, again.PID, "it is the same init")
	killed(t, controller, order)
}

// controllerHoldsAlready: two jobs for one container do not happen, but a daemon that
// lost a reply may ask again. Nothing that is refused may hurt what runs.
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

// controllerAbandonsRunning: whoever abandons knows of the end already. A report would
// be taken for the end of the next container of that uuid. Another container is held
// meanwhile, since a controller that holds nothing ends, and its channel with it.
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

// twoKilled starts two containers in one controller and kills both. Neither report is
// acknowledged. They come in the order of the ends, as each is taken before the next
// kill.
func twoKilled(t *testing.T, h ControllersHarness) (ports.Controller, [2]ports.Report) {
	t.Helper()
	controller, first, _ := start(t, h, Wanted{Name: "vlxa"})
	second := h.Order(t, Wanted{Name: "vlxb"})
	begin(t, controller, second)
	require.NoError(t, controller.Proceed(soon(t), second.Identity.UUID))
	return controller, [2]ports.Report{killed(t, controller, first), killed(t, controller, second)}
}

// controllerAcknowledgesAll: a daemon that has dealt with several reports acknowledges
// the last. A controller that drops only this one would never end. That it ends shows
// in the end of its reports, and in that nobody can adopt it.
func controllerAcknowledgesAll(t *testing.T, h ControllersHarness) {
	controller, reports := twoKilled(t, h)
	assert.Greater(t, reports[1].Number, reports[0].Number)
	require.NoError(t, controller.Acknowledge(reports[1].Number))
	hungUp(t, controller)
	_, err := h.Again(t).Adopt(soon(t), controller.Ref())
	assert.ErrorIs(t, err, fault.NotFound)
}

// controllerRepeatsRest: the next daemon must hear of what the last one left and of
// nothing else. A report that comes again would stop a container that was started anew
// meanwhile. An acknowledgement may come twice, as a daemon may not know whether the
// first arrived.
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

// controllerNumbers: a number never comes back, so that an acknowledgement that comes
// late takes nothing else along. A controller that counts from 1 again when its list is
// empty would lose the later report here, and the daemon would believe that the
// container still runs.
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

// controllerUnused: a daemon that dies between Launch and Begin leaves a process that
// nothing leads to. It ends by itself when the connection is cut.
func controllerUnused(t *testing.T, h ControllersHarness) {
	order := h.Order(t, Wanted{Name: "vlxa"})
	controller := launch(t, h, order)
	require.NoError(t, controller.Abandon(soon(t), order.Identity.UUID), "it answers")
	require.NoError(t, controller.Close())
	hungUp(t, controller)
	_, err := controller.Begin(soon(t), order)
	assert.Error(t, err, "nobody listens any more")
}

// controllerEnded: a Begin that was given up may have got to the controller all the
// same. What Abandon promises then is that nothing is left in the group, which Remove
// shows: it waits for a process, and would fail for it.
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
// known to the daemon. The first has an end to report that nobody will ask for, since
// no status leads to its socket: it is ended. Its report does not keep it, unlike that
// of the third, which the daemon is about to adopt.
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
