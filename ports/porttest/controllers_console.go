package porttest

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/ports"
)

// controllerConsole: bytes go both ways between the host terminal and the guest's,
// through the controller. What was written before a client came must be there still:
// init says hello at once, and the console is opened after that.
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

// await reads until the text has come. What a terminal adds is skipped. The guest's
// terminal is one as a login shell has it: it echoes what is typed and makes "\r\n" of
// the end of a line (termios(3)), so the text need not come alone. A terminal cannot be
// waited for with a context, so reading is given up and left to the closing of the
// stream.
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

// readUntil compares byte by byte and reads none beyond the text, as the next call goes
// on from there. A text whose beginning comes back inside it might be missed: none of
// the suite's is such.
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

// reboot makes init ask for a reboot and takes the report. It is the program that asks,
// by a line that is typed: reboot(2) in a PID namespace ends init, and its parent sees
// the signal SIGHUP (pid_namespaces(7)).
func reboot(t *testing.T, h ControllersHarness, controller ports.Controller, order ports.Order) ports.Report {
	t.Helper()
	console := h.Console(t, order)
	t.Cleanup(func() { console.Close() })
	send(t, console, "reboot\n")
	report := next(t, controller)
	assert.Equal(t, order.Identity.UUID, report.Container)
	return report
}

// controllerRestarts: a reboot is no end. The controller starts another init by the
// same plan in the same cgroup, and reports it with descriptors of the new one, as
// those of the last are of a dead process. What is reclaimed afterwards is the new
// init's, too.
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

// controllerRestartsWithLinks: the network namespace dies with the last init and the
// links with it. So the controller must not let the new init run without them: it
// reports, waits, and goes on when the daemon says so, which has then made new links in
// the namespace that was reclaimed.
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
