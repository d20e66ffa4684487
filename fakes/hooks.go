package fakes

import (
	"context"
	"slices"

	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// hookState is what the site's programs are and what they were called for. It is the
// site's, so it stays over Boot.
type hookState struct {
	installed bool
	calls     []ports.HookCall
	fails     map[string]string // by operation: what it writes before it fails
	held      map[string]bool   // by operation: it does not end
}

// Hooks stands for the site's programs. A host has none until InstallHooks.
type Hooks struct{ host *Host }

// NewHooks returns the port.
func NewHooks(host *Host) *Hooks { return &Hooks{host} }

// Present says whether InstallHooks was called. It is no op: it cannot fail.
func (k *Hooks) Present() (present bool) {
	k.host.look(func() { present = k.host.hooks.installed })
	return present
}

// Run writes the call down, waits while the operation is held and fails if it was told
// to. A call whose context ends while it is held has been written down, as a real
// program has been started by then. The host is not locked while it waits.
func (k *Hooks) Run(ctx context.Context, call ports.HookCall) error {
	h := k.host
	return h.do(ctx, "Hooks.Run", func() error {
		if !h.hooks.installed {
			return nil
		}
		h.hooks.calls = append(h.hooks.calls, call)
		if err := h.wait(ctx, func() bool { return !h.hooks.held[call.Operation] }); err != nil {
			return err
		}
		if text, fails := h.hooks.fails[call.Operation]; fails {
			return fault.New(fault.HookFailed, fault.Host, "internal error: Child process (hook) unexpected exit status 1: %s", text)
		}
		return nil
	})
}

// InstallHooks gives the site a program that succeeds. Called again it forgets what
// FailHook and HoldHook have said.
func (h *Host) InstallHooks() {
	h.look(func() {
		h.hooks.installed = true
		h.hooks.fails, h.hooks.held = map[string]string{}, map[string]bool{}
	})
}

// FailHook makes the program fail for an operation from now on, with text on
// its standard error. Hooks must be installed.
func (h *Host) FailHook(operation, text string) {
	h.look(func() { h.hooks.fails[operation] = text })
}

// HoldHook keeps the program from ending for an operation until the returned function
// is called. Hooks must be installed. Calls of other operations go on; several of this
// one may wait.
func (h *Host) HoldHook(operation string) (release func()) {
	h.look(func() { h.hooks.held[operation] = true })
	return func() {
		h.look(func() {
			delete(h.hooks.held, operation)
			h.wake()
		})
	}
}

// HookCalls lists what the program was called for since it was last asked.
func (h *Host) HookCalls() (calls []ports.HookCall) {
	h.look(func() {
		calls = slices.Clone(h.hooks.calls)
		h.hooks.calls = nil
	})
	return calls
}
