package porttest

import (
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/launch/step"
	"virtlxcd/ports"
)

// InitKind is what the init of an order does.
type InitKind uint8

// The kinds of init that a harness makes orders for.
const (
	Sleeps  InitKind = iota // runs until it is killed and catches nothing
	Exits3                  // ends at once with status 3
	Absent                  // the path of Exec does not exist
	Speaks                  // writes "hello\n" to its terminal, then repeats lines
	Reboots                 // asks for a reboot when the line "reboot" comes from its terminal
)

// Wanted is the order that a check needs.
type Wanted struct {
	Name      string // unique within the check, starts with "vlx"
	Init      InitKind
	Network   bool // with a network namespace of its own
	WaitLinks bool
}

// ControllersHarness is a host on which containers can be started. Features
// that Missing may name: "controllers", "network", "console", "reboot".
type ControllersHarness struct {
	Controllers ports.Controllers
	// Again returns the port of a restarted daemon on the same host.
	Again func(t *testing.T) ports.Controllers
	// Order makes an order with a fresh cgroup, one host terminal and one guest
	// terminal. What it holds is closed, killed and removed by the harness.
	Order func(t *testing.T, wanted Wanted) ports.Order
	// Kill ends a controller process with SIGKILL, and returns when it is dead.
	Kill func(t *testing.T, ref container.Controller)
	// Console opens the host terminal of an order as a client would.
	Console func(t *testing.T, order ports.Order) io.ReadWriteCloser

	Missing []string
}

// TestControllers checks a Controllers and the processes it makes.
func TestControllers(t *testing.T, build func(t *testing.T) ControllersHarness) {
	prepared := func(t *testing.T) ControllersHarness {
		h := build(t)
		need(t, h.Missing, "controllers")
		return h
	}
	run(t, prepared, []check[ControllersHarness]{
		{"starts and reports the end", controllerStarts},
		{"waits for Proceed", controllerWaits},
		{"reports the exit status", controllerExitStatus},
		{"tells which operation of Prepare failed", controllerPrepareFails},
		{"tells which operation of Enter failed", controllerEnterFails},
		{"tells that init is missing", controllerInitMissing},
		{"abandons what was begun", controllerAbandons},
		{"does not know the unknown", controllerUnknown},
		{"hands out the network namespace", controllerNetwork},
		{"reclaims", controllerReclaims},
		{"holds several", controllerSeveral},
		{"outlives the daemon", controllerOutlives},
		{"keeps reports for the next daemon", controllerKeepsReports},
		{"repeats what was not acknowledged", controllerRepeats},
		{"adopts only what lives", controllerAdoptsGone},
		{"its death leaves init alone", controllerDies},
		{"restores after the death of another", controllerRestores},
		{"serves the console", controllerConsole},
		{"restarts init", controllerRestarts},
		{"restarts init with new links", controllerRestartsWithLinks},
	})
}

func launch(t *testing.T, h ControllersHarness, order ports.Order) ports.Controller {
	t.Helper()
	controller, err := h.Controllers.Launch(soon(t), order.Identity)
	require.NoError(t, err)
	t.Cleanup(func() { controller.Close() })
	assert.Positive(t, controller.Ref().PID)
	return controller
}

func adopt(t *testing.T, from ports.Controllers, ref container.Controller) ports.Controller {
	t.Helper()
	controller, err := from.Adopt(soon(t), ref)
	require.NoError(t, err)
	t.Cleanup(func() { controller.Close() })
	return controller
}

func closeHeld(held ports.Held) {
	lone := []interface{ Close() error }{}
	for _, file := range append(append(held.Terminals, held.Hosts...), held.Process, held.Network, held.Plan) {
		if file != nil {
			lone = append(lone, file)
		}
	}
	for _, file := range lone {
		_ = file.Close() // a check may have closed it
	}
}

func begin(t *testing.T, controller ports.Controller, order ports.Order) ports.Held {
	t.Helper()
	held, err := controller.Begin(soon(t), order)
	require.NoError(t, err)
	t.Cleanup(func() { closeHeld(held) })
	return held
}

// start launches, begins and proceeds.
func start(t *testing.T, h ControllersHarness, wanted Wanted) (ports.Controller, ports.Order, ports.Held) {
	t.Helper()
	order := h.Order(t, wanted)
	controller := launch(t, h, order)
	held := begin(t, controller, order)
	require.NoError(t, controller.Proceed(soon(t), order.Identity.UUID))
	return controller, order, held
}

// next waits for a report.
func next(t *testing.T, controller ports.Controller) ports.Report {
	t.Helper()
	select {
	case report, open := <-controller.Reports():
		require.True(t, open, "the controller is gone")
		t.Cleanup(func() { closeHeld(report.Held) })
		return report
	case <-time.After(patience):
		require.Fail(t, "no report came")
	}
	return ports.Report{}
}

// hungUp waits for the end of reports.
func hungUp(t *testing.T, controller ports.Controller) {
	t.Helper()
	for {
		select {
		case report, open := <-controller.Reports():
			if !open {
				return
			}
			closeHeld(report.Held)
		case <-time.After(patience):
			require.Fail(t, "reports do not end")
		}
	}
}

func alive(t *testing.T, order ports.Order) bool {
	t.Helper()
	return used(t, order.Cgroup).Populated
}

// killed kills the container, as destroy does, and takes the report.
func killed(t *testing.T, controller ports.Controller, order ports.Order) ports.Report {
	t.Helper()
	require.NoError(t, order.Cgroup.Kill(soon(t)))
	report := next(t, controller)
	assert.Equal(t, ports.ReportExited, report.Kind)
	assert.Equal(t, order.Identity.UUID, report.Container)
	return report
}

func controllerStarts(t *testing.T, h ControllersHarness) {
	controller, order, held := start(t, h, Wanted{Name: "vlxa"})
	assert.Positive(t, held.PID)
	assert.NotZero(t, held.Start)
	assert.NotNil(t, held.Process)
	assert.Nil(t, held.Network, "the host's network")
	assert.Len(t, held.Terminals, 1)
	assert.True(t, alive(t, order), "init is born in its cgroup")

	report := killed(t, controller, order)
	assert.NotZero(t, report.Number)
	assert.Equal(t, sigKILL, report.Exit&0x7f, "the wait status")
	assert.False(t, alive(t, order))

	require.NoError(t, controller.Acknowledge(report.Number))
	hungUp(t, controller) // it holds nothing, so it ends
	_, err := h.Again(t).Adopt(soon(t), controller.Ref())
	assert.ErrorIs(t, err, fault.NotFound)
}

func controllerWaits(t *testing.T, h ControllersHarness) {
	order := h.Order(t, Wanted{Name: "vlxa", Init: Exits3})
	controller := launch(t, h, order)
	begin(t, controller, order)
	select {
	case <-controller.Reports():
		require.Fail(t, "init ran before Proceed")
	case <-time.After(moment):
	}
	assert.True(t, alive(t, order))
	require.NoError(t, controller.Proceed(soon(t), order.Identity.UUID))
	assert.Equal(t, ports.ReportExited, next(t, controller).Kind)
}

func controllerExitStatus(t *testing.T, h ControllersHarness) {
	controller, order, _ := start(t, h, Wanted{Name: "vlxa", Init: Exits3})
	report := next(t, controller)
	assert.Equal(t, ports.ReportExited, report.Kind)
	assert.Equal(t, order.Identity.UUID, report.Container)
	assert.Equal(t, 3<<8, report.Exit)
}

// failed checks the error of a step and that nothing is left.
func failed(t *testing.T, controller ports.Controller, order ports.Order, err error) *ports.StepError {
	t.Helper()
	var failure *ports.StepError
	require.ErrorAs(t, err, &failure)
	assert.ErrorIs(t, err, syscall.ENOENT)
	assert.Equal(t, int(syscall.ENOENT), failure.Errno)
	assert.False(t, failure.Interpreter)
	require.NoError(t, order.Cgroup.Remove(soon(t)), "nothing lives in the group")
	_, err = controller.Reclaim(soon(t), order.Identity.UUID)
	assert.ErrorIs(t, err, fault.NotFound)
	return failure
}

func controllerPrepareFails(t *testing.T, h ControllersHarness) {
	order := h.Order(t, Wanted{Name: "vlxa"})
	order.Prepare = append(order.Prepare, step.Op{Code: step.OpenTree, Path: "/vlx/no/such/tree", Slot: order.Slots})
	order.Slots++
	controller := launch(t, h, order)
	_, err := controller.Begin(soon(t), order)
	failure := failed(t, controller, order, err)
	assert.False(t, failure.Entered)
	assert.Equal(t, len(order.Prepare)-1, failure.Index)
}

func controllerEnterFails(t *testing.T, h ControllersHarness) {
	order := h.Order(t, Wanted{Name: "vlxa"})
	at := len(order.Enter) - 1
	enter := append(step.List(nil), order.Enter[:at]...)
	order.Enter = append(enter, step.Op{Code: step.Directory, Path: "/vlx/no/such/directory"}, order.Enter[at])
	controller := launch(t, h, order)
	begin(t, controller, order)
	failure := failed(t, controller, order, controller.Proceed(soon(t), order.Identity.UUID))
	assert.True(t, failure.Entered)
	assert.Equal(t, at, failure.Index)
}

func controllerInitMissing(t *testing.T, h ControllersHarness) {
	order := h.Order(t, Wanted{Name: "vlxa", Init: Absent})
	controller := launch(t, h, order)
	begin(t, controller, order)
	failure := failed(t, controller, order, controller.Proceed(soon(t), order.Identity.UUID))
	assert.True(t, failure.Entered)
	require.Less(t, failure.Index, len(order.Enter))
	assert.Equal(t, step.Exec, order.Enter[failure.Index].Code)
}

func controllerAbandons(t *testing.T, h ControllersHarness) {
	order := h.Order(t, Wanted{Name: "vlxa"})
	controller := launch(t, h, order)
	begin(t, controller, order)
	require.NoError(t, controller.Abandon(soon(t), order.Identity.UUID))
	require.NoError(t, controller.Abandon(soon(t), order.Identity.UUID))
	require.NoError(t, order.Cgroup.Remove(soon(t)), "nothing lives in the group")
}

func controllerUnknown(t *testing.T, h ControllersHarness) {
	controller, _, _ := start(t, h, Wanted{Name: "vlxa"})
	stranger := container.UUID{0xde, 0xad}
	_, err := controller.Reclaim(soon(t), stranger)
	assert.ErrorIs(t, err, fault.NotFound)
	assert.NoError(t, controller.Abandon(soon(t), stranger))
	assert.Error(t, controller.Proceed(soon(t), stranger))
}

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

func controllerConsole(t *testing.T, h ControllersHarness) {
	need(t, h.Missing, "console")
	needHook(t, h.Console != nil, "Console")
	_, order, _ := start(t, h, Wanted{Name: "vlxa", Init: Speaks})
	console := h.Console(t, order)
	t.Cleanup(func() { console.Close() })
	await(t, console, "hello")
	send(t, console, "over to you\n")
	await(t, console, "over to you")
}

// await reads until the text has come. What a terminal adds is skipped.
func await(t *testing.T, from io.Reader, text string) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- readUntil(from, text) }()
	select {
	case err := <-done:
		require.NoError(t, err)
	case <-time.After(patience):
		require.Fail(t, "nothing to read", "wanted %q", text)
	}
}

func readUntil(from io.Reader, text string) error {
	matched := 0
	for one := make([]byte, 1); matched < len(text); {
		if _, err := io.ReadFull(from, one); err != nil {
			return err
		}
		switch one[0] {
		case text[matched]:
			matched++
		case text[0]:
			matched = 1
		default:
			matched = 0
		}
	}
	return nil
}

// reboot makes init ask for a reboot and takes the report.
func reboot(t *testing.T, h ControllersHarness, controller ports.Controller, order ports.Order) ports.Report {
	t.Helper()
	console := h.Console(t, order)
	t.Cleanup(func() { console.Close() })
	send(t, console, "reboot\n")
	report := next(t, controller)
	assert.Equal(t, order.Identity.UUID, report.Container)
	return report
}

func controllerRestarts(t *testing.T, h ControllersHarness) {
	need(t, h.Missing, "reboot")
	needHook(t, h.Console != nil, "Console")
	controller, order, held := start(t, h, Wanted{Name: "vlxa", Init: Reboots})
	report := reboot(t, h, controller, order)
	require.Equal(t, ports.ReportRestarted, report.Kind)
	assert.NotEqual(t, held.PID, report.Held.PID)
	assert.NotNil(t, report.Held.Process)
	assert.Len(t, report.Held.Terminals, 1)
	assert.True(t, alive(t, order), "in the same cgroup")
	require.NoError(t, controller.Acknowledge(report.Number))

	again, err := controller.Reclaim(soon(t), order.Identity.UUID)
	require.NoError(t, err)
	t.Cleanup(func() { closeHeld(again) })
	assert.Equal(t, report.Held.PID, again.PID)
}

func controllerRestartsWithLinks(t *testing.T, h ControllersHarness) {
	need(t, h.Missing, "reboot")
	need(t, h.Missing, "network")
	needHook(t, h.Console != nil, "Console")
	controller, order, held := start(t, h, Wanted{Name: "vlxa", Init: Reboots, Network: true, WaitLinks: true})
	report := reboot(t, h, controller, order)
	require.Equal(t, ports.ReportRestartNeedsLinks, report.Kind)
	again, err := controller.Reclaim(soon(t), order.Identity.UUID)
	require.NoError(t, err)
	t.Cleanup(func() { closeHeld(again) })
	assert.NotEqual(t, held.PID, again.PID)
	assert.NotNil(t, again.Network)
	require.NoError(t, controller.Proceed(soon(t), order.Identity.UUID))
	require.NoError(t, controller.Acknowledge(report.Number))
	assert.True(t, alive(t, order))
}
