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

func controllerDeserted(t *testing.T, h ControllersHarness) {
	order := h.Order(t, Wanted{Name: "vlxa"})
	controller := launch(t, h, order)
	begin(t, controller, order)
	require.NoError(t, controller.Close())
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
