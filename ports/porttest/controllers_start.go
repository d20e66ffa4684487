package porttest

import (
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

// controllerStarts: the usual life from Launch to the end. The wait status of the kill
// is seen by whoever is the parent; the number is needed to acknowledge, so 0 would be
// none. With nothing left to hold or to report the process ends by itself, and cannot
// be adopted any more.
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

// controllerWaits: between Begin and Proceed the daemon makes links. The init is one
// that ends at once, so a controller that does not wait has something to report within
// a moment.
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

// controllerExitStatus: the status is as wait(2) gives it, so 3 comes as 3<<8. A port
// that passes the exit code on would make an end by signal 3 of it.
func controllerExitStatus(t *testing.T, h ControllersHarness) {
	controller, order, _ := start(t, h, Wanted{Name: "vlxa", Init: Exits3})
	report := next(t, controller)
	assert.Equal(t, ports.ReportExited, report.Kind)
	assert.Equal(t, order.Identity.UUID, report.Container)
	assert.Equal(t, 3<<8, report.Exit)
}

// failed checks the error of a step and that nothing is left. The errno is found in two
// ways, as a number for the message and by errors.Is for code that asks. What is left
// would be a process in the group or a container that can be reclaimed.
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

// controllerPrepareFails: the last operation of the first list looks for a tree that is
// not there. It has a slot of its own, so nothing but the path is wrong with it.
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

// controllerEnterFails: the operation is put before Exec, in the middle of the second
// list. It fails in the child, after Proceed, so its index has to come back from there.
// A port that counts from the first list, or says only that init failed, names the
// wrong one to the user.
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

// controllerInitMissing: the most frequent mistake in a definition. It must be told as
// that of Exec, with ENOENT, and be kept apart from a program whose interpreter is
// missing, for which execve(2) gives the same errno.
func controllerInitMissing(t *testing.T, h ControllersHarness) {
	order := h.Order(t, Wanted{Name: "vlxa", Init: Absent})
	controller := launch(t, h, order)
	begin(t, controller, order)
	failure := failed(t, controller, order, controller.Proceed(soon(t), order.Identity.UUID))
	assert.True(t, failure.Entered)
	require.Less(t, failure.Index, len(order.Enter))
	assert.Equal(t, step.Exec, order.Enter[failure.Index].Code)
}

// controllerAbandons: the undo of a start says so whether or not the start got that
// far, and perhaps twice. When the group can be removed nothing lives in it.
func controllerAbandons(t *testing.T, h ControllersHarness) {
	order := h.Order(t, Wanted{Name: "vlxa"})
	controller := launch(t, h, order)
	begin(t, controller, order)
	require.NoError(t, controller.Abandon(soon(t), order.Identity.UUID))
	require.NoError(t, controller.Abandon(soon(t), order.Identity.UUID))
	require.NoError(t, order.Cgroup.Remove(soon(t)), "nothing lives in the group")
}

// controllerDeserted: a daemon that died in the middle of a start will never say
// Proceed. What waits for it would wait for ever, in a group that nobody removes.
func controllerDeserted(t *testing.T, h ControllersHarness) {
	order := h.Order(t, Wanted{Name: "vlxa"})
	controller := launch(t, h, order)
	begin(t, controller, order)
	require.NoError(t, controller.Close())
	require.NoError(t, order.Cgroup.Remove(soon(t)), "nothing lives in the group")
}

// controllerUnknown: to abandon is a wish about a state, and that state there is
// already; the two others need something to work with. The controller holds another
// container, so it is there to answer.
func controllerUnknown(t *testing.T, h ControllersHarness) {
	controller, _, _ := start(t, h, Wanted{Name: "vlxa"})
	stranger := container.UUID{0xde, 0xad}
	_, err := controller.Reclaim(soon(t), stranger)
	assert.ErrorIs(t, err, fault.NotFound)
	assert.NoError(t, controller.Abandon(soon(t), stranger))
	assert.Error(t, controller.Proceed(soon(t), stranger))
}
