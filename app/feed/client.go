package feed

import (
	"context"
	"sync"

	"virtlxcd/domain/access"
	"virtlxcd/domain/container"
	"virtlxcd/ports"
)

// Client is one receiver with its subscriptions and its queue. Its methods are
// safe from any goroutine. Its mutex is held for a look at the queue and never
// while a receiver or the access port is called.
type Client struct {
	feed   *Feed
	caller access.Caller
	wake   chan struct{} // one token: the queue is not empty
	done   chan struct{}
	cancel context.CancelFunc // ends its goroutine; nil: it never had one. Guarded by the feed

	mu            sync.Mutex
	subscriptions map[int]*subscription
	left          bool
	queue         []delivery
	lost          int           // events dropped since the queue was last empty
	current       *subscription // what is being delivered, nil: nothing
	delivered     chan struct{} // closed when that is over
}

// subscription is one wish. ended is guarded by the client and stays: deliveries that
// are queued for it find it.
type subscription struct {
	number int
	wish   ports.Subscription
	ended  bool
}

// delivery is an event that waits for one subscription. The event is shared between
// clients and read only.
type delivery struct {
	to    *subscription
	event ports.Event
}

// Subscribe starts delivery and returns a number that is never used again. ok
// is false for a client that has left. Two subscriptions for the same thing get
// each event twice. It costs a goroutine for the first one, which lives until
// Leave or the feed's Close.
func (c *Client) Subscribe(wish ports.Subscription) (number int, ok bool) {
	number = c.feed.admit(c)
	if c.keep(&subscription{number: number, wish: wish}) {
		return number, true
	}
	c.Leave() // for a client that has left, admit may have begun to serve it
	return 0, false
}

// keep adds a subscription, unless the client has left.
func (c *Client) keep(s *subscription) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left {
		return false
	}
	c.subscriptions[s.number] = s
	return true
}

// Unsubscribe ends delivery; when it returns, none is under way. It must not be
// called from Deliver. False: the client has no such subscription. Events that
// are queued for it are passed over when their turn comes (begin).
func (c *Client) Unsubscribe(number int) bool {
	c.mu.Lock()
	s := c.subscriptions[number]
	if s == nil {
		c.mu.Unlock()
		return false
	}
	delete(c.subscriptions, number)
	s.ended = true
	var busy chan struct{}
	if c.current == s {
		busy = c.delivered
	}
	c.mu.Unlock()
	if busy != nil {
		<-busy
	}
	return true
}

// Leave ends all subscriptions and waits until none is being delivered; a check
// of access that waits for others is given up. Leaving twice is harmless. It
// must not be called from Deliver, which it waits for.
func (c *Client) Leave() {
	c.mu.Lock()
	c.left = true
	clear(c.subscriptions)
	c.queue = nil
	c.mu.Unlock()
	if cancel := c.feed.dismiss(c); cancel != nil {
		cancel()
		<-c.done
	}
}

// push queues an event once per subscription that wants it, and drops the
// oldest if there is no room. It never waits: the token in wake says that there
// is something, however often it is put there. Called by Publish with the
// feed's mutex held for reading, so it must not wait. Surplus is counted and
// logged by run, once per batch and not once per event.
func (c *Client) push(event ports.Event) {
	c.mu.Lock()
	before := len(c.queue)
	for _, s := range c.subscriptions {
		if s.wants(&event) {
			c.queue = append(c.queue, delivery{s, event})
		}
	}
	if surplus := len(c.queue) - QueueLimit; surplus > 0 {
		c.queue = c.queue[surplus:]
		c.lost += surplus
	}
	news := len(c.queue) > before || c.lost > 0
	c.mu.Unlock()
	if !news {
		return
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// wants compares by UUID, which a container keeps when it is defined anew.
func (s *subscription) wants(event *ports.Event) bool {
	return s.wish.Kind == event.Kind &&
		(s.wish.Container == nil || *s.wish.Container == event.Container.UUID)
}

// run empties the queue in one goroutine, which makes the order of events that
// of their delivery. What it has taken and not delivered when ctx ends is lost.
// Started by admit, with the first subscription; Leave and Close end it and
// wait.
func (c *Client) run(ctx context.Context) {
	defer close(c.done)
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		}
		events, lost := c.take()
		if lost > 0 {
			c.feed.log.Warn("a client was too slow and lost events", "uid", c.caller.UID, "lost", lost)
		}
		checks := verdicts{client: c, ctx: ctx}
		for i := range events {
			allowed := checks.allow(&events[i].event.Container)
			if ctx.Err() != nil {
				return
			}
			if allowed {
				c.deliver(&events[i])
			}
		}
	}
}

// verdicts are what the client may know of, asked with no lock held: the answer
// may take its time. Events that waited together and are about the same
// container need one answer. One belongs to one batch: the queue as take found
// it.
type verdicts struct {
	client  *Client
	ctx     context.Context
	asked   bool
	of      container.UUID
	allowed bool
}

// allow asks for each container anew in each batch: rights may be taken away.
func (v *verdicts) allow(who *container.Identity) bool {
	if v.asked && v.of == who.UUID {
		return v.allowed
	}
	object := ports.AccessObject{Name: who.Name, UUID: who.UUID}
	v.asked, v.of = true, who.UUID
	v.allowed = v.client.feed.access.Check(v.ctx, v.client.caller, access.Getattr, object) == nil
	return v.allowed
}

// take empties the queue.
func (c *Client) take() (events []delivery, lost int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	events, lost = c.queue, c.lost
	c.queue, c.lost = nil, 0
	return events, lost
}

// deliver calls the receiver with no lock held, so it may call back, but for
// Unsubscribe and Leave, which wait for it.
func (c *Client) deliver(d *delivery) {
	if !c.begin(d.to) {
		return
	}
	defer c.end()
	d.to.wish.Deliver(d.event)
}

// begin marks what Unsubscribe must wait for; false if it came first. One
// delivery at a time has current to itself, as only run calls it.
func (c *Client) begin(s *subscription) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.ended || c.left {
		return false
	}
	c.current, c.delivered = s, make(chan struct{})
	return true
}

// end lets those go on who wait for the delivery to be over.
func (c *Client) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.delivered)
	c.current, c.delivered = nil, nil
}
