package bus_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/dbus/bus"
	"virtlxcd/domain/fault"
)

// What a call comes to when the bus, or somebody behind it, answers nonsense.
func TestOddAnswers(t *testing.T) {
	cases := map[string]struct {
		answer func(*dialogue, *dbus.Message)
		kind   fault.Kind
		name   string
	}{
		"another call's answer": {
			func(d *dialogue, c *dbus.Message) { d.raw(d.message(c.Serial()+1000, "", "x")) }, fault.Timeout, "",
		},
		"another call's error": {
			func(d *dialogue, c *dbus.Message) { d.raw(d.message(c.Serial()+1000, "org.example.No")) }, fault.Timeout, "",
		},
		"an error without a text": {
			func(d *dialogue, c *dbus.Message) { d.refuse(c, "org.example.No") }, fault.System, "org.example.No",
		},
		"an error with a number for a text": {
			func(d *dialogue, c *dbus.Message) { d.refuse(c, "org.example.No", uint32(7)) }, fault.System, "org.example.No",
		},
		"nobody answered the bus": {
			func(d *dialogue, c *dbus.Message) { d.refuse(c, "org.freedesktop.DBus.Error.NoReply", "late") },
			fault.Timeout, "org.freedesktop.DBus.Error.NoReply",
		},
		"the service was not started in time": {
			func(d *dialogue, c *dbus.Message) { d.refuse(c, "org.freedesktop.DBus.Error.TimedOut", "late") },
			fault.Timeout, "org.freedesktop.DBus.Error.TimedOut",
		},
		"a hang-up": {func(d *dialogue, _ *dbus.Message) { d.conn.Close() }, fault.System, ""},
		"no message": {func(d *dialogue, _ *dbus.Message) {
			d.raw([]byte("this is no message, and long enough to be taken for the front of one"))
			d.conn.Close()
		}, fault.System, ""},
	}
	for label, c := range cases {
		t.Run(label, func(t *testing.T) {
			b := open(t, pretend(t, c.answer).address)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			if c.kind == fault.Timeout && c.name == "" {
				ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
			}
			body, err := b.Call(ctx, name, place, name+".Echo", "x")
			require.ErrorIs(t, err, c.kind)
			assert.Nil(t, body)
			assert.Equal(t, c.name, bus.ErrorName(err))
			assert.Contains(t, err.Error(), name+".Echo", "the error says what was asked")
			assert.Contains(t, err.Error(), "'"+name+"'", "and of whom")
		})
	}
}

// An answer that breaks off at any byte is a failure, and soon.
func TestAnswerCutAtEachByte(t *testing.T) {
	var cut atomic.Int64
	f := pretend(t, func(d *dialogue, c *dbus.Message) {
		whole := d.message(c.Serial(), "", "some text")
		d.raw(whole[:min(int(cut.Load()), len(whole))])
		d.conn.Close()
	})
	for n := range len((&dialogue{t: t}).message(1, "", "some text")) {
		cut.Store(int64(n))
		b := bus.New(bus.Options{Address: f.address}, quiet())
		_, err := b.Call(t.Context(), name, place, name+".Echo")
		require.ErrorIs(t, err, fault.System, "after %d bytes", n)
		require.NoError(t, b.Close())
	}
}

func TestOddProperties(t *testing.T) {
	bodies := map[string][]any{
		"nothing": nil, "a value that is no variant": {"x"},
		"two": {dbus.MakeVariant("x"), dbus.MakeVariant("y")},
	}
	for label, body := range bodies {
		t.Run(label, func(t *testing.T) {
			b := open(t, pretend(t, func(d *dialogue, c *dbus.Message) { d.reply(c, body...) }).address)
			value, err := b.Property(t.Context(), name, place, name, "Colour")
			require.ErrorIs(t, err, fault.System)
			assert.Nil(t, value)
			assert.ErrorContains(t, err, "'Colour'")
		})
	}
	b := open(t, pretend(t, func(d *dialogue, c *dbus.Message) { d.refuse(c, "org.example.No") }).address)
	_, err := b.Property(t.Context(), name, place, name, "Colour")
	assert.Equal(t, "org.example.No", bus.ErrorName(err))
}

// A bus on which nothing can be watched is left, and tried again: the watch is not
// told that signals arrive.
func TestWatchRefused(t *testing.T) {
	odd := map[string]func(*dialogue, *dbus.Message, string){
		"no rules": func(d *dialogue, c *dbus.Message, _ string) { d.refuse(c, "org.freedesktop.DBus.Error.LimitsExceeded") },
		"no owners": func(d *dialogue, c *dbus.Message, method string) {
			if method == "AddMatch" {
				d.reply(c)
				return
			}
			d.refuse(c, "org.freedesktop.DBus.Error.AccessDenied")
		},
		"an owner that is a number": func(d *dialogue, c *dbus.Message, method string) {
			if method == "AddMatch" {
				d.reply(c)
				return
			}
			d.reply(c, uint32(7))
		},
	}
	for label, answer := range odd {
		t.Run(label, func(t *testing.T) {
			f := pretend(t, func(d *dialogue, c *dbus.Message) {
				method, _ := c.Headers[dbus.FieldMember].Value().(string)
				answer(d, c, method)
			})
			b := open(t, f.address)
			signals, stop := b.Watch(bus.Match{Sender: name})
			defer stop()
			assert.Equal(t, bus.Disconnected, next(t, signals).Event)
			f.asked(t, "Hello")
			f.asked(t, "Hello")
			assert.Empty(t, signals, "told once")
		})
	}
}

// Signals with arguments of the wrong number or type reach nobody who asked for the
// changes of an owner, and change no owner.
func TestOddOwnerSignals(t *testing.T) {
	const owner = ":1.42"
	f := pretend(t, func(d *dialogue, c *dbus.Message) {
		switch c.Headers[dbus.FieldMember].Value() {
		case "AddMatch":
			d.reply(c)
		case "GetNameOwner":
			d.reply(c, owner)
		case "Ring":
			d.signal(bus.SelfPath, bus.Self, "NameOwnerChanged")
			d.signal(bus.SelfPath, bus.Self, "NameOwnerChanged", uint32(1), "", ":1.66")
			d.signal(bus.SelfPath, bus.Self, "NameOwnerChanged", "org.example.Other", "", ":1.66")
			d.signal("/elsewhere", bus.Self, "NameOwnerChanged", name, "", ":1.66")
			d.signal(bus.SelfPath, bus.Self, "NameOwnerChanged", name, owner, "")
			d.reply(c)
		}
	})
	b := open(t, f.address)
	signals, stop := b.Watch(bus.Owner(name))
	defer stop()
	require.Equal(t, bus.Connected, next(t, signals).Event)
	_, err := b.Call(t.Context(), name, place, name+".Ring")
	require.NoError(t, err)
	got := next(t, signals)
	assert.Equal(t, []any{name, owner, ""}, got.Body, "the only one that is well formed")
	assert.Equal(t, bus.Self, got.Sender)
	assert.Empty(t, signals)
}

// A call that is under way when the bus is closed fails at once.
func TestCloseEndsCalls(t *testing.T) {
	f := pretend(t, func(*dialogue, *dbus.Message) {})
	b := bus.New(bus.Options{Address: f.address}, quiet())
	failed := make(chan error, 1)
	go func() {
		_, err := b.Call(context.Background(), name, place, name+".Echo")
		failed <- err
	}()
	f.asked(t, "Echo")
	require.NoError(t, b.Close())
	require.ErrorIs(t, <-failed, fault.System)
	require.NoError(t, b.Close(), "again")
}
