package fakes

import (
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/audit"
	"virtlxcd/ports"
	"virtlxcd/ports/porttest"
)

var (
	_ ports.Hooks         = (*Hooks)(nil)
	_ ports.Machines      = (*Machines)(nil)
	_ ports.CgroupScopes  = (*Cgroups)(nil)
	_ ports.Escrow        = (*Escrow)(nil)
	_ ports.Auditor       = (*Auditor)(nil)
	_ ports.PIDNamespaced = (*Process)(nil)
)

func TestHooksContract(t *testing.T) {
	porttest.TestHooks(t, func(t *testing.T) porttest.HooksHarness {
		h := tidyHost(t)
		return porttest.HooksHarness{
			Hooks: NewHooks(h),
			Install: func(t *testing.T, program porttest.HookProgram) func() []ports.HookCall {
				h.InstallHooks()
				if program.Exit != 0 {
					h.FailHook("start", program.Stderr)
				}
				if program.Hang {
					t.Cleanup(h.HoldHook("start"))
				}
				var calls []ports.HookCall
				return func() []ports.HookCall {
					calls = append(calls, h.HookCalls()...)
					return calls
				}
			},
		}
	})
}

func TestEscrowContract(t *testing.T) {
	porttest.TestEscrow(t, func(t *testing.T) porttest.EscrowHarness {
		h := tidyHost(t)
		h.InstallKeeper()
		return porttest.EscrowHarness{
			Escrow: NewEscrow(h),
			Again:  func(*testing.T) ports.Escrow { return NewEscrow(h) },
			File: func(t *testing.T) *os.File {
				file := h.hand("something", &terminal{})
				t.Cleanup(func() { require.NoError(t, file.Close()) })
				return file
			},
			Process: func(t *testing.T) ports.Held {
				sleeper := child(h, Usual(), nil)
				t.Cleanup(sleeper.End)
				file := h.hand("pidfd", h.procs[sleeper.PID])
				t.Cleanup(func() { require.NoError(t, file.Close()) })
				return ports.Held{PID: sleeper.PID, Start: sleeper.Start, Process: file}
			},
			Same: func(_ *testing.T, a, b *os.File) (same bool) {
				h.look(func() { same = h.behind(a) == h.behind(b) && h.behind(a) != nil })
				return same
			},
		}
	})
}

func TestNoKeeperNoEscrow(t *testing.T) {
	h := tidyHost(t)
	require.NoError(t, NewEscrow(h).Keep([16]byte{1}, ports.Held{PID: 1}))
	_, ok := NewEscrow(h).Kept([16]byte{1})
	assert.False(t, ok)
}

func TestMachinesContract(t *testing.T) {
	porttest.TestMachines(t, func(t *testing.T) porttest.MachinesHarness {
		h := tidyHost(t)
		h.InstallManager()
		members := func(_ *testing.T, place string) (pids []int) {
			h.look(func() {
				u := &unit{path: place}
				for at, g := range h.groups {
					for pid := range g.members {
						if u.has(at) {
							pids = append(pids, pid)
						}
					}
				}
			})
			slices.Sort(pids)
			return pids
		}
		return porttest.MachinesHarness{
			Machines: NewMachines(h), Partition: "/machine",
			Holder:  func(*testing.T) porttest.Child { return child(h, Usual(), nil) },
			Members: members,
			Known: func(_ *testing.T, name string) (int, bool) {
				m, ok := h.Machine(name)
				return m.Leader, ok
			},
			Gone: func(t *testing.T, place string) {
				assert.NotContains(t, h.String(), place)
			},
		}
	})
}

func TestNoManagerNoMachines(t *testing.T) {
	h := tidyHost(t)
	m := NewMachines(h)
	assert.Empty(t, m.Place(t.Context(), "/machine", "lxc-1-web"))
	assert.Error(t, m.Enclose(t.Context(), ports.Machine{Name: "lxc-1-web", Holder: 1}))
}

func TestCgroupScopesContract(t *testing.T) {
	porttest.TestCgroupScopes(t, func(t *testing.T) porttest.ScopesHarness {
		h := tidyHost(t)
		h.InstallManager()
		return porttest.ScopesHarness{
			Cgroups: NewCgroups(h),
			Scope: func(t *testing.T) (string, porttest.Child) {
				holder := child(h, Usual(), nil)
				t.Cleanup(holder.End)
				m := ports.Machine{Name: "lxc-1-vlxa", Partition: "/machine", Holder: holder.PID}
				require.NoError(t, NewMachines(h).Enclose(t.Context(), m))
				return NewMachines(h).Place(t.Context(), "/machine", m.Name), holder
			},
			Spawn: func(_ *testing.T, in ports.Cgroup) porttest.Child {
				return child(h, Usual(), h.groups[in.Path()])
			},
		}
	})
}

// TestLeftoverScopeGroups: a unit is not swept while it lives, and its groups go
// with its last process.
func TestLeftoverScopeGroups(t *testing.T) {
	h := tidyHost(t)
	h.InstallManager()
	holder := child(h, Usual(), nil)
	require.NoError(t, NewMachines(h).Enclose(t.Context(), ports.Machine{Name: "lxc-1-web", Partition: "/machine", Holder: holder.PID}))
	_, err := NewCgroups(h).CreateIn(t.Context(), "/machine.slice/machine-lxc-1-web.scope", holder.PID)
	require.NoError(t, err)
	removed, err := NewCgroups(h).Sweep(t.Context(), func(string) bool { return false })
	require.NoError(t, err)
	assert.Empty(t, removed)
	holder.End()
	assert.Empty(t, h.String())
}

func TestAuditedIsWhatWasRecorded(t *testing.T) {
	h := tidyHost(t)
	record := audit.Record{Kind: audit.Control, Success: true}
	NewAuditor(h).Record(record)
	assert.Equal(t, []audit.Record{record}, h.Audited())
	assert.Empty(t, h.Audited(), "asked for already")
}

func TestReloadingIsNoted(t *testing.T) {
	h := tidyHost(t)
	require.NoError(t, NewNotifier(h).Reloading())
	assert.Equal(t, []string{"reloading"}, h.Notices())
}
