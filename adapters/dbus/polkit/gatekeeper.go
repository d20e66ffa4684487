package polkit

import (
	"context"

	"virtlxcd/domain/access"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// The actions of the two sockets.
// They are in cmd/virtlxcd/polkit, with what is allowed by default.
const (
	manage  = "org.libvirt.unix.manage"
	monitor = "org.libvirt.unix.monitor"
)

// Gatekeeper lets in whom the policy lets manage or, over the read-only socket,
// monitor containers. The policy may want a person to authenticate.
func Gatekeeper(authority *Authority) ports.Gatekeeper { return gatekeeper{authority} }

// Kinds of refusals: AuthFailed (the policy, or nobody can be identified), AuthCancelled
// (the person declined), AuthUnavailable (nobody can be asked).
type gatekeeper struct{ authority *Authority }

// Admit implements ports.Gatekeeper. The rules alone are asked first: a daemon that
// hangs cannot be told from a person who thinks, so nobody is to wait for a person
// before the daemon has said that it needs one.
func (g gatekeeper) Admit(ctx context.Context, caller access.Caller) error {
	action := manage
	if caller.ReadOnly {
		action = monitor
	}
	who, ok := subjectOf(caller)
	if !ok {
		return refusal(fault.AuthFailed, "the calling process cannot be identified")
	}
	q := question{who: who, action: action}
	got, err := g.authority.answer(ctx, q)
	if err == nil && !got.authorized && got.challenge {
		got, err = g.authority.consult(ctx, q)
	}
	if err != nil {
		return unanswered(ctx, err)
	}
	return admit(got, action)
}

// admit turns the answer into the texts that clients know.
func admit(got verdict, action string) error {
	switch {
	case got.authorized:
		return nil
	case got.dismissed:
		return refusal(fault.AuthCancelled, "user cancelled authentication process")
	case got.challenge:
		return refusal(fault.AuthUnavailable, "no polkit agent available to authenticate action '%s'", action)
	}
	return refusal(fault.AuthFailed, "access denied by policy")
}

// unanswered: a daemon that cannot be asked is nothing that trying again at once
// would help against, which is what clients do when authentication fails.
func unanswered(ctx context.Context, err error) error {
	kind := fault.AuthUnavailable
	if ctx.Err() != nil {
		kind = fault.AuthFailed
	}
	return &fault.Error{Kind: kind, Area: fault.Access, Err: err}
}

func refusal(kind fault.Kind, format string, args ...any) error {
	return fault.New(kind, fault.Access, format, args...)
}
