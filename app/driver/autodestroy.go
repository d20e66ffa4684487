package driver

import (
	"context"
	"errors"

	"virtlxcd/app/jobs"
	"virtlxcd/domain/lifecycle"
)

// autoDestroy destroys what a closing connection owns. It waits as long as it
// takes: nobody else will do it. A daemon that is stopped closes its clients
// and so destroys them too; one that is killed leaves them running. Called once
// per connection, by Close, when closed is set. Each container is looked at
// twice: without its gate, to pass over those of others cheaply, and with it,
// as it may have ended or been started anew while this waited. The wish is
// urgent, so that a queue which others have filled does not keep it out. What
// cannot be destroyed runs on, and the rest is still destroyed; the errors are
// joined.
func (d *Driver) autoDestroy(c *connection) error {
	var failures []error
	for _, e := range d.registry.Entries() {
		if r := e.Data.run.Load(); r == nil || r.owner != c {
			continue
		}
		wish := jobs.Wish{Name: callAutoDestroy, Patient: true, Urgent: true}
		err := d.desk.Do(context.Background(), &e.Gate, wish, func(ctx context.Context) error {
			r := e.Data.run.Load()
			if r == nil || r.owner != c || e.Snapshot().State == lifecycle.Off {
				return nil
			}
			return d.destroy(ctx, e)
		})
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}

// destroyForsaken destroys what was started for a connection that closed while
// the start was under way: it has looked for what it owns and has not seen
// this. The order counts: the run is shown before closed is looked at here, and
// closed is set before runs are looked at there, so one of the two sees the
// other. Called with the gate held. With an error the container still runs.
func (d *Driver) destroyForsaken(ctx context.Context, e *entry, owner *connection) (forsaken bool, err error) {
	if owner == nil || !owner.closed.Load() {
		return false, nil
	}
	return true, d.destroy(ctx, e)
}
