package feed_test

import (
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"

	"virtlxcd/app/feed"
	"virtlxcd/domain/access"
	"virtlxcd/ports"
)

// TestLeavingWhileSubscribing: a client that leaves at the same time as it
// subscribes, or has left, has no goroutine afterwards: one that is left would keep
// the bubble from ending, since the feed stays open on purpose.
func TestLeavingWhileSubscribing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := feed.New(&slowGatekeeper{}, slog.New(slog.DiscardHandler))
		for range 500 {
			c := f.Join(access.Caller{})
			var both sync.WaitGroup
			both.Go(func() { c.Subscribe(ports.Subscription{Deliver: func(ports.Event) {}}) })
			both.Go(c.Leave)
			both.Wait()
			_, ok := c.Subscribe(ports.Subscription{})
			assert.False(t, ok)
		}
		c := f.Join(access.Caller{})
		c.Leave()
		for range 2 {
			_, ok := c.Subscribe(ports.Subscription{})
			assert.False(t, ok)
		}
	})
}

// TestLeavingWaitsWhoeverElseDoes: whoever ends a client's goroutine, Leave returns
// when nothing is being delivered.
func TestLeavingWaitsWhoeverElseDoes(t *testing.T) {
	for name, other := range map[string]func(f *feed.Feed, c *feed.Client){
		"closing":       func(f *feed.Feed, _ *feed.Client) { f.Close() },
		"leaving twice": func(_ *feed.Feed, c *feed.Client) { c.Leave() },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, "", func(f *feed.Feed) {
				release, busy := make(chan struct{}), true
				client, _ := hear(f, access.Caller{}, ports.Subscription{Deliver: func(ports.Event) {
					<-release
					busy = false
				}})
				f.Publish(event(ports.LifecycleEvent, "a", 1))
				synctest.Wait()
				var both sync.WaitGroup
				both.Go(func() { other(f, client) })
				synctest.Wait()
				left := make(chan struct{})
				both.Go(func() {
					client.Leave()
					assert.False(t, busy, "it is still being delivered")
					close(left)
				})
				synctest.Wait()
				close(release)
				<-left
				both.Wait()
			})
		})
	}
}

// TestOrderOverManyPublishers: what one publisher tells is heard in its order,
// whatever others publish meanwhile, and nothing is heard twice.
func TestOrderOverManyPublishers(t *testing.T) {
	inBubble(t, "", func(f *feed.Feed) {
		var c collector
		hear(f, access.Caller{}, c.wish(ports.LifecycleEvent, nil))
		var all sync.WaitGroup
		for publisher := range 4 {
			all.Go(func() {
				for n := range 50 {
					e := event(ports.LifecycleEvent, "a", 0)
					e.Container.ID = 1000*publisher + n
					f.Publish(e)
				}
			})
		}
		all.Wait()
		synctest.Wait()
		assert.Len(t, c.got, 200)
		next := [4]int{}
		for _, id := range c.got {
			assert.Equal(t, next[id/1000], id%1000)
			next[id/1000]++
		}
	})
}

// TestUnsubscribingOneKeepsTheOther of the same client, with what is queued for it.
func TestUnsubscribingOneKeepsTheOther(t *testing.T) {
	inBubble(t, "", func(f *feed.Feed) {
		release := make(chan struct{})
		var kept, ended collector
		client, _ := hear(f, access.Caller{}, ports.Subscription{Kind: ports.RebootEvent, Deliver: func(ports.Event) { <-release }})
		client.Subscribe(kept.wish(ports.LifecycleEvent, nil))
		number, _ := client.Subscribe(ended.wish(ports.LifecycleEvent, nil))
		f.Publish(event(ports.RebootEvent, "a", 0)) // the client is busy with it
		synctest.Wait()
		for n := range byte(5) {
			f.Publish(event(ports.LifecycleEvent, "a", n))
		}
		assert.True(t, client.Unsubscribe(number), "it is not the one that is busy")
		close(release)
		synctest.Wait()
		assert.Equal(t, []int{0, 1, 2, 3, 4}, kept.got)
		assert.Empty(t, ended.got)
	})
}

// TestNothingIsHeardOfWhatWasBefore a subscription.
func TestNothingIsHeardOfWhatWasBefore(t *testing.T) {
	inBubble(t, "", func(f *feed.Feed) {
		var early, late collector
		client, _ := hear(f, access.Caller{}, early.wish(ports.LifecycleEvent, nil))
		f.Publish(event(ports.LifecycleEvent, "a", 1))
		client.Subscribe(late.wish(ports.LifecycleEvent, nil))
		f.Publish(event(ports.LifecycleEvent, "a", 2))
		synctest.Wait()
		assert.Equal(t, []int{1, 2}, early.got)
		assert.Equal(t, []int{2}, late.got)
	})
}
