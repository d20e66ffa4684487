package polkit

import (
	"sync/atomic"
	"time"
)

// rest is how long nobody is kept waiting for a daemon that did not answer.
const rest = 5 * time.Second

// silence remembers that the daemon does not answer. Without it a list of a thousand
// containers would take a thousand times the limit of one check.
type silence struct {
	until atomic.Pointer[time.Time]
}

// begin is called after a check that reached its limit.
func (s *silence) begin() {
	until := time.Now().Add(rest)
	s.until.Store(&until)
}

func (s *silence) end() {
	if s.until.Load() != nil {
		s.until.Store(nil)
	}
}

// lasts is asked before every check; it costs a load and, in silence, a look at the clock.
func (s *silence) lasts() bool {
	until := s.until.Load()
	return until != nil && time.Now().Before(*until)
}
