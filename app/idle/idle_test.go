package idle

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

func expired(w *Watch) bool {
	synctest.Wait()
	select {
	case <-w.Expired():
		return true
	default:
		return false
	}
}

// pass lets time go by and all timers do their work.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestExpiresWhenNobodyCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(10 * time.Second)
		pass(9 * time.Second)
		assert.False(t, expired(w))
		pass(time.Second)
		assert.True(t, expired(w))
		w.Occupied(1)
		w.Occupied(-1)
		w.SetLimit(time.Second)
		pass(time.Minute)
		assert.True(t, expired(w), "and stays so")
	})
}

func TestTimeStandsStillWhileItIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(10 * time.Second)
		pass(9 * time.Second)
		w.Occupied(2)
		pass(time.Hour)
		w.Occupied(-1)
		pass(time.Hour)
		assert.False(t, expired(w), "one is left")
		w.Occupied(-1)
		pass(9 * time.Second)
		assert.False(t, expired(w), "the time began anew")
		pass(time.Second)
		assert.True(t, expired(w))
	})
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(0)
		assert.Zero(t, w.Limit())
		pass(1000 * time.Hour)
		assert.False(t, expired(w), "0 is no limit")
		w.SetLimit(time.Minute)
		assert.Equal(t, time.Minute, w.Limit())
		pass(59 * time.Second)
		w.SetLimit(time.Minute)
		pass(59 * time.Second)
		assert.False(t, expired(w), "a change counts from now")
		w.Stop()
		pass(time.Hour)
		assert.False(t, expired(w))
		w.SetLimit(time.Second)
		pass(time.Second)
		assert.True(t, expired(w))
	})
}

func TestLastMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 100 {
			w := New(time.Second)
			time.Sleep(time.Second) // the timer fires in this very moment
			w.Occupied(1)
			synctest.Wait()
			select {
			case <-w.Expired(): // it was first
			default:
				pass(time.Hour)
				assert.False(t, expired(w), "a user who was first keeps it")
			}
			w.Stop()
		}
	})
}

// TestStopComesFirst: what is stopped does not expire, even if it was about to.
func TestStopComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 100 {
			w := New(time.Second)
			time.Sleep(time.Second) // the timer fires in this very moment
			w.Stop()
			first := expired(w)
			pass(time.Hour)
			assert.Equal(t, first, expired(w), "nothing changes after Stop")
			w.Occupied(1)
			w.Occupied(-1)
			pass(time.Hour)
			assert.Equal(t, first, expired(w), "nor by those who come and go")
		}
	})
}

// TestLimitsWhileItIsUsed count from the moment in which nobody uses it any more.
func TestLimitsWhileItIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(time.Second)
		w.Occupied(1)
		w.SetLimit(time.Minute)
		pass(time.Hour)
		assert.False(t, expired(w))
		w.Occupied(-1)
		pass(59 * time.Second)
		assert.False(t, expired(w))
		pass(time.Second)
		assert.True(t, expired(w))
	})
}

// TestMoreLeaveThanCame: counts below nothing are nobody.
func TestMoreLeaveThanCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(time.Minute)
		w.Occupied(-1)
		w.Occupied(1) // of whom the other was told too early
		pass(59 * time.Second)
		assert.False(t, expired(w))
		pass(time.Second)
		assert.True(t, expired(w))
		w.Stop()
	})
}
