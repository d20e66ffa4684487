package bus_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/dbus/bus"
	"virtlxcd/adapters/dbus/bus/bustest"
)

// slowLog holds up whoever logs that the connection is lost.
type slowLog struct {
	slog.Handler
	reached, release chan struct{}
}

func (l slowLog) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "is lost") {
		l.reached <- struct{}{}
		<-l.release
	}
	return nil
}

// The news that a connection is lost may come after the next one is there. Nobody
// is told so then: it would be taken for the present.
func TestNewsOfALossThatIsOver(t *testing.T) {
	d := bustest.Start(t)
	log := slowLog{quiet().Handler(), make(chan struct{}), make(chan struct{})}
	log.Handler = slog.DiscardHandler
	b := bus.New(bus.Options{Address: d.Address}, slog.New(forInfo{log}))
	defer func() { require.NoError(t, b.Close()) }()
	signals, stop := b.Watch(bus.Match{Sender: name, Member: "Rang"})
	defer stop()
	require.Equal(t, bus.Connected, next(t, signals).Event)
	d.Stop(t)
	<-log.reached
	d.Run(t)
	require.Equal(t, bus.Connected, next(t, signals).Event)
	close(log.release)
	conn := serve(t, d)
	require.NoError(t, conn.Emit(place, name+".Rang", "still there"))
	got := next(t, signals)
	assert.Equal(t, bus.Received, got.Event)
	assert.Equal(t, []any{"still there"}, got.Body)
}

// forInfo makes a handler take what the daemon logs by default.
type forInfo struct{ slog.Handler }

func (forInfo) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

// A watch that ends while its rules are being made known leaves none on the bus.
func TestStopDuringInstall(t *testing.T) {
	reached, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	f := pretend(t, func(d *dialogue, c *dbus.Message) {
		if c.Headers[dbus.FieldMember].Value() == "AddMatch" {
			once.Do(func() { close(reached); <-release })
		}
		d.reply(c)
	})
	b := open(t, f.address)
	signals, stop := b.Watch(bus.Owner(name))
	<-reached
	stop()
	_, more := <-signals
	assert.False(t, more)
	close(release)
	f.asked(t, "RemoveMatch")
	stop() // again: nothing
}

// An attempt that fails answers for a second and no longer.
func TestRetryAfterAFailure(t *testing.T) {
	d := bustest.Prepare(t)
	b := open(t, d.Address)
	_, first := b.Call(t.Context(), bus.Self, bus.SelfPath, bus.Self+".GetId")
	require.Error(t, first)
	d.Run(t)
	require.Eventually(t, func() bool {
		_, err := b.Call(t.Context(), bus.Self, bus.SelfPath, bus.Self+".GetId")
		return err == nil
	}, 20*time.Second, 50*time.Millisecond)
}

// Closing with watches closes their channels, whatever is still in them.
func TestCloseEndsWatches(t *testing.T) {
	d := bustest.Start(t)
	b := bus.New(bus.Options{Address: d.Address}, quiet())
	first, stopFirst := b.Watch(bus.Owner(name))
	second, _ := b.Watch(bus.Match{})
	require.Equal(t, bus.Connected, next(t, first).Event)
	require.NoError(t, b.Close())
	for range first { // until it is closed
	}
	for range second { // until it is closed
	}
	stopFirst()
}
