package driver

import (
	"context"
	"errors"

	"virtlxcd/app/jobs"
	"virtlxcd/domain/lifecycle"
)

// autoDestroy destroys what a closing connection owns. It waits as long as it
// takes: nobody else will do it. A daemon that is stopped closes its clients and
// so destroys them too; one that is killed leaves them running.
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
