package polkit

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
)

func TestAdmission(t *testing.T) {
	for name, test := range map[string]struct {
		answer func(context.Context, check) (verdict, error)
		kind   fault.Kind
		text   string
		flags  []uint32 // of the checks that are made
	}{
		"by rule":          {answer: always(verdict{authorized: true}), flags: []uint32{0}},
		"against the rule": {always(verdict{}), fault.AuthFailed, "access denied by policy", []uint32{0}},
		"no agent": {always(verdict{challenge: true}), fault.AuthUnavailable,
			"no polkit agent available to authenticate action 'org.libvirt.unix.manage'", []uint32{0, 1}},
		"by password":      {answer: person(time.Minute, verdict{authorized: true}), flags: []uint32{0, 1}},
		"wrong password":   {person(time.Minute, verdict{}), fault.AuthFailed, "access denied by policy", []uint32{0, 1}},
		"dismissed":        {person(time.Minute, verdict{dismissed: true}), fault.AuthCancelled, "user cancelled authentication process", []uint32{0, 1}},
		"dismissed, again": {person(0, verdict{challenge: true, dismissed: true}), fault.AuthCancelled, "user cancelled authentication process", []uint32{0, 1}},
		"no daemon":        {failing(errors.New("no such name")), fault.AuthUnavailable, "cannot ask polkit: no such name", []uint32{0}},
		"daemon hangs":     {hanging, fault.AuthUnavailable, "polkit does not answer", []uint32{0}},
		"person is away":   {person(time.Hour, verdict{}), fault.AuthUnavailable, "polkit does not answer", []uint32{0, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, d := authority(t, test.answer)
				err := Gatekeeper(a).Admit(context.Background(), alice)
				checks, _ := d.seen()
				var flags []uint32
				for _, c := range checks {
					flags = append(flags, c.flags)
					assert.Equal(t, "org.libvirt.unix.manage", c.action)
					assert.Empty(t, c.details)
					assert.Equal(t, c.flags == askPerson, c.ticket != "")
				}
				assert.Equal(t, test.flags, flags)
				if test.kind == fault.Internal {
					require.NoError(t, err)
					return
				}
				require.ErrorIs(t, err, test.kind)
				require.EqualError(t, err, test.text)
			})
		})
	}
}

func TestReadersAreAskedForLess(t *testing.T) {
	a, d := authority(t, always(verdict{challenge: true}))
	reader := alice
	reader.ReadOnly = true
	require.EqualError(t, Gatekeeper(a).Admit(context.Background(), reader),
		"no polkit agent available to authenticate action 'org.libvirt.unix.monitor'")
	checks, _ := d.seen()
	for _, c := range checks {
		assert.Equal(t, "org.libvirt.unix.monitor", c.action)
	}
}

// TestClientGoes while a person is being asked: the person need not answer.
func TestClientGoes(t *testing.T) {
	for name, deaf := range map[string]bool{"daemon listens": false, "daemon hangs meanwhile": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, d := authority(t, person(time.Hour, verdict{authorized: true}))
				d.deaf = deaf
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				begin := time.Now()
				require.ErrorIs(t, Gatekeeper(a).Admit(ctx, alice), fault.AuthFailed)
				checks, taken := d.seen()
				if deaf {
					assert.Equal(t, time.Second+stopLimit, time.Since(begin))
					return
				}
				assert.Equal(t, time.Second, time.Since(begin))
				assert.Equal(t, []string{checks[1].ticket}, taken)
				assert.Empty(t, a.persons, "the place is free again")
			})
		})
	}
}

// TestPersonsDoNotHoldUpRules: a host full of people typing passwords.
func TestPersonsDoNotHoldUpRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, d := authority(t, person(time.Minute, verdict{authorized: true}))
		var admitted []chan error
		for range personPlaces + 3 {
			result := make(chan error, 1)
			admitted = append(admitted, result)
			go func() { result <- Gatekeeper(a).Admit(context.Background(), alice) }()
		}
		synctest.Wait()
		d.answer = always(verdict{authorized: true})
		begin := time.Now()
		yes, err := a.Authorized(context.Background(), alice, "x", nil)
		require.NoError(t, err)
		assert.True(t, yes)
		assert.Zero(t, time.Since(begin))
		tickets := map[string]bool{"": true}
		for _, result := range admitted {
			require.NoError(t, <-result)
		}
		checks, _ := d.seen()
		for _, c := range checks {
			if c.flags == askPerson {
				assert.False(t, tickets[c.ticket], "a ticket of another")
				tickets[c.ticket] = true
			}
		}
	})
}
