package fakes

import (
	"context"
	"fmt"
	"slices"

	"virtlxcd/domain/access"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// Access allows everything that was not denied. A permission is denied to all callers
// alike; who asked shows in Asked.
type Access struct{ host *Host }

// NewAccess returns the port.
func NewAccess(host *Host) *Access { return &Access{host} }

// Check answers and remembers the question. A denied one is a fault of kind
// AccessDenied. A call that an injected fault prevented was not asked.
func (a *Access) Check(ctx context.Context, caller access.Caller, permission access.Permission, object ports.AccessObject) error {
	return a.host.do(ctx, "Access.Check", func() error {
		a.host.asked = append(a.host.asked, fmt.Sprintf("%d %s %s", caller.UID, permission, object.Name))
		if a.host.denied[permission] {
			return fault.Denied("fake")
		}
		return nil
	})
}

// Deny takes a right from everyone. It counts from the next Check on; what was begun
// goes on.
func (h *Host) Deny(permission access.Permission) {
	h.look(func() { h.denied[permission] = true })
}

// Allow gives it back.
func (h *Host) Allow(permission access.Permission) {
	h.look(func() { delete(h.denied, permission) })
}

// Asked lists the rights that were checked, as "uid permission object".
func (h *Host) Asked() (asked []string) {
	h.look(func() { asked = slices.Clone(h.asked) })
	return asked
}
