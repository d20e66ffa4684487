package driver

import (
	"virtlxcd/domain/audit"
	"virtlxcd/domain/container"
	"virtlxcd/domain/lifecycle"
	"virtlxcd/ports"
)

// auditAll writes records one by one: the trail has no transactions, and a
// writer that fails has logged it. Nothing here returns an error: a trail that
// cannot be written stops no container.
func (d *Driver) auditAll(records []audit.Record) {
	for _, record := range records {
		d.ports.Auditor.Record(record)
	}
}

// identity is the container as the trail names it while no snapshot shows its
// id yet. A start that failed before it had a controller is on the trail
// without an id.
func (s *start) identity() container.Identity {
	return container.Identity{Name: s.entry.Name, UUID: s.entry.UUID, ID: s.shownID()}
}

// auditSuccess comes after show: a start is on the trail once clients can see
// it. The trail then names init, since what it does itself is audited under its
// pid. Called with the gate held, so no record of the container's end can come
// first.
func (s *start) auditSuccess() {
	d := s.driver
	d.auditAll(audit.Started(s.live, s.identity(), s.controller.Ref().PID, audit.Booted, true))
	d.auditInit(s.identity(), s.run)
}

// auditFailure tells what was to be given and, of a start that got far, that
// what was begun has been stopped. It comes after undo, so what it calls
// stopped is. Live is nil until check has let the definition through: what was
// refused there was not given anything and leaves no record.
func (s *start) auditFailure() {
	if s.live == nil {
		return
	}
	holder := 0
	if s.controller != nil {
		holder = s.controller.Ref().PID
	}
	if s.begun {
		s.driver.ports.Auditor.Record(audit.Stopped(s.identity(), holder, audit.Failed))
	}
	s.driver.auditAll(audit.Started(s.live, s.identity(), holder, audit.Booted, false))
}

// auditInit names the first process and its PID namespace, by which readers of
// the trail find the records of everything inside. Where the port cannot tell
// the namespace, it is 0.
func (d *Driver) auditInit(who container.Identity, r *run) {
	var namespace uint64
	if one, ok := r.process.(ports.PIDNamespaced); ok {
		namespace, _ = one.PIDNamespace() // 0 for one that has ended already
	}
	d.ports.Auditor.Record(audit.Init(who, r.status.Controller.PID, r.held.PID, namespace))
}

// auditReboot is a stop and a start, as the trail knows them. Called with the
// gate held, after adoptInit: the record of init is about the new one.
func (d *Driver) auditReboot(e *entry, r *run) {
	who := e.Snapshot().Identity
	d.ports.Auditor.Record(audit.Stopped(who, r.status.Controller.PID, audit.Rebooted))
	d.auditAll(audit.Started(e.Snapshot().Live, who, r.status.Controller.PID, audit.Rebooted, true))
	d.auditInit(who, r)
}

// auditStop names the controller that held the container last: after a
// rehousing not the one that its start was audited with. Called once per run,
// by clear; the id is the run's, as the registry has let go of it by then.
func (d *Driver) auditStop(e *entry, r *run, reason lifecycle.Reason) {
	who := container.Identity{Name: e.Name, UUID: e.UUID, ID: r.id}
	d.ports.Auditor.Record(audit.Stopped(who, r.status.Controller.PID, endings[reason]))
}

// endings are the words of the trail for why a container is off. Every reason
// that a step to Off carries is here.
var endings = map[lifecycle.Reason]string{
	lifecycle.Destroyed:    audit.Destroyed,
	lifecycle.ShutDown:     audit.Shutdown,
	lifecycle.Crashed:      audit.Shutdown,
	lifecycle.FailedReason: audit.Failed,
}
