package jobs_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/app/jobs"
	"virtlxcd/domain/fault"
)

// TestPatienceEndsAsTheGateIsHandedOver: both at the same instant. Whoever loses is
// told of the one in the way, never of nobody or of itself, and the gate is not lost.
func TestPatienceEndsAsTheGateIsHandedOver(t *testing.T) {
	for range 300 {
		synctest.Test(t, func(t *testing.T) {
			d, g := jobs.NewDesk(context.Background()), &jobs.Gate{}
			release := make(chan struct{})
			hold(d, g, "holder", release)
			outcome := make(chan error, 1)
			go func() { outcome <- d.Do(context.Background(), g, jobs.Wish{Name: "late"}, nothing) }()
			synctest.Wait()
			time.Sleep(jobs.Patience)
			close(release)
			if err := <-outcome; err != nil {
				assert.ErrorIs(t, err, fault.Timeout)
				assert.EqualError(t, err, "cannot acquire state change lock (held by monitor=holder)")
			}
			synctest.Wait()
			assert.Empty(t, g.Holder())
			assert.NoError(t, d.Do(t.Context(), g, jobs.Wish{}, nothing))
			require.NoError(t, d.Close(context.Background()))
		})
	}
}

// TestHangingUpAsTheGateIsHandedOver: a caller that is gone may have won the gate.
// If its work was not done, the next in line is not forgotten.
func TestHangingUpAsTheGateIsHandedOver(t *testing.T) {
	for range 300 {
		synctest.Test(t, func(t *testing.T) {
			d, g := jobs.NewDesk(context.Background()), &jobs.Gate{}
			release := make(chan struct{})
			hold(d, g, "holder", release)
			ctx, cancel := context.WithCancel(t.Context())
			worked, outcome := false, make(chan error, 2)
			go func() {
				outcome <- d.Do(ctx, g, jobs.Wish{Name: "gone"}, func(context.Context) error {
					worked = true
					return nil
				})
			}()
			synctest.Wait()
			next := make(chan error, 1)
			go func() { next <- d.Do(context.Background(), g, jobs.Wish{Name: "next"}, nothing) }()
			synctest.Wait()
			var both sync.WaitGroup
			both.Go(cancel)
			both.Go(func() { close(release) })
			both.Wait()
			if err := <-outcome; err != nil {
				assert.ErrorIs(t, err, fault.Aborted)
				assert.ErrorIs(t, err, context.Canceled)
				assert.False(t, worked, "refused and done all the same")
			} else {
				assert.True(t, worked)
			}
			assert.NoError(t, <-next)
			assert.Empty(t, g.Holder())
			require.NoError(t, d.Close(context.Background()))
		})
	}
}

// TestAnOpenGateAsksForNoPatience: what needs not wait is done, though its caller
// has gone: nothing of it can be seen to be late.
func TestAnOpenGateAsksForNoPatience(t *testing.T) {
	d, g := jobs.NewDesk(t.Context()), &jobs.Gate{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	worked := false
	assert.NoError(t, d.Do(ctx, g, jobs.Wish{}, func(inner context.Context) error {
		worked = true
		return inner.Err()
	}))
	assert.True(t, worked)
	require.NoError(t, d.Close(t.Context()))
}

// TestContextOfTheDesk carries values and ends with its parent or a Close that gave
// up; Closing comes first.
func TestContextOfTheDesk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		parent, end := context.WithCancel(context.WithValue(context.Background(), key{}, 7))
		d, g := jobs.NewDesk(parent), &jobs.Gate{}
		assert.Equal(t, 7, d.Context().Value(key{}))
		release := make(chan struct{})
		hold(d, g, "holder", release)
		closed := make(chan error, 1)
		go func() { closed <- d.Close(context.Background()) }()
		synctest.Wait()
		select {
		case <-d.Closing():
		default:
			t.Error("nothing new is accepted, but nobody is told")
		}
		assert.NoError(t, d.Context().Err(), "what is under way goes on")
		close(release)
		assert.NoError(t, <-closed)
		assert.Error(t, d.Context().Err())
		end()
	})
}

// TestWaitersOfManyGates: a Close turns away those who wait at any gate, and waits
// for the changes inside all of them.
func TestWaitersOfManyGates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, gates := jobs.NewDesk(context.Background()), make([]jobs.Gate, 5)
		release := make(chan struct{})
		outcomes := make(chan error, len(gates))
		for i := range gates {
			hold(d, &gates[i], "holder", release)
			go func() { outcomes <- d.Do(context.Background(), &gates[i], jobs.Wish{Patient: true}, nothing) }()
		}
		synctest.Wait()
		closed := make(chan error, 1)
		go func() { closed <- d.Close(context.Background()) }()
		for range gates {
			assert.ErrorIs(t, <-outcomes, fault.Aborted)
		}
		assert.Empty(t, closed)
		close(release)
		assert.NoError(t, <-closed)
		for i := range gates {
			assert.Empty(t, gates[i].Holder())
		}
	})
}
