package driver

import (
	"context"

	"virtlxcd/app/jobs"
	"virtlxcd/ports"
)

// enroll makes the container known outside of the daemon while init is let go.
// That it cannot is no reason not to start. It waits for other daemons, and
// init needs nothing of it. The reverse ends it early and waits for it, so that
// nothing is registered after withdraw.
func (s *start) enroll(ctx context.Context) error {
	ctx, giveUp := context.WithCancel(ctx)
	s.enrolled = make(chan struct{})
	s.push("forget the machine", func(ctx context.Context) error {
		giveUp()
		<-s.enrolled
		s.driver.withdraw(ctx, s.entry, s.run)
		return nil
	})
	go func() { // awaitEnrolled or the reverse waits for it
		defer close(s.enrolled)
		defer giveUp()
		s.driver.register(ctx, s.entry, s.run)
		s.driver.keep(s.entry, s.run)
	}()
	return nil
}

// awaitEnrolled keeps the start from being shown before its machine is: whoever
// sees the container may ask the registry for it. The started hook comes after
// it for the same reason.
func (s *start) awaitEnrolled(context.Context) error {
	<-s.enrolled
	return nil
}

// register tells the registry of machines about the present init and links of a
// container that lives in a unit. Called with the gate held, so that it is not
// released meanwhile. What fails is logged only: the container runs as well
// unregistered. It may be called again for the same run, after a reboot from
// inside or a restart of the daemon.
func (d *Driver) register(ctx context.Context, e *entry, r *run) {
	if !r.inScope() {
		return
	}
	err := d.ports.Machines.Register(ctx, ports.Machine{
		Name: r.machine, UUID: e.UUID, Partition: r.status.Definition.Partition,
		Holder: r.status.Controller.PID, Leader: r.held.PID, Links: r.links,
		Shares: r.status.Definition.Limits.CPUShares,
	})
	if err != nil {
		d.log.Info("cannot register a container as a machine", "container", e.Name, "error", err)
	}
}

// keep gives duplicates of what the daemon holds into escrow. A host without a
// keeper does nothing. A failure costs something only if controller and daemon
// are both replaced.
func (d *Driver) keep(e *entry, r *run) {
	if err := d.ports.Escrow.Keep(e.UUID, r.held); err != nil {
		d.log.Warn("cannot keep descriptors over a restart of the daemon", "container", e.Name, "error", err)
	}
}

// withdraw takes back what register and keep told. Called with the gate held,
// or by a start that takes itself back.
func (d *Driver) withdraw(ctx context.Context, e *entry, r *run) {
	d.insist(ctx, e, "drop kept descriptors", func(context.Context) error { return d.ports.Escrow.Drop(e.UUID) })
	if r.inScope() {
		d.insist(ctx, e, "forget the machine", func(ctx context.Context) error {
			return d.ports.Machines.Release(ctx, r.machine)
		})
	}
}

// foundInUnits are the running containers that may be machines. It is asked
// before controllers are listened to, as it needs no gate then. Recover is
// alone then, and inScope reads what a job may change later.
func (d *Driver) foundInUnits() (found []tenant) {
	for _, e := range d.registry.Entries() {
		if r := e.Data.run.Load(); r != nil && r.inScope() {
			found = append(found, tenant{entry: e, run: r})
		}
	}
	return found
}

// registerFound tells a registry that may have been restarted what was found
// running. Nobody waits for it. A run that was replaced meanwhile has been
// registered by its own start.
func (d *Driver) registerFound(found []tenant) {
	if len(found) == 0 {
		return
	}
	d.spawn(func() {
		for _, t := range found {
			wish := jobs.Wish{Name: callRecover, Patient: true}
			err := d.desk.Do(d.desk.Context(), &t.entry.Gate, wish, func(ctx context.Context) error {
				if t.entry.Data.run.Load() == t.run {
					d.register(ctx, t.entry, t.run)
				}
				return nil
			})
			if err != nil {
				return // the daemon ends
			}
		}
	})
}
