package driver

import (
	"virtlxcd/domain/audit"
	"virtlxcd/domain/container"
	"virtlxcd/domain/lifecycle"
	"virtlxcd/ports"
)

// auditAll writes records one by one: the trail has no transactions, and a writer that
// fails has logged it.
func (d *Driver) auditAll(records []audit.Record) {
	for _, record := range records {
		d.ports.Auditor.Record(record)
	}
}

// identity is the container as the trail names it while no snapshot shows its id yet.
func (s *start) identity() container.Identity {
	return container.Identity{Name: s.entry.Name, UUID: s.entry.UUID, ID: s.shownID()}
}

// auditSuccess comes after show: a start is on the trail once clients can see it. The
// trail then names init, since what it does itself is audited under its pid.
func (s *start) auditSuccess() {
	d := s.driver
	d.auditAll(audit.Started(s.live, s.identity(), s.controller.Ref().PID, audit.Booted, true))
	d.auditInit(s.identity(), s.run)
}

// auditFailure tells what was to be given and, of a start that got far, that
// what was begun has been stopped.
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

// auditInit names the first process and its PID namespace, by which readers of the
// trail find the records of everything inside.
func (d *Driver) auditInit(who container.Identity, r *run) {
	var namespace uint64
	if one, ok := r.process.(ports.PIDNamespaced); ok {
		namespace, _ = one.PIDNamespace() // 0 for one that has ended already
	}
	d.ports.Auditor.Record(audit.Init(who, r.status.Controller.PID, r.held.PID, namespace))
}

// auditReboot is a stop and a start, as the trail knows them.
func (d *Driver) auditReboot(e *entry, r *run) {
	who := e.Snapshot().Identity
	d.ports.Auditor.Record(audit.Stopped(who, r.status.Controller.PID, audit.Rebooted))
	d.auditAll(audit.Started(e.Snapshot().Live, who, r.status.Controller.PID, audit.Rebooted, true))
	d.auditInit(who, r)
}

// auditStop names the controller that held the container last: after a rehousing not
// the one that its start was audited with.
func (d *Driver) auditStop(e *entry, r *run, reason lifecycle.Reason) {
	who := container.Identity{Name: e.Name, UUID: e.UUID, ID: r.id}
	d.ports.Auditor.Record(audit.Stopped(who, r.status.Controller.PID, endings[reason]))
}

// endings are the words of the trail for why a container is off.
var endings = map[lifecycle.Reason]string{
	lifecycle.Destroyed:    audit.Destroyed,
	lifecycle.ShutDown:     audit.Shutdown,
	lifecycle.Crashed:      audit.Shutdown,
	lifecycle.FailedReason: audit.Failed,
}
