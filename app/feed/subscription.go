package feed

import (
	"sync"

	"virtlxcd/domain/access"
	"virtlxcd/ports"
)

// subscription is one receiver with its queue.
type subscription struct {
	feed   *Feed
	caller access.Caller
	wish   ports.Subscription
	number int
	wake   chan struct{} // one token: the queue is not empty
	stop   chan struct{}
	done   chan struct{}

	mu    sync.Mutex
	queue []ports.Event
	lost  int // events dropped since the queue was last empty
}

func (s *subscription) wants(event *ports.Event) bool {
	return s.wish.Kind == event.Kind &&
		(s.wish.Container == nil || *s.wish.Container == event.Container.UUID)
}

func (s *subscription) push(event ports.Event) {
	s.mu.Lock()
	if len(s.queue) == QueueLimit {
		s.queue = s.queue[1:]
		s.lost++
	}
	s.queue = append(s.queue, event)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// take empties the queue.
func (s *subscription) take() (events []ports.Event, lost int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	events, lost = s.queue, s.lost
	s.queue, s.lost = nil, 0
	return events, lost
}

func (s *subscription) run() {
	defer close(s.done)
	for {
		select {
		case <-s.stop:
			return
		case <-s.wake:
		}
		events, lost := s.take()
		if lost > 0 {
			s.feed.log.Warn("a subscriber was too slow and lost events", "subscription", s.number, "lost", lost)
		}
		for i := range events {
			if s.stopped() {
				return
			}
			s.deliver(&events[i])
		}
	}
}

func (s *subscription) stopped() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

func (s *subscription) deliver(event *ports.Event) {
	object := ports.AccessObject{Name: event.Container.Name, UUID: event.Container.UUID}
	if s.feed.access.Check(s.feed.ctx, s.caller, access.Getattr, object) == nil && !s.stopped() {
		s.wish.Deliver(*event)
	}
}
