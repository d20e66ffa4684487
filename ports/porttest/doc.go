// Package porttest holds one contract suite per outbound port. Fakes run every
// suite always, real adapters run theirs as root, so that a fake cannot drift
// from the kernel.
//
// A suite is TestX(t, build). Build makes a fresh harness for each check and
// registers its own clean-up; a harness carries the port and the few hooks a
// suite needs to look behind it. What this host cannot do is listed in Missing
// by feature name, and shows as a skip with that name. A nil hook that a
// check needs is a skip as well. Suites test what the port's comments promise
// and nothing else.
//
// Each suite is a list of checks, which share nothing: each has a harness of its own
// and leaves nothing behind. The usual is in the file of the port, what is rare in
// one that ends in _edges.go. A check that both pass although one is wrong is worse
// than none, so a check looks behind the port with the harness's hooks (what the
// kernel has, who lives in a group) rather than ask the port itself.
//
// With a context that has ended a port may do its work or refuse it, but nothing in
// between: see over and refused.
package porttest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is how long a suite waits for something that must happen.
const patience = 20 * time.Second

// moment is how long a suite watches that something does not happen.
const moment = 50 * time.Millisecond

// Child is a process that a harness started for a check. The harness reaps it.
type Child struct {
	PID     int
	Start   uint64          // see ports.Process
	Program string          // path of what it executes
	Ended   <-chan struct{} // closed once it is dead and reaped
	End     func()          // kills it if it still runs, and waits for Ended
}

// check is one promise. The name says what the thing does when it is kept.
type check[H any] struct {
	name string
	run  func(t *testing.T, h H)
}

// run gives every check a harness of its own.
func run[H any](t *testing.T, build func(t *testing.T) H, checks []check[H]) {
	t.Helper()
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) { c.run(t, build(t)) })
	}
}

// need skips the check if the harness said that the host lacks the feature.
func need(t *testing.T, missing []string, feature string) {
	t.Helper()
	if slices.Contains(missing, feature) {
		t.Skipf("this host cannot do: %s", feature)
	}
}

// needHook skips the check if the harness cannot do what the check needs.
func needHook(t *testing.T, present bool, hook string) {
	t.Helper()
	if !present {
		t.Skipf("the harness has no hook: %s", hook)
	}
}

// soon is a context that ends before the test would be stopped.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// awaitClosed waits for an event that is told by closing a channel.
func awaitClosed(t *testing.T, ch <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(patience):
		require.Fail(t, "waited in vain", what)
	}
}

// stillOpen checks that the event did not happen.
func stillOpen(t *testing.T, ch <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-ch:
		require.Fail(t, "happened too early", what)
	default:
	}
}
