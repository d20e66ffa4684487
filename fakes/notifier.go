package fakes

import (
	"context"
	"slices"
)

// Notifier writes down what the service manager is told. The notices stay when the
// daemon does not, so a test sees those of several.
type Notifier struct{ host *Host }

// NewNotifier returns the port.
func NewNotifier(host *Host) *Notifier { return &Notifier{host} }

// Ready notes "ready".
func (n *Notifier) Ready() error { return n.note("Notifier.Ready", "ready") }

// Reloading notes "reloading".
func (n *Notifier) Reloading() error { return n.note("Notifier.Reloading", "reloading") }

// Stopping notes "stopping".
func (n *Notifier) Stopping() error { return n.note("Notifier.Stopping", "stopping") }

// Status notes the text.
func (n *Notifier) Status(text string) error { return n.note("Notifier.Status", "status: "+text) }

func (n *Notifier) note(op, text string) error {
	return n.host.do(context.Background(), op, func() error {
		n.host.notices = append(n.host.notices, text)
		return nil
	})
}

// Notices lists what the service manager was told.
func (h *Host) Notices() (notices []string) {
	h.look(func() { notices = slices.Clone(h.notices) })
	return notices
}
