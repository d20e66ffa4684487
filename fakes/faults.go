package fakes

import (
	"context"
	"slices"
)

// injected is a fault that waits for its call. At most one of after and hang is set;
// without either, err comes instead of the effect.
type injected struct {
	op    string
	skip  int // calls of op to let pass first
	after bool
	hang  bool
	err   error
}

// Fail makes the next call of op ("Links.Connect") return err without doing
// anything. It strikes once. Op is the port's name or that of the thing it
// returns, a dot, and the method; Ops lists what was called. Calls that cannot
// fail, and Close, have no op.
func (h *Host) Fail(op string, err error) { h.FailNth(op, 1, err) }

// FailNth is Fail for the nth next call, counted from 1. Calls are counted from now on,
// whoever makes them.
func (h *Host) FailNth(op string, n int, err error) {
	h.look(func() { h.faults = append(h.faults, injected{op: op, skip: n - 1, err: err}) })
}

// FailAfter makes the next call of op do its work and return err all the same, as a
// reply that got lost: what it would have returned is closed. A call that fails by
// itself returns its own error, and the fault is spent.
func (h *Host) FailAfter(op string, err error) { h.FailAfterNth(op, 1, err) }

// FailAfterNth is FailAfter for the nth next call, counted from 1.
func (h *Host) FailAfterNth(op string, n int, err error) {
	h.look(func() { h.faults = append(h.faults, injected{op: op, skip: n - 1, after: true, err: err}) })
}

// Hang makes the nth next call of op, counted from 1, do nothing until its context
// ends, and fail for that. Calls without a context never hang: to tell one to is
// a mistake of the test.
func (h *Host) Hang(op string, n int) {
	h.look(func() { h.faults = append(h.faults, injected{op: op, skip: n - 1, hang: true}) })
}

// Pending lists the ops of faults that have not struck: a test whose fault
// never strikes shows nothing.
func (h *Host) Pending() (ops []string) {
	h.look(func() {
		for _, f := range h.faults {
			ops = append(ops, f.op)
		}
	})
	return ops
}

// Ops lists the calls so far, in order, since the last ForgetOps.
func (h *Host) Ops() (ops []string) {
	h.look(func() { ops = slices.Clone(h.ops) })
	return ops
}

// ForgetOps starts Ops anew.
func (h *Host) ForgetOps() { h.look(func() { h.ops = nil }) }

// strike returns the fault for this call of op, nil if there is none. Of several that
// are due the first injected strikes. Every call of op counts for all faults that still
// let calls pass, so two that were injected with the same n strike one after the other.
// The host is locked.
func (h *Host) strike(op string) *injected {
	due := -1
	for i := range h.faults {
		switch f := &h.faults[i]; {
		case f.op != op:
		case f.skip > 0:
			f.skip--
		case due < 0:
			due = i
		}
	}
	if due < 0 {
		return nil
	}
	f := h.faults[due]
	h.faults = slices.Delete(h.faults, due, due+1)
	return &f
}

// endure returns what a fault returns that prevents its call. The panic comes with the
// host locked by do, which unlocks it on the way out.
func (h *Host) endure(ctx context.Context, f *injected) error {
	if !f.hang {
		return f.err
	}
	if ctx.Done() == nil {
		panic("fakes: " + f.op + " was told to hang and has no context that could end it")
	}
	return h.wait(ctx, func() bool { return false })
}
