package bus_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"virtlxcd/adapters/dbus/bus"
	"virtlxcd/adapters/dbus/bus/bustest"
	"virtlxcd/domain/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func open(t *testing.T, address string) *bus.Bus {
	t.Helper()
	b := bus.New(bus.Options{Address: address}, quiet())
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

// next waits for a signal.
func next(t *testing.T, from <-chan bus.Signal) bus.Signal {
	t.Helper()
	select {
	case signal, ok := <-from:
		require.True(t, ok, "the watch is closed")
		return signal
	case <-time.After(20 * time.Second):
		require.Fail(t, "no signal")
		return bus.Signal{}
	}
}

const (
	name  = "org.example.Vlx"
	place = "/org/example/vlx"
)

// service answers calls as name.
type service struct{ hang chan struct{} }

func (service) Echo(text string) (string, *dbus.Error) { return text, nil }
func (service) Refuse() *dbus.Error {
	return dbus.NewError("org.example.Refused", []any{"not today"})
}
func (s service) Hang() *dbus.Error {
	<-s.hang
	return nil
}

func serve(t *testing.T, d *bustest.Daemon) *dbus.Conn {
	t.Helper()
	conn := d.Connect(t)
	s := service{hang: make(chan struct{})}
	t.Cleanup(func() { close(s.hang) })
	require.NoError(t, conn.Export(s, place, name))
	bustest.Own(t, conn, name)
	return conn
}

func TestCall(t *testing.T) {
	d := bustest.Start(t)
	serve(t, d)
	b := open(t, d.Address)
	body, err := b.Call(t.Context(), name, place, name+".Echo", "hello")
	require.NoError(t, err)
	assert.Equal(t, []any{"hello"}, body)

	_, err = b.Call(t.Context(), name, place, name+".Refuse")
	require.ErrorIs(t, err, fault.System)
	assert.Equal(t, "org.example.Refused", bus.ErrorName(err))
	assert.Contains(t, err.Error(), "not today")

	_, err = b.Call(t.Context(), "org.example.Absent", place, name+".Echo")
	assert.Equal(t, "org.freedesktop.DBus.Error.ServiceUnknown", bus.ErrorName(err))
	_, err = b.Call(t.Context(), name, "not a path", name+".Echo")
	require.ErrorIs(t, err, fault.System)
	assert.Empty(t, bus.ErrorName(err))
	assert.Empty(t, bus.ErrorName(nil))
}

func TestCallLimits(t *testing.T) {
	d := bustest.Start(t)
	serve(t, d)
	b := open(t, d.Address)
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := b.Call(short, name, place, name+".Hang")
	require.ErrorIs(t, err, fault.Timeout)
	gone, leave := context.WithCancel(t.Context())
	leave()
	_, err = b.Call(gone, name, place, name+".Hang")
	require.ErrorIs(t, err, fault.Aborted)
	_, err = b.Call(t.Context(), name, place, name+".Echo", "still there")
	require.NoError(t, err)
}

func TestNoBus(t *testing.T) {
	b := open(t, "unix:path="+t.TempDir()+"/none")
	_, err := b.Call(t.Context(), name, place, name+".Echo")
	require.ErrorIs(t, err, fault.System)
	require.ErrorIs(t, err, syscall.ENOENT)
	assert.Contains(t, err.Error(), "cannot reach the system bus")
	_, again := b.Call(t.Context(), name, place, name+".Echo")
	assert.Equal(t, err, again, "one attempt answers for a while")

	signals, stop := b.Watch(bus.Owner(name))
	assert.Equal(t, bus.Disconnected, next(t, signals).Event)
	stop()
	_, more := <-signals
	assert.False(t, more)
}

// A bus that accepts and says nothing.
func TestSilentBus(t *testing.T) {
	listener, err := net.Listen("unix", t.TempDir()+"/bus")
	require.NoError(t, err)
	defer listener.Close()
	b := open(t, "unix:path="+listener.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = b.Call(ctx, name, place, name+".Echo")
	require.ErrorIs(t, err, fault.Timeout)
	require.NoError(t, b.Close(), "and nothing waits for it")
	_, err = b.Call(t.Context(), name, place, name+".Echo")
	require.ErrorIs(t, err, fault.System)
	signals, _ := b.Watch(bus.Owner(name))
	_, more := <-signals
	assert.False(t, more, "closed with the bus")
}

// A bus that stops reading takes neither callers nor the end of the daemon along.
func TestStoppedBus(t *testing.T) {
	d := bustest.Start(t)
	serve(t, d)
	b := bus.New(bus.Options{Address: d.Address}, quiet())
	_, err := b.Call(t.Context(), name, place, name+".Echo", "hello")
	require.NoError(t, err)
	d.Signal(t, syscall.SIGSTOP)
	long := strings.Repeat("x", 300<<10)
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, err = b.Call(ctx, name, place, name+".Echo", long)
		cancel()
		require.ErrorIs(t, err, fault.Timeout)
	}
	begun := time.Now()
	require.ErrorIs(t, b.Close(), fault.Timeout)
	assert.Less(t, time.Since(begun), 10*time.Second)
	d.Signal(t, syscall.SIGCONT)
}

func TestWatchOverRestart(t *testing.T) {
	d := bustest.Start(t)
	conn := serve(t, d)
	b := open(t, d.Address)
	signals, stop := b.Watch(bus.Match{Sender: name, Interface: name, Member: "Rang"})
	defer stop()
	assert.Equal(t, bus.Connected, next(t, signals).Event)
	require.NoError(t, conn.Emit(place, name+".Rung", "other member"))
	require.NoError(t, conn.Emit(place, name+".Rang", "once"))
	got := next(t, signals)
	assert.Equal(t, []any{"once"}, got.Body)
	assert.Equal(t, name+".Rang", got.Name)
	assert.Equal(t, place, got.Path)

	d.Stop(t)
	assert.Equal(t, bus.Disconnected, next(t, signals).Event)
	d.Run(t)
	assert.Equal(t, bus.Connected, next(t, signals).Event)
	again := serve(t, d)
	require.NoError(t, again.Emit(place, name+".Rang", "twice"))
	assert.Equal(t, []any{"twice"}, next(t, signals).Body, "its owner came after the watch")
	_, err := b.Call(t.Context(), name, place, name+".Echo", "x")
	require.NoError(t, err)
}

// Everybody may send signals to everybody: only the owner of the name counts.
func TestForgedSignals(t *testing.T) {
	d := bustest.Start(t)
	conn := serve(t, d)
	b := open(t, d.Address)
	signals, stop := b.Watch(bus.Match{Sender: name, Interface: name, Member: "Rang"})
	defer stop()
	owners, stopOwners := b.Watch(bus.Owner("org.example.Other"))
	defer stopOwners()
	require.Equal(t, bus.Connected, next(t, signals).Event)
	require.Equal(t, bus.Connected, next(t, owners).Event)

	forger := d.Connect(t)
	for _, to := range names(t, forger) {
		forge(t, forger, to, place, name, "Rang", "forged")
		forge(t, forger, to, bus.SelfPath, bus.Self, "NameOwnerChanged", name, "", forger.Names()[0])
		forge(t, forger, to, bus.SelfPath, bus.Self, "NameOwnerChanged", "org.example.Other", "", forger.Names()[0])
		forge(t, forger, to, place, name, "Rang", "forged again")
	}
	bustest.Own(t, forger, "org.example.Other")
	assert.Equal(t, []any{"org.example.Other", "", forger.Names()[0]}, next(t, owners).Body, "the only one")
	require.NoError(t, conn.Emit(place, name+".Rang", "real"))
	assert.Equal(t, []any{"real"}, next(t, signals).Body)
}

func names(t *testing.T, conn *dbus.Conn) (unique []string) {
	t.Helper()
	var all []string
	require.NoError(t, conn.BusObject().Call(bus.Self+".ListNames", 0).Store(&all))
	for _, one := range all {
		if one[0] == ':' && one != conn.Names()[0] {
			unique = append(unique, one)
		}
	}
	require.NotEmpty(t, unique)
	return unique
}

// forge sends a signal to one connection.
func forge(t *testing.T, conn *dbus.Conn, to, path, iface, member string, args ...any) {
	t.Helper()
	message := &dbus.Message{Type: dbus.TypeSignal, Body: args, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldDestination: dbus.MakeVariant(to), dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath(path)),
		dbus.FieldInterface: dbus.MakeVariant(iface), dbus.FieldMember: dbus.MakeVariant(member),
		dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf(args...)),
	}}
	require.NoError(t, conn.Send(message, nil).Err)
}

func TestSlowSubscriber(t *testing.T) {
	d := bustest.Start(t)
	conn := serve(t, d)
	b := open(t, d.Address)
	signals, stop := b.Watch(bus.Match{Sender: name, Member: "Rang"})
	defer stop()
	require.Equal(t, bus.Connected, next(t, signals).Event)
	probe, stopProbe := b.Watch(bus.Match{Sender: name, Member: "Done"})
	defer stopProbe()
	require.Equal(t, bus.Connected, next(t, probe).Event)
	for i := range 1000 {
		require.NoError(t, conn.Emit(place, name+".Rang", int32(i)))
	}
	require.NoError(t, conn.Emit(place, name+".Done"))
	require.Equal(t, bus.Received, next(t, probe).Event)
	told := false
	for len(signals) > 0 {
		if next(t, signals).Event == bus.Connected {
			told = true
		}
	}
	assert.True(t, told, "that signals are missing")
	require.NoError(t, conn.Emit(place, name+".Rang", int32(-1)))
	assert.Equal(t, []any{int32(-1)}, next(t, signals).Body)
}

func TestManyAtOnce(t *testing.T) {
	d := bustest.Start(t)
	serve(t, d)
	b := open(t, d.Address)
	failures := make(chan error, 100)
	for range cap(failures) {
		go func() {
			_, stop := b.Watch(bus.Owner(name))
			_, err := b.Call(context.Background(), name, place, name+".Echo", "x")
			stop()
			failures <- err
		}()
	}
	for range cap(failures) {
		require.NoError(t, <-failures)
	}
	assert.Len(t, names(t, d.Connect(t)), 2, "the service and one connection for all")
}

func TestEnvironment(t *testing.T) {
	d := bustest.Start(t)
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", d.Address)
	b := open(t, "")
	body, err := b.Call(t.Context(), bus.Self, bus.SelfPath, bus.Self+".GetId")
	require.NoError(t, err)
	assert.Len(t, body, 1)
	value, err := b.Property(t.Context(), bus.Self, bus.SelfPath, bus.Self, "Features")
	require.NoError(t, err)
	assert.NotNil(t, value)
}
