package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/app/jobs"
	"virtlxcd/domain/fault"
)

func nothing(context.Context) error { return nil }

// hold lets a job named name into the gate that stays until release is closed.
func hold(d *jobs.Desk, g *jobs.Gate, name string, release <-chan struct{}) {
	go func() {
		_ = d.Do(context.Background(), g, jobs.Wish{Name: name}, func(context.Context) error {
			<-release
			return nil
		})
	}()
	synctest.Wait()
}

func TestOneAtATimeInOrderOfArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, g := jobs.NewDesk(context.Background()), &jobs.Gate{}
		release := make(chan struct{})
		hold(d, g, "first", release)
		var order []int
		var inside atomic.Int32
		for i := range 20 {
			go func() {
				_ = d.Do(context.Background(), g, jobs.Wish{Name: fmt.Sprint(i)}, func(context.Context) error {
					assert.Equal(t, int32(1), inside.Add(1))
					order = append(order, i) // the gate guards it
					inside.Add(-1)
					return nil
				})
			}()
			synctest.Wait() // in line
		}
		assert.Equal(t, "first", g.Holder())
		close(release)
		require.NoError(t, d.Close(context.Background()))
		assert.Empty(t, g.Holder())
		for i, got := range order {
			assert.Equal(t, i, got)
		}
	})
}

func TestPatienceEndsAfterThirtySeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, g := jobs.NewDesk(context.Background()), &jobs.Gate{}
		release := make(chan struct{})
		hold(d, g, "virDomainSuspend", release)
		begun := time.Now()
		err := d.Do(context.Background(), g, jobs.Wish{Name: "late"}, nothing)
		assert.Equal(t, 30*time.Second, time.Since(begun))
		assert.ErrorIs(t, err, fault.Timeout)
		assert.EqualError(t, err, "cannot acquire state change lock (held by monitor=virDomainSuspend)")

		patient := make(chan error)
		go func() { patient <- d.Do(context.Background(), g, jobs.Wish{Patient: true}, nothing) }()
		time.Sleep(time.Hour)
		close(release)
		assert.NoError(t, <-patient)
		require.NoError(t, d.Close(context.Background()))
	})
}

func TestWaitingObeysTheCallerAndWorkDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, g := jobs.NewDesk(context.Background()), &jobs.Gate{}
		release := make(chan struct{})
		hold(d, g, "holder", release)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := d.Do(ctx, g, jobs.Wish{Name: "impatient"}, nothing)
		assert.ErrorIs(t, err, fault.Aborted)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		close(release)

		ctx, cancel = context.WithCancel(t.Context())
		err = d.Do(ctx, g, jobs.Wish{Name: "hangs up"}, func(inner context.Context) error {
			cancel()
			return inner.Err()
		})
		assert.NoError(t, err, "a caller that hangs up does not stop what has begun")
		require.NoError(t, d.Close(context.Background()))
	})
}

func TestGivingUpLeavesTheGateUsable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, g := jobs.NewDesk(context.Background()), &jobs.Gate{}
		release := make(chan struct{})
		hold(d, g, "holder", release)
		ctx, cancel := context.WithCancel(t.Context())
		var outcomes []error
		var mu sync.Mutex
		for i := range 10 {
			go func() {
				mine := context.Background()
				if i%2 == 0 {
					mine = ctx
				}
				err := d.Do(mine, g, jobs.Wish{}, nothing)
				mu.Lock()
				defer mu.Unlock()
				outcomes = append(outcomes, err)
			}()
		}
		synctest.Wait()
		cancel() // at the same time as the gate is handed over
		close(release)
		synctest.Wait()
		assert.Len(t, outcomes, 10)
		assert.NoError(t, d.Do(t.Context(), g, jobs.Wish{}, nothing))
		require.NoError(t, d.Close(context.Background()))
	})
}

func TestFullQueueLetsOnlyTheUrgentIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, g := jobs.NewDesk(context.Background()), &jobs.Gate{}
		release := make(chan struct{})
		hold(d, g, "holder", release)
		for range jobs.QueueLimit {
			go func() { _ = d.Do(context.Background(), g, jobs.Wish{}, nothing) }()
		}
		synctest.Wait()
		err := d.Do(t.Context(), g, jobs.Wish{Name: "one more"}, nothing)
		assert.ErrorIs(t, err, fault.Failed)
		assert.ErrorContains(t, err, "holder")
		urgent := make(chan error)
		go func() { urgent <- d.Do(context.Background(), g, jobs.Wish{Urgent: true}, nothing) }()
		synctest.Wait()
		close(release)
		assert.NoError(t, <-urgent)
		require.NoError(t, d.Close(context.Background()))
	})
}

func TestCloseWaitsForWorkAndTurnsAwayTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, g := jobs.NewDesk(context.Background()), &jobs.Gate{}
		release := make(chan struct{})
		hold(d, g, "holder", release)
		waiting := make(chan error, 1)
		go func() { waiting <- d.Do(context.Background(), g, jobs.Wish{Patient: true}, nothing) }()
		synctest.Wait()
		closed := make(chan error, 1)
		go func() { closed <- d.Close(context.Background()) }()
		synctest.Wait()
		assert.ErrorIs(t, <-waiting, fault.Aborted)
		assert.ErrorIs(t, d.Do(t.Context(), &jobs.Gate{}, jobs.Wish{}, nothing), fault.Aborted)
		assert.Empty(t, closed, "Close waits")
		close(release)
		assert.NoError(t, <-closed)
		assert.NoError(t, d.Close(context.Background()), "closing twice")
	})
}

func TestCloseTellsWorkWhenTimeIsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, g := jobs.NewDesk(context.Background()), &jobs.Gate{}
		outcome := make(chan error, 1)
		go func() {
			outcome <- d.Do(context.Background(), g, jobs.Wish{}, func(ctx context.Context) error {
				<-ctx.Done()
				return ctx.Err()
			})
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		assert.ErrorIs(t, d.Close(ctx), fault.Timeout)
		assert.ErrorIs(t, <-outcome, context.Canceled)
	})
}

func TestWorkMayPanic(t *testing.T) {
	d, g := jobs.NewDesk(t.Context()), &jobs.Gate{}
	assert.Panics(t, func() {
		_ = d.Do(t.Context(), g, jobs.Wish{}, func(context.Context) error { panic("broken") })
	})
	want := errors.New("reached")
	assert.Equal(t, want, d.Do(t.Context(), g, jobs.Wish{}, func(context.Context) error { return want }))
	assert.NoError(t, d.Close(t.Context()))
}

func BenchmarkFreeGate(b *testing.B) {
	d, g := jobs.NewDesk(b.Context()), &jobs.Gate{}
	for b.Loop() {
		_ = d.Do(b.Context(), g, jobs.Wish{Name: "bench"}, nothing)
	}
}
