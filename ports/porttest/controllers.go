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

// The kinds of init that a harness makes orders for. A harness gives each a program of
// its own (or a path at which there is none). They are all small and need nothing but
// what is in the plan.
const (
	Sleeps  InitKind = iota // runs until it is killed and catches nothing
	Exits3                  // ends at once with status 3
	Absent                  // the path of Exec does not exist
	Speaks                  // writes "hello\n" to its terminal, then repeats lines
	Reboots                 // asks for a reboot when the line "reboot" comes from its terminal
)

// Wanted is the order that a check needs. The zero Init is one that sleeps, so that
// most checks only give a name.
type Wanted struct {
	Name    string // unique within the check, starts with "vlx"
	Init    InitKind
	Network bool // with a network namespace of its own
	// A restart inside stops before the last steps, so that the daemon can make links
	// in the new namespace.
	WaitLinks bool
}

// ControllersHarness is a host on which containers can be started. Features that
// Missing may name: "controllers", "network", "console", "reboot". "controllers" is
// missing where no process with namespaces can be made, which skips the suite.
type ControllersHarness struct {
	Controllers ports.Controllers
	// Again returns the port of a restarted daemon on the same host. It shares nothing
	// in memory with the first one: what it finds it finds on the host.
	Again func(t *testing.T) ports.Controllers
	// Order makes an order with a fresh cgroup, one host terminal and one guest
	// terminal. What it holds is closed, killed and removed by the harness. The order's
	// Enter ends with Exec, and what is below /vlx does not exist in it: checks put
	// failing operations before the last.
	Order func(t *testing.T, wanted Wanted) ports.Order
	// Kill ends a controller process with SIGKILL, and returns when it is dead.
	Kill func(t *testing.T, ref container.Controller)
	// Console opens the host terminal of an order as a client would. The caller closes
	// it. May be nil.
	Console func(t *testing.T, order ports.Order) io.ReadWriteCloser

	Missing []string
}

// TestControllers checks a Controllers and the processes it makes. A host that cannot
// make such processes at all skips every check by one feature.
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

// launch starts a controller. Its process ends when it holds nothing, or with the
// harness. Closing twice is harmless, so checks may close it themselves.
func launch(t *testing.T, h ControllersHarness, order ports.Order) ports.Controller {
	t.Helper()
	controller, err := h.Controllers.Launch(soon(t), order.Identity)
	require.NoError(t, err)
	t.Cleanup(func() { controller.Close() })
	assert.Positive(t, controller.Ref().PID)
	return controller
}

// adopt connects as a daemon that was started anew. It comes from a port of Again in
// most checks: the connection of the last daemon is closed or cut by then.
func adopt(t *testing.T, from ports.Controllers, ref container.Controller) ports.Controller {
	t.Helper()
	controller, err := from.Adopt(soon(t), ref)
	require.NoError(t, err)
	t.Cleanup(func() { controller.Close() })
	return controller
}

// closeHeld closes what was received. Terminals is not to be used afterwards, as append
// may write behind it.
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

// begin makes the first process, which waits for Proceed. What is held is closed with
// the check, before the connection is.
func begin(t *testing.T, controller ports.Controller, order ports.Order) ports.Held {
	t.Helper()
	held, err := controller.Begin(soon(t), order)
	require.NoError(t, err)
	t.Cleanup(func() { closeHeld(held) })
	return held
}

// start launches, begins and proceeds. When it returns init has been executed: that is
// the promise of Proceed.
func start(t *testing.T, h ControllersHarness, wanted Wanted) (ports.Controller, ports.Order, ports.Held) {
	t.Helper()
	order := h.Order(t, wanted)
	controller := launch(t, h, order)
	held := begin(t, controller, order)
	require.NoError(t, controller.Proceed(soon(t), order.Identity.UUID))
	return controller, order, held
}

// next waits for a report. Its descriptors are closed with the check.
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

// hungUp waits for the end of reports. Reports that come before are taken and dropped:
// a check that minds them takes them with next. The channel must be closed and not
// merely silent, since the driver waits for that.
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

// alive asks the control group, not the controller. A controller that believes in a
// container that is long dead would say yes.
func alive(t *testing.T, order ports.Order) bool {
	t.Helper()
	return used(t, order.Cgroup).Populated
}

// killed kills the container, as destroy does, and takes the report. The kill does not
// go through the controller, so the report shows that it watches init by itself.
func killed(t *testing.T, controller ports.Controller, order ports.Order) ports.Report {
	t.Helper()
	require.NoError(t, order.Cgroup.Kill(soon(t)))
	report := next(t, controller)
	assert.Equal(t, ports.ReportExited, report.Kind)
	assert.Equal(t, order.Identity.UUID, report.Container)
	return report
}
