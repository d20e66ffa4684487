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
type gatekeeper struct{ hidden string }

func (g *gatekeeper) Check(_ context.Context, caller access.Caller, p access.Permission, object ports.AccessObject) error {
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

// hear subscribes a client of its own.
func hear(f *feed.Feed, caller access.Caller, wish ports.Subscription) (*feed.Client, int) {
	c := f.Join(caller)
	number, _ := c.Subscribe(wish)
	return c, number
}

func TestEverybodyHearsWhatWasWished(t *testing.T) {
	inBubble(t, "", func(f *feed.Feed) {
		var all, reboots, one collector
		for want, wish := range []ports.Subscription{
			all.wish(ports.LifecycleEvent, nil), reboots.wish(ports.RebootEvent, nil), one.wish(ports.LifecycleEvent, &container.UUID{2}),
		} {
			_, number := hear(f, access.Caller{}, wish)
			assert.Equal(t, want, number, "unique among clients")
		}
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

func TestOneClientHearsEverythingInOrder(t *testing.T) {
	inBubble(t, "", func(f *feed.Feed) {
		var c collector
		client := f.Join(access.Caller{})
		for _, kind := range []ports.EventKind{ports.LifecycleEvent, ports.RebootEvent, ports.MetadataEvent} {
			_, ok := client.Subscribe(c.wish(kind, nil))
			assert.True(t, ok)
		}
		for n := range byte(100) {
			f.Publish(event(ports.EventKind(n%3), "a", n))
			if n%7 == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		assert.Len(t, c.got, 100)
		assert.IsIncreasing(t, c.got)
	})
}

func TestNumbersAreNeverUsedAgain(t *testing.T) {
	inBubble(t, "", func(f *feed.Feed) {
		var c collector
		client, other := f.Join(access.Caller{}), f.Join(access.Caller{})
		for n := range 10 {
			number, ok := client.Subscribe(c.wish(ports.LifecycleEvent, nil))
			assert.True(t, ok)
			assert.Equal(t, n, number)
			assert.False(t, other.Unsubscribe(n), "it is not the other's")
			assert.True(t, client.Unsubscribe(n))
			assert.False(t, client.Unsubscribe(n))
		}
		f.Publish(event(ports.LifecycleEvent, "a", 1))
		synctest.Wait()
		assert.Empty(t, c.got)
	})
}

func TestReceiversHearOnlyOfWhatTheyMaySee(t *testing.T) {
	inBubble(t, "secret", func(f *feed.Feed) {
		var root, user collector
		hear(f, access.Caller{}, root.wish(ports.LifecycleEvent, nil))
		hear(f, access.Caller{UID: 1000}, user.wish(ports.LifecycleEvent, nil))
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
		hear(f, access.Caller{}, ports.Subscription{Deliver: func(e ports.Event) {
			<-release
			slow = append(slow, e.Container.ID)
		}})
		var quick collector
		hear(f, access.Caller{}, quick.wish(ports.LifecycleEvent, nil))
		publish := func(n int) {
			f.Publish(ports.Event{Container: container.Identity{Name: "a", ID: n}})
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

func TestEndingWaitsForDelivery(t *testing.T) {
	for name, end := range map[string]func(c *feed.Client, number int){
		"Unsubscribe": func(c *feed.Client, number int) { c.Unsubscribe(number) },
		"Leave":       func(c *feed.Client, _ int) { c.Leave() },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, "", func(f *feed.Feed) {
				release, delivered := make(chan struct{}), 0
				client, number := hear(f, access.Caller{}, ports.Subscription{Deliver: func(ports.Event) {
					<-release
					delivered++
				}})
				f.Publish(event(ports.LifecycleEvent, "a", 1))
				f.Publish(event(ports.LifecycleEvent, "a", 2))
				synctest.Wait()
				over := make(chan struct{})
				go func() {
					end(client, number)
					close(over)
				}()
				synctest.Wait()
				select {
				case <-over:
					t.Error("it returned during a delivery")
				default:
				}
				close(release)
				<-over
				synctest.Wait()
				assert.Equal(t, 1, delivered, "what was queued is not delivered any more")
				client.Leave()
				_, ok := client.Subscribe(ports.Subscription{})
				assert.False(t, ok)
			})
		})
	}
}

func TestClosedFeedIsSilent(t *testing.T) {
	inBubble(t, "", func(f *feed.Feed) {
		var c collector
		before, _ := hear(f, access.Caller{}, c.wish(ports.LifecycleEvent, nil))
		f.Close()
		after, number := hear(f, access.Caller{}, c.wish(ports.LifecycleEvent, nil))
		f.Publish(event(ports.LifecycleEvent, "a", 1))
		synctest.Wait()
		assert.Empty(t, c.got)
		assert.True(t, after.Unsubscribe(number))
		before.Leave()
		after.Leave()
		f.Close()
	})
}

// slowGatekeeper answers some callers only when it is told to, or given up.
type slowGatekeeper struct {
	answer  chan struct{}
	asked   atomic.Int32
	givenUp atomic.Int32
}

func (g *slowGatekeeper) Check(ctx context.Context, caller access.Caller, _ access.Permission, _ ports.AccessObject) error {
	g.asked.Add(1)
	if caller.UID == 0 {
		return nil
	}
	select {
	case <-g.answer:
		return nil
	case <-ctx.Done():
		g.givenUp.Add(1)
		return fault.Denied("test")
	}
}

func TestSlowChecksHoldNobodyElseUp(t *testing.T) {
	synctest.Test(t, func(*testing.T) {
		g := &slowGatekeeper{answer: make(chan struct{})}
		f := feed.New(g, slog.New(slog.DiscardHandler))
		defer f.Close()
		var root, user, other collector
		hear(f, access.Caller{}, root.wish(ports.LifecycleEvent, nil))
		hear(f, access.Caller{UID: 1000}, user.wish(ports.LifecycleEvent, nil))
		leaver, number := hear(f, access.Caller{UID: 1000}, other.wish(ports.LifecycleEvent, nil))
		f.Publish(event(ports.LifecycleEvent, "a", 1))
		synctest.Wait()
		for n := range byte(3) {
			f.Publish(event(ports.LifecycleEvent, "b", n+2))
		}
		synctest.Wait()
		assert.Equal(t, []int{1, 2, 3, 4}, root.got)
		assert.Empty(t, user.got)

		assert.True(t, leaver.Unsubscribe(number), "does not wait for the answer")
		leaver.Leave()
		assert.EqualValues(t, 1, g.givenUp.Load())
		g.answer <- struct{}{}
		synctest.Wait()
		close(g.answer)
		synctest.Wait()
		assert.Equal(t, []int{1, 2, 3, 4}, user.got)
		assert.Empty(t, other.got)
	})
}

func TestClosingGivesChecksUp(t *testing.T) {
	synctest.Test(t, func(*testing.T) {
		g := &slowGatekeeper{}
		f := feed.New(g, slog.New(slog.DiscardHandler))
		var user collector
		hear(f, access.Caller{UID: 1000}, user.wish(ports.LifecycleEvent, nil))
		f.Publish(event(ports.LifecycleEvent, "a", 1))
		synctest.Wait()
		f.Close()
		assert.EqualValues(t, 1, g.givenUp.Load())
		assert.Empty(t, user.got)
	})
}

// TestEventsThatWaitedTogetherNeedOneAnswer, if they are about one container.
func TestEventsThatWaitedTogetherNeedOneAnswer(t *testing.T) {
	synctest.Test(t, func(*testing.T) {
		g := &slowGatekeeper{answer: make(chan struct{})}
		f := feed.New(g, slog.New(slog.DiscardHandler))
		defer f.Close()
		var user collector
		hear(f, access.Caller{UID: 1000}, user.wish(ports.LifecycleEvent, nil))
		f.Publish(event(ports.LifecycleEvent, "a", 1))
		synctest.Wait()
		for range 10 {
			f.Publish(ports.Event{Container: container.Identity{Name: "b", UUID: container.UUID{2}, ID: 2}})
		}
		f.Publish(event(ports.LifecycleEvent, "a", 1))
		close(g.answer)
		synctest.Wait()
		assert.Len(t, user.got, 12)
		assert.EqualValues(t, 3, g.asked.Load())
	})
}
