package machines

import (
	"log/slog"
	"sync"
	"time"
)

// health reports that something has begun to fail, and that it works again,
// each once.
// There is one for the host, one for scopes and one for registrations: a log that says the
// same for each of a thousand containers would be read by nobody.
type health struct {
	log  *slog.Logger
	bad  string
	good string

	mu      sync.Mutex
	failing bool
	until   time.Time
}

// bad is logged as a warning, good as an information.
func newHealth(log *slog.Logger, bad, good string) *health {
	return &health{log: log, bad: bad, good: good}
}

// fails notes a failure; for as long as pause says it is not worth trying again. pause is
// 0 where signals tell when to try again.
func (h *health) fails(err error, pause time.Duration) {
	h.mu.Lock()
	told := h.failing
	h.failing, h.until = true, time.Now().Add(pause)
	h.mu.Unlock()
	if !told {
		h.log.Warn(h.bad, "error", err)
	}
}

// works notes a success. Nothing is logged unless a failure was.
func (h *health) works() {
	h.mu.Lock()
	told := h.failing
	h.failing, h.until = false, time.Time{}
	h.mu.Unlock()
	if told {
		h.log.Info(h.good)
	}
}

// held says whether a failure is so recent that nothing should be tried. Once pause is
// over it lets through whoever comes, with the failure still noted.
func (h *health) held() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failing && time.Now().Before(h.until)
}

// release lets the next attempt be made, as something has changed, and says
// whether one is due.
func (h *health) release() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.until = time.Time{}
	return h.failing
}
