package login

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/dbus/bus/bustest"
	"virtlxcd/domain/fault"
)

// oddLogind answers every property with one value.
type oddLogind struct{ value any }

func (o oddLogind) Get(_, _ string) (dbus.Variant, *dbus.Error) {
	return dbus.MakeVariant(o.value), nil
}

// What is configured is told in microseconds; numbers beyond a duration are cut, and
// what is no number is an error, never "no delay".
func TestOddDelays(t *testing.T) {
	cases := []struct {
		value any
		want  time.Duration
	}{
		{uint64(0), 0},
		{uint64(1), time.Microsecond},
		{uint64(90_000_000), 90 * time.Second},
		{uint64(math.MaxUint64), time.Duration(1<<62/1000) * time.Microsecond},
		{int64(5), -1}, {uint32(5), -1}, {"5s", -1}, {true, -1},
	}
	d := bustest.Start(t)
	i := open(t, d.Address)
	for _, c := range cases {
		conn := d.Connect(t)
		require.NoError(t, conn.Export(oddLogind{c.value}, logindPath, "org.freedesktop.DBus.Properties"))
		bustest.Own(t, conn, logind)
		got, err := i.MaxDelay(t.Context())
		if c.want < 0 {
			require.ErrorIs(t, err, fault.System, "%v", c.value)
			assert.ErrorContains(t, err, "malformed delay")
		} else {
			require.NoError(t, err)
			assert.Equal(t, c.want, got)
			assert.GreaterOrEqual(t, got, time.Duration(0))
		}
		_, err = conn.ReleaseName(logind)
		require.NoError(t, err)
	}
}

// A shutdown is not called off by a signal that says nothing.
func TestOddShutdownSignals(t *testing.T) {
	f, _, i := start(t)
	heard := make(chan bool, 10)
	i.OnShutdown(func(begin bool) { heard <- begin })
	i.Hold()
	require.Eventually(t, i.Held, within, often)
	emit := func(args ...any) {
		require.NoError(t, f.conn.Emit(logindPath, manager+".PrepareForShutdown", args...))
	}
	f.set(func() { f.down = true })
	emit(true)
	require.True(t, <-heard)
	emit()
	emit("false")
	emit(uint32(0))
	emit(false, "more")
	f.set(func() { f.down = false })
	emit(false)
	assert.False(t, <-heard)
	assert.Empty(t, heard)
}

// After Close nothing is held, asked or heard any more.
func TestAfterClose(t *testing.T) {
	f, _, i := start(t)
	i.Hold()
	require.Eventually(t, i.Held, within, often)
	require.NoError(t, i.Close())
	assert.False(t, i.Held())
	assert.Zero(t, f.held())
	asked := f.asks()
	i.Hold()
	i.Release()
	i.OnShutdown(func(bool) { t.Error("heard after the end") })
	assert.False(t, i.Held())
	assert.Equal(t, asked, f.asks())
	require.NoError(t, i.Close(), "again")
}

func TestMaxDelayWithoutAnybody(t *testing.T) {
	i := open(t, bustest.Start(t).Address)
	_, err := i.MaxDelay(t.Context())
	require.ErrorIs(t, err, fault.System)
	gone, leave := context.WithCancel(t.Context())
	leave()
	_, err = i.MaxDelay(gone)
	require.ErrorIs(t, err, fault.Aborted)
}
