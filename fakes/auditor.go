package fakes

import (
	"slices"

	"virtlxcd/domain/audit"
)

// Auditor keeps the audit trail on the Host.
type Auditor struct{ host *Host }

// NewAuditor returns the port.
func NewAuditor(host *Host) *Auditor { return &Auditor{host} }

// Record adds a line to the trail. It is no op: it takes no context and cannot fail, so
// no fault can be injected.
func (a *Auditor) Record(record audit.Record) {
	a.host.look(func() { a.host.audited = append(a.host.audited, record) })
}

// Audited lists the trail since it was last asked for.
func (h *Host) Audited() (records []audit.Record) {
	h.look(func() {
		records = slices.Clone(h.audited)
		h.audited = nil
	})
	return records
}
