package polkit

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/access"
	"virtlxcd/domain/fault"
)

const start = "org.libvirt.api.domain.start"

func TestQuestion(t *testing.T) {
	a, d := authority(t, always(verdict{authorized: true}))
	details := map[string]string{"domain_name": "web"}
	yes, err := a.Authorized(context.Background(), alice, start, details)
	require.NoError(t, err)
	assert.True(t, yes)
	who := subject{"unix-process", map[string]dbus.Variant{
		"pid": dbus.MakeVariant(uint32(4711)), "start-time": dbus.MakeVariant(uint64(99)), "uid": dbus.MakeVariant(int32(1000)),
	}}
	checks, _ := d.seen()
	assert.Equal(t, []check{{who, start, details, 0, ""}}, checks)
}

func TestAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		got  verdict
		want bool
	}{
		"yes":             {verdict{authorized: true}, true},
		"no":              {verdict{}, false},
		"only by person":  {verdict{challenge: true}, false},
		"person declined": {verdict{dismissed: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			a, d := authority(t, always(test.got))
			got, err := a.Authorized(context.Background(), alice, start, nil)
			require.NoError(t, err)
			assert.Equal(t, test.want, got)
			checks, _ := d.seen()
			assert.Len(t, checks, 1, "no person is asked")
		})
	}
}

// TestRulesMayChange: answers are not kept.
func TestRulesMayChange(t *testing.T) {
	allowed := true
	a, _ := authority(t, func(context.Context, check) (verdict, error) { return verdict{authorized: allowed}, nil })
	for _, allowed = range []bool{true, false, true} {
		got, err := a.Authorized(context.Background(), alice, start, nil)
		require.NoError(t, err)
		assert.Equal(t, allowed, got)
	}
}

// TestUncertainCallers could be somebody else by the time the daemon looks.
func TestUncertainCallers(t *testing.T) {
	for name, caller := range map[string]access.Caller{
		"no start time":          {UID: 1000, PID: 4711},
		"no process":             {UID: 1000, Start: 99},
		"process of nowhere":     {UID: 1000, PID: -1, Start: 99},
		"process beyond numbers": {UID: 1000, PID: math.MaxUint32 + 1, Start: 99},
		"nobody's":               {UID: math.MaxUint32, PID: 4711, Start: 99},
		"negative user":          {UID: math.MaxInt32 + 1, PID: 4711, Start: 99},
	} {
		t.Run(name, func(t *testing.T) {
			a, d := authority(t, always(verdict{authorized: true}))
			got, err := a.Authorized(context.Background(), caller, start, nil)
			require.NoError(t, err)
			assert.False(t, got)
			require.ErrorIs(t, Gatekeeper(a).Admit(context.Background(), caller), fault.AuthFailed)
			checks, _ := d.seen()
			assert.Empty(t, checks)
		})
	}
	a, _ := authority(t, always(verdict{authorized: true}))
	got, err := a.Authorized(context.Background(), access.Caller{UID: math.MaxInt32, PID: math.MaxInt32, Start: 1}, start, nil)
	require.NoError(t, err)
	assert.True(t, got, "a user without an account is one")
}

func TestBusFailures(t *testing.T) {
	cause := dbus.Error{Name: "org.freedesktop.DBus.Error.ServiceUnknown", Body: []any{"not provided"}}
	a, d := authority(t, failing(cause))
	got, err := a.Authorized(context.Background(), alice, start, nil)
	assert.False(t, got)
	require.ErrorIs(t, err, fault.Failed)
	require.EqualError(t, err, "cannot ask polkit: not provided")
	d.answer = always(verdict{authorized: true})
	got, err = a.Authorized(context.Background(), alice, start, nil)
	require.NoError(t, err)
	assert.True(t, got, "as soon as it is back")
}

// odd answers with whatever.
type odd []any

func (o odd) Call(context.Context, string, string, string, ...any) ([]any, error) { return o, nil }

func TestOddAnswersRefuse(t *testing.T) {
	none := map[string]string{}
	for _, body := range []odd{
		nil, {}, {true}, {[]any{}}, {[]any{true, false}}, {[]any{true, false, none, 1}}, {[]any{true, false, none}, 1},
		{[]any{1, false, none}}, {[]any{true, "", none}}, {[]any{true, false, nil}}, {true, false, none},
	} {
		a := New(body, nil)
		got, err := a.Authorized(context.Background(), alice, start, nil)
		assert.False(t, got, body)
		require.ErrorIs(t, err, fault.Failed)
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add(uint8(1), uint8(3), true, true, "polkit.dismissed", uint8(0))
	f.Fuzz(func(t *testing.T, outer, inner uint8, authorized, challenge bool, key string, odd uint8) {
		fields := []any{authorized, challenge, map[string]string{key: "true"}, nil, "x"}[:inner%6]
		if int(odd) < len(fields) {
			fields[odd] = odd
		}
		body := []any{fields, fields, nil}[:outer%4]
		got, err := parse(body)
		if err == nil {
			require.Len(t, body, 1)
			require.Len(t, fields, 3)
			require.Equal(t, verdict{authorized, challenge, key == "polkit.dismissed"}, got)
		} else {
			require.Zero(t, got)
		}
	})
}

// TestSilence: nobody waits longer than the limit, and few wait as long.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, d := authority(t, hanging)
		begin := time.Now()
		for range 1000 {
			got, err := a.Authorized(context.Background(), alice, start, nil)
			assert.False(t, got)
			require.ErrorIs(t, err, fault.Timeout)
		}
		assert.Equal(t, answerLimit, time.Since(begin))
		checks, _ := d.seen()
		assert.Len(t, checks, 1)

		time.Sleep(rest)
		d.answer = always(verdict{authorized: true})
		for range 2 {
			got, err := a.Authorized(context.Background(), alice, start, nil)
			require.NoError(t, err)
			assert.True(t, got, "it is back")
		}
	})
}

// TestImpatientClients end their own checks and nobody else's.
func TestImpatientClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, d := authority(t, hanging)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := a.Authorized(ctx, alice, start, nil)
		require.ErrorIs(t, err, fault.Aborted)
		d.answer = always(verdict{authorized: true})
		got, err := a.Authorized(context.Background(), alice, start, nil)
		require.NoError(t, err)
		assert.True(t, got, "a client that goes says nothing about the daemon")
	})
}

// TestManyChecks at once stay below what the bus allows, and end in time.
func TestManyChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, d := authority(t, hanging)
		begin := time.Now()
		var all sync.WaitGroup
		for range 500 {
			all.Go(func() {
				_, err := a.Authorized(context.Background(), alice, start, nil)
				assert.ErrorIs(t, err, fault.Timeout)
			})
		}
		synctest.Wait()
		checks, _ := d.seen()
		assert.Len(t, checks, answerPlaces)
		all.Wait()
		assert.Equal(t, answerLimit, time.Since(begin))
	})
}

func TestErrorsKeepTheirCause(t *testing.T) {
	cause := errors.New("broken pipe")
	a, _ := authority(t, failing(cause))
	_, err := a.Authorized(context.Background(), alice, start, nil)
	require.ErrorIs(t, err, cause)
}
