package feed_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"

	"virtlxcd/app/feed"
	"virtlxcd/domain/access"
	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gatekeeper denies everything about one container.
type gatekeeper struct {
	hidden string
	asked  atomic.Int32
}

func (g *gatekeeper) Check(_ context.Context, caller access.Caller, p access.Permission, object ports.AccessObject) error {
	g.asked.Add(1)
	if p == access.Getattr && object.Name == g.hidden && caller.UID != 0 {
		return fault.Denied("test")
	}
	return nil
}

func event(kind ports.EventKind, name string, n byte) ports.Event {
	return ports.Event{Kind: kind, Container: container.Identity{Name: name, UUID: container.UUID{n}, ID: int(n)}}
}

// inBubble runs test with a feed and closes it.
func inBubble(t *testing.T, hidden string, test func(f *feed.Feed)) {
	synctest.Test(t, func(*testing.T) {
		f := feed.New(&gatekeeper{hidden: hidden}, slog.New(slog.DiscardHandler))
		defer f.Close()
		test(f)
	})
}

// collector keeps the ids of what it was told.
type collector struct{ got []int }

func (c *collector) wish(kind ports.EventKind, of *container.UUID) ports.Subscription {
	return ports.Subscription{Kind: kind, Container: of, Deliver: func(e ports.Event) { c.got = append(c.got, e.Container.ID) }}
}

func TestEverybodyHearsWhatWasWished(t *testing.T) {
	inBubble(t, "", func(f *feed.Feed) {
		var all, reboots, one collector
		assert.Equal(t, 0, f.Subscribe(access.Caller{}, all.wish(ports.LifecycleEvent, nil)))
		assert.Equal(t, 1, f.Subscribe(access.Caller{}, reboots.wish(ports.RebootEvent, nil)))
		assert.Equal(t, 2, f.Subscribe(access.Caller{}, one.wish(ports.LifecycleEvent, &container.UUID{2})))
		for n := range byte(5) {
			f.Publish(event(ports.LifecycleEvent, "a", n))
		}
		f.Publish(event(ports.RebootEvent, "a", 9))
		synctest.Wait()
		assert.Equal(t, []int{0, 1, 2, 3, 4}, all.got)
		assert.Equal(t, []int{9}, reboots.got)
		assert.Equal(t, []int{2}, one.got)
	})
}

func TestNumbersAreNeverUsedAgain(t *testing.T) {
	inBubble(t, "", func(f *feed.Feed) {
		var c collector
		for n := range 10 {
			assert.Equal(t, n, f.Subscribe(access.Caller{}, c.wish(ports.LifecycleEvent, nil)))
			f.Unsubscribe(n)
			f.Unsubscribe(n)
		}
		f.Publish(event(ports.LifecycleEvent, "a", 1))
		synctest.Wait()
		assert.Empty(t, c.got)
	})
}

func TestReceiversHearOnlyOfWhatTheyMaySee(t *testing.T) {
	inBubble(t, "secret", func(f *feed.Feed) {
		var root, user collector
		f.Subscribe(access.Caller{}, root.wish(ports.LifecycleEvent, nil))
		f.Subscribe(access.Caller{UID: 1000}, user.wish(ports.LifecycleEvent, nil))
		f.Publish(event(ports.LifecycleEvent, "secret", 1))
		f.Publish(event(ports.LifecycleEvent, "open", 2))
		synctest.Wait()
		assert.Equal(t, []int{1, 2}, root.got)
		assert.Equal(t, []int{2}, user.got)
	})
}

func TestSlowReceiversLoseTheOldest(t *testing.T) {
	inBubble(t, "", func(f *feed.Feed) {
		release := make(chan struct{})
		var slow []int
		f.Subscribe(access.Caller{}, ports.Subscription{Deliver: func(e ports.Event) {
			<-release
			slow = append(slow, int(e.Change.Detail)<<8+e.Container.ID)
		}})
		var quick collector
		f.Subscribe(access.Caller{}, quick.wish(ports.LifecycleEvent, nil))
		publish := func(n int) {
			e := event(ports.LifecycleEvent, "a", byte(n))
			e.Change.Detail = 0
			e.Container.ID = n
			f.Publish(e)
		}
		publish(0)
		synctest.Wait() // the slow one is busy with 0
		for n := 1; n <= feed.QueueLimit+10; n++ {
			publish(n) // does not wait
			if n%100 == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		assert.Len(t, quick.got, feed.QueueLimit+11)
		close(release)
		synctest.Wait()
		assert.Len(t, slow, feed.QueueLimit+1)
		assert.Equal(t, 0, slow[0])
		assert.Equal(t, 11, slow[1], "1 to 10 are lost")
		assert.IsIncreasing(t, slow)
	})
}

func TestUnsubscribeWaitsForDelivery(t *testing.T) {
	inBubble(t, "", func(f *feed.Feed) {
		release, delivered := make(chan struct{}), 0
		number := f.Subscribe(access.Caller{}, ports.Subscription{Deliver: func(ports.Event) {
			<-release
			delivered++
		}})
		f.Publish(event(ports.LifecycleEvent, "a", 1))
		f.Publish(event(ports.LifecycleEvent, "a", 2))
		synctest.Wait()
		over := make(chan struct{})
		go func() {
			f.Unsubscribe(number)
			close(over)
		}()
		synctest.Wait()
		select {
		case <-over:
			t.Error("Unsubscribe returned during a delivery")
		default:
		}
		close(release)
		<-over
		assert.Equal(t, 1, delivered, "what was queued is not delivered any more")
	})
}

func TestClosedFeedIsSilent(t *testing.T) {
	inBubble(t, "", func(f *feed.Feed) {
		var c collector
		f.Close()
		f.Unsubscribe(f.Subscribe(access.Caller{}, c.wish(ports.LifecycleEvent, nil)))
		f.Publish(event(ports.LifecycleEvent, "a", 1))
		synctest.Wait()
		assert.Empty(t, c.got)
	})
}
