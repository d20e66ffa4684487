package machines

import (
	"context"
	"strings"

	"virtlxcd/adapters/dbus/bus"
)

// A scope that a daemon asked for and did not live to use may begin when the
// process that was meant for it is dead. systemd then never hears that it became
// empty, and keeps it for ever.

// containers says whether a unit is the scope of a container.
// Their machines are called lxc-PID-NAME, see scopeUnit.
// `machine-lxc\x2d4711\x2dweb.scope` is one; scopes of other machines are left alone.
func containers(unit string) bool {
	return strings.HasPrefix(unit, `machine-lxc\x2d`) && strings.HasSuffix(unit, ".scope")
}

// dismantle ends the scope of a machine that another daemon did not finish to
// start, or keeps it from beginning. One with the controller still in it ends by
// itself.
func (m *Machines) dismantle(machine string) {
	if m.available(m.ctx) {
		m.tidy(scopeUnit(machine))
	}
}

// tidyAll ends all scopes of containers in which nothing lives. It runs when systemd
// becomes usable, in a goroutine that Close waits for.
func (m *Machines) tidyAll() {
	ctx, cancel := context.WithTimeout(m.ctx, m.patience.call)
	defer cancel()
	body, err := m.bus.Call(ctx, systemd, systemdPath, manager+".ListUnitsByPatterns",
		[]string{"active"}, []string{"machine-lxc*.scope"})
	if err != nil || len(body) != 1 {
		m.log.Debug("cannot look for scopes that were left", "error", err)
		return
	}
	units, _ := body[0].([][]any)
	for _, unit := range units {
		if name, ok := unit[0].(string); ok && containers(name) {
			m.tidy(name)
		}
	}
}

// tidy ends a scope if nothing lives in it. One with a job has a start that waits. It
// runs without the lock.
func (m *Machines) tidy(unit string) {
	m.mu.Lock()
	// Its own start must not be ended because the process is not in it yet.
	wanted := m.jobs[unit] != nil
	m.mu.Unlock()
	if wanted {
		return
	}
	ctx, cancel := context.WithTimeout(m.ctx, m.patience.call)
	defer cancel()
	body, err := m.bus.Call(ctx, systemd, systemdPath, manager+".GetUnitProcesses", unit)
	if err != nil || len(body) != 1 {
		return // it has just ended, or somebody else's signal will tell
	}
	// An answer of another form is taken for "somebody lives there".
	if living, ok := body[0].([][]any); ok && len(living) == 0 {
		m.log.Info("ending a scope in which nothing lives", "unit", unit)
		m.stop(unit)
	}
}

// "replace" takes the place of a job that is queued for the unit. A scope that stops by
// itself meanwhile is no failure.
func (m *Machines) stop(unit string) {
	ctx, cancel := context.WithTimeout(m.ctx, m.patience.call)
	defer cancel()
	_, err := m.bus.Call(ctx, systemd, systemdPath, manager+".StopUnit", unit, "replace")
	if err != nil && bus.ErrorName(err) != noSuchUnit && m.ctx.Err() == nil {
		m.log.Info("a scope may be left", "unit", unit, "error", err)
	}
}
