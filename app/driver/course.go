package driver

import (
	"context"
	"log/slog"
	"time"

	"virtlxcd/domain/lifecycle"
)

// maxSteps is how many steps of a start can be timed. It must not be less than
// perform has, or did panics.
const maxSteps = 20

// course is how long the steps of a start took. It is printed only if somebody
// listens. Fixed arrays: a start whose course nobody reads takes no memory for
// it.
type course struct {
	begun, last time.Time
	names       [maxSteps]string
	took        [maxSteps]time.Duration
	steps       int
}

// begin starts the clock. Time is that of the machine: virtual in tests.
func (c *course) begin() {
	c.begun = time.Now()
	c.last = c.begun
}

// did says that a step has ended, well or not. Called by perform after every
// step, the one that failed included.
func (c *course) did(name string) {
	now := time.Now()
	c.names[c.steps], c.took[c.steps] = name, now.Sub(c.last)
	c.last = now
	c.steps++
}

// logSuccess prints one line for a start, with a group "phases" of a duration
// per step. The durations add up to that of the whole: "phases.terminals=1.2ms
// phases.begin=9ms".
func (c *course) logSuccess(log *slog.Logger, s *start) {
	if !log.Enabled(context.Background(), slog.LevelInfo) {
		return
	}
	phases := make([]any, 0, maxSteps)
	for i := range c.steps {
		phases = append(phases, slog.Duration(c.names[i], c.took[i]))
	}
	log.Info("container started", "container", s.entry.Name, "uuid", s.entry.UUID.String(), "id", s.run.id,
		"duration", c.last.Sub(c.begun), slog.Group("phases", phases...))
}

// logFailure names the step that failed: the last. The duration does not count
// what it took to undo the others.
func (c *course) logFailure(log *slog.Logger, s *start, err error) {
	log.Warn("container not started", "container", s.entry.Name, "uuid", s.entry.UUID.String(),
		"step", c.names[c.steps-1], "duration", c.last.Sub(c.begun), "error", err)
}

// reportEnd tells the log and the audit trail of a container that has ended.
// The duration is that of clearing up: from when the end was wanted or seen,
// until nothing is left. Called by clear, with the gate held.
func (d *Driver) reportEnd(e *entry, r *run, reason lifecycle.Reason) {
	d.auditStop(e, r, reason)
	d.log.Info("container stopped", "container", e.Name, "uuid", e.UUID.String(), "id", r.id,
		"reason", reason.String(), "status", r.exit, "duration", time.Since(r.ending))
}
