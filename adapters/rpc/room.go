package rpc

import "time"

// shyness is how long a client that does not authenticate keeps its place if others
// want one. Clients authenticate as soon as they are connected, or ask for it.
const shyness = 2 * time.Second

// await waits until it is worth looking for a place again. If what is missing is a
// place for the unauthenticated, one who sits there in silence has to go: otherwise a
// single user could keep all others out, root too. Called with mu held, which is let
// go meanwhile.
func (c *clients) await(authenticated bool) {
	if authenticated || !c.crowded() {
		c.free.Wait()
		return
	}
	silent := c.mostSilent()
	if silent == nil {
		c.free.Wait()
		return
	}
	if left := shyness - time.Since(silent.since); left > 0 {
		timer := time.AfterFunc(left, c.wake)
		c.free.Wait()
		timer.Stop()
		return
	}
	silent.displaced = true
	c.mu.Unlock()
	silent.log.Warn("client has not authenticated and makes room for another", "uid", silent.caller.UID)
	silent.Close()
	c.mu.Lock()
}

// wake makes who waits look at the clock.
func (c *clients) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.free.Broadcast()
}

// mostSilent is the oldest unauthenticated client without a call, of the user who has
// most of them; nil if there is none, or one is on its way out.
func (c *clients) mostSilent() (found *Session) {
	oldest := make(map[uint32]*Session)
	number := make(map[uint32]int)
	for _, s := range c.sessions {
		if s.displaced {
			return nil
		}
		if s.Authenticated() || s.inbox.busy() {
			continue
		}
		uid := s.caller.UID
		number[uid]++
		if first := oldest[uid]; first == nil || s.id < first.id {
			oldest[uid] = s
		}
	}
	for uid, s := range oldest {
		if found == nil || number[uid] > number[found.caller.UID] || number[uid] == number[found.caller.UID] && s.id < found.id {
			found = s
		}
	}
	return found
}
