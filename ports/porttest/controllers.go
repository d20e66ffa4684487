package porttest

import (
	"io"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/container"
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
	run(t, prepared, slices.Concat(controllerEdges, []check[ControllersHarness]{
		{"starts and reports the end", controllerStarts},
		{"waits for Proceed", controllerWaits},
		{"reports the exit status", controllerExitStatus},
		{"tells which operation of Prepare failed", controllerPrepareFails},
		{"tells which operation of Enter failed", controllerEnterFails},
		{"tells that init is missing", controllerInitMissing},
		{"abandons what was begun", controllerAbandons},
		{"abandons starts when the daemon is gone", controllerDeserted},
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
	}))
}

// launch starts a controller. Its process ends when it holds nothing, or with the harness.
func launch(t *testing.T, h ControllersHarness, order ports.Order) ports.Controller {
	t.Helper()
	controller, err := h.Controllers.Launch(soon(t), order.Identity)
	require.NoError(t, err)
	t.Cleanup(func() { controller.Close() })
	assert.Positive(t, controller.Ref().PID)
	return controller
}

// adopt connects as a daemon that was started anew.
func adopt(t *testing.T, from ports.Controllers, ref container.Controller) ports.Controller {
	t.Helper()
	controller, err := from.Adopt(soon(t), ref)
	require.NoError(t, err)
	t.Cleanup(func() { controller.Close() })
	return controller
}

// closeHeld closes what was received.
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

// begin makes the first process, which waits for Proceed.
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

// alive asks the control group, not the controller.
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
