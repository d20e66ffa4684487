// Package polkit asks the host's policy daemon, over the system bus, what callers may
// do: whether to use a connection at all (Gatekeeper), and single actions (Authorized).
//
// No answer is a refusal. Nobody waits long for a daemon that does not answer: a
// check that no person takes part in has a short limit, and after one that reached it
// further checks are refused at once for a while. Whoever waits for a person waits
// until that person answers, the client goes, or minutes have passed.
package polkit

import (
	"context"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"virtlxcd/domain/access"
	"virtlxcd/domain/fault"
)

// How the daemon is reached on the bus.
// See "org.freedesktop.PolicyKit1.Authority" in polkit's reference manual.
const (
	service     = "org.freedesktop.PolicyKit1"
	object      = "/org/freedesktop/PolicyKit1/Authority"
	checkMethod = "org.freedesktop.PolicyKit1.Authority.CheckAuthorization"
	stopMethod  = "org.freedesktop.PolicyKit1.Authority.CancelCheckAuthorization"
)

// Flags of a check.
const (
	justAnswer uint32 = 0
	askPerson  uint32 = 1 // if that helps
)

// The limits.
const (
	answerLimit = 5 * time.Second // for an answer that comes from rules
	personLimit = 5 * time.Minute // for a person with a password to type
	stopLimit   = 2 * time.Second // for taking back a question

	// Bounds on checks under way, below the 128 answers that a bus may let one
	// connection wait for.
	answerPlaces = 64
	personPlaces = 32
)

// Bus is the system bus. method is qualified with its interface; the result is what
// the method returned, structures being []any. Call returns when ctx ends.
type Bus interface {
	Call(ctx context.Context, destination, path, method string, args ...any) ([]any, error)
}

// Authority is the policy daemon. Its methods may be called from any goroutine.
// It holds no goroutines: whoever asks waits for the answer.
type Authority struct {
	bus     Bus
	log     *slog.Logger
	answers chan struct{} // places for checks that no person takes part in
	persons chan struct{} // places for the others
	silence silence
	asked   atomic.Uint64 // numbers the checks that can be taken back
}

// New returns the policy daemon that is, or will be, on bus. It need not be there.
func New(bus Bus, log *slog.Logger) *Authority {
	return &Authority{
		bus: bus, log: log,
		answers: make(chan struct{}, answerPlaces), persons: make(chan struct{}, personPlaces),
	}
}

// Authorized says whether the policy lets caller do action as it is, without asking a
// person. details are what rules may look at. An error, which is not an answer, says
// why the policy is not known: kind Timeout if it did not come in time, Aborted if ctx
// ended, Failed otherwise.
func (a *Authority) Authorized(ctx context.Context, caller access.Caller, action string, details map[string]string) (bool, error) {
	who, ok := subjectOf(caller)
	if !ok {
		a.log.Info("refused a caller that cannot be told from others", "action", action,
			"pid", caller.PID, "start", caller.Start, "uid", caller.UID)
		return false, nil
	}
	got, err := a.answer(ctx, question{who, action, details})
	return got.authorized, err
}

// question is what is asked about.
// Rules see the details as action.lookup("name").
type question struct {
	who     subject
	action  string
	details map[string]string
}

// answer asks what the rules say.
func (a *Authority) answer(ctx context.Context, q question) (verdict, error) {
	if a.silence.lasts() {
		return verdict{}, fault.New(fault.Timeout, fault.Access, "polkit has not answered lately")
	}
	limited, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	got, err := a.inPlace(limited, a.answers, func() (verdict, error) {
		return a.check(limited, q, justAnswer, "")
	})
	switch {
	case err == nil:
		a.silence.end()
	case ctx.Err() == nil && limited.Err() != nil:
		a.silence.begin()
	}
	return got, explain(ctx, limited, err)
}

// consult lets the daemon ask a person too. When ctx ends the person is not bothered
// any longer.
func (a *Authority) consult(ctx context.Context, q question) (verdict, error) {
	limited, cancel := context.WithTimeout(ctx, personLimit)
	defer cancel()
	ticket := "virtlxcd-" + strconv.FormatUint(a.asked.Add(1), 10)
	got, err := a.inPlace(limited, a.persons, func() (verdict, error) {
		got, err := a.check(limited, q, askPerson, ticket)
		if err != nil && limited.Err() != nil {
			a.takeBack(limited, ticket)
		}
		return got, err
	})
	return got, explain(ctx, limited, err)
}

// inPlace asks once there is a place.
func (a *Authority) inPlace(ctx context.Context, places chan struct{}, ask func() (verdict, error)) (verdict, error) {
	select {
	case places <- struct{}{}:
	case <-ctx.Done():
		return verdict{}, ctx.Err()
	}
	defer func() { <-places }()
	return ask()
}

func (a *Authority) check(ctx context.Context, q question, flags uint32, ticket string) (verdict, error) {
	details := q.details
	if details == nil {
		details = map[string]string{}
	}
	body, err := a.bus.Call(ctx, service, object, checkMethod, q.who, q.action, details, flags, ticket)
	if err != nil {
		return verdict{}, err
	}
	return parse(body)
}

// takeBack ends a question that nobody waits for any more.
// It calls CancelCheckAuthorization, without which the person's dialog would stay open.
func (a *Authority) takeBack(ctx context.Context, ticket string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	if _, err := a.bus.Call(ctx, service, object, stopMethod, ticket); err != nil {
		a.log.Debug("cannot take back a question to polkit", "error", err)
	}
}

// explain classifies why there is no answer: the client's end, the limit, or what the
// bus says.
func explain(ctx, limited context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return &fault.Error{Kind: fault.Aborted, Area: fault.Access, Text: "nobody waits for polkit's answer", Err: ctx.Err()}
	case limited.Err() != nil:
		return fault.New(fault.Timeout, fault.Access, "polkit does not answer")
	}
	return &fault.Error{Kind: fault.Failed, Area: fault.Access, Text: "cannot ask polkit", Err: err}
}
