package rpc

import (
	"cmp"
	"io"
	"slices"
	"sync"
)

// Clients counts clients; a bound of 0 is none.
// Now counts anonymous clients too. Both may be above a bound that was lowered.
type Clients struct {
	Max, MaxAnonymous uint
	Now, Anonymous    uint
}

// clients are the places of a server: who is there and who may enter.
type clients struct {
	mu        sync.Mutex
	free      sync.Cond // broadcast when somebody may enter or nobody may any more
	counts    Clients
	sessions  map[uint64]*Session
	listeners map[io.Closer]struct{}
	closed    bool
}

func (c *clients) init(most, mostAnonymous uint) {
	c.free.L = &c.mu
	c.counts = Clients{Max: most, MaxAnonymous: mostAnonymous}
	c.sessions = make(map[uint64]*Session)
	c.listeners = make(map[io.Closer]struct{})
}

// begin counts work that close has to wait for; false if the server is closed.
func (c *clients) begin(work *sync.WaitGroup) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	work.Add(1)
	return true
}

// enter waits for a place; false if the server closes.
func (c *clients) enter(authenticated bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.closed && c.full(authenticated) {
		c.await(authenticated)
	}
	if c.closed {
		return false
	}
	c.counts.Now++
	if !authenticated {
		c.counts.Anonymous++
	}
	return true
}

// full: an authenticated client needs a place, another one a place of both kinds.
func (c *clients) full(authenticated bool) bool {
	n := &c.counts
	return n.Max > 0 && n.Now >= n.Max || !authenticated && c.crowded()
}

// crowded: there is no place for a client that has not authenticated.
func (c *clients) crowded() bool {
	return c.counts.MaxAnonymous > 0 && c.counts.Anonymous >= c.counts.MaxAnonymous
}

// add makes the session of a client that has entered known. When the server has
// closed meanwhile, the session is closed too.
func (c *clients) add(session *Session) {
	c.mu.Lock()
	c.sessions[session.id] = session
	closed := c.closed
	c.mu.Unlock()
	if closed {
		session.Close()
	}
}

// leave frees the places of a session that is over.
func (c *clients) leave(session *Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.sessions, session.id)
	c.counts.Now--
	if !session.Authenticated() {
		c.counts.Anonymous--
	}
	c.free.Broadcast()
}

// authenticated notes that a client is no longer anonymous; false if that is known.
func (c *clients) authenticated(session *Session) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if session.authenticated.Swap(true) {
		return false
	}
	if c.sessions[session.id] == session { // one that has left is not counted any more
		c.counts.Anonymous--
		c.free.Broadcast()
	}
	return true
}

// resize wakes all who wait; each looks for itself.
func (c *clients) resize(most, mostAnonymous uint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.Max, c.counts.MaxAnonymous = most, mostAnonymous
	c.free.Broadcast()
}

func (c *clients) count() Clients {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts
}

func (c *clients) session(id uint64) *Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sessions[id]
}

// list is a copy, oldest first.
func (c *clients) list() []*Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]*Session, 0, len(c.sessions))
	for _, session := range c.sessions {
		list = append(list, session)
	}
	slices.SortFunc(list, func(a, b *Session) int { return cmp.Compare(a.id, b.id) })
	return list
}

// listen notes a listener to be closed with the server; false if that has happened.
func (c *clients) listen(listener io.Closer) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.listeners[listener] = struct{}{}
	return true
}

// unlisten forgets a listener that has failed.
func (c *clients) unlisten(listener io.Closer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.listeners, listener)
}

// over tells whether the server closes.
func (c *clients) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// close lets nobody in any more and returns the listeners to close.
func (c *clients) close() []io.Closer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.free.Broadcast()
	var list []io.Closer
	for listener := range c.listeners {
		list = append(list, listener)
	}
	return list
}
