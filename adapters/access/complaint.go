package access

import (
	"log/slog"
	"sync/atomic"
	"time"
)

// pause is how often a failing authority is complained about. Callers can make single
// checks fail at will, for example by ending, and must not fill the log with it.
const pause = time.Minute

// complaint keeps the log to one line when checks begin to fail and one when they
// work again.
type complaint struct {
	pending atomic.Bool  // the failure was logged and its end was not
	last    atomic.Int64 // when the failure was logged, in nanoseconds since 1970
}

func (c *complaint) report(log *slog.Logger, err error) {
	if err == nil {
		if c.pending.Load() && c.pending.CompareAndSwap(true, false) {
			log.Info("rights can be checked again")
		}
		return
	}
	now, last := time.Now().UnixNano(), c.last.Load()
	if now-last < int64(pause) || !c.last.CompareAndSwap(last, now) {
		return
	}
	c.pending.Store(true)
	log.Error("rights are denied because their check fails", "error", err)
}
