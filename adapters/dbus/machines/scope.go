package machines

import (
	"context"
	"math"

	"github.com/godbus/dbus/v5"

	"virtlxcd/adapters/dbus/bus"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// ownUnit is the daemon's.
// It is cmd/virtlxcd's unit file.
const ownUnit = "virtlxcd.service"

// outcome is the end of a job; the zero value says that it may have ended
// unheard.
// Results are those of JobRemoved: done, canceled, timeout, failed, dependency, skipped.
type outcome struct {
	job    string
	result string
}

// property is one of a unit, as systemd takes them.
// On the bus it is (sv); see "Properties" in org.freedesktop.systemd1(5).
type property struct {
	Name  string
	Value dbus.Variant
}

// auxiliary is a further unit to be made along; there never is one. Its type is all that
// the call wants: a(sa(sv)).
type auxiliary struct {
	Name       string
	Properties []property
}

// Enclose: see ports.Machines. On failure nothing is left behind that counts: the job is
// called off, and a scope that began in spite of that ends with the process in it.
// UnsupportedOperation without systemd, InvalidArgument for a partition that no slice can
// stand for.
func (m *Machines) Enclose(ctx context.Context, machine ports.Machine) error {
	slice := sliceUnit(machine.Partition)
	if slice == "" {
		return fault.New(fault.InvalidArgument, fault.Host, "partition '%s' cannot be a slice", machine.Partition)
	}
	unit := scopeUnit(machine.Name)
	if !m.available(ctx) {
		return fault.New(fault.UnsupportedOperation, fault.Host, "there is no systemd to make '%s'", scopeUnit(machine.Name))
	}
	limited, cancel := context.WithTimeout(ctx, m.patience.scope)
	defer cancel()
	properties := append(m.scopeProperties(slice, machine), m.ordering(limited))
	err := m.startScope(limited, unit, properties)
	if err == nil {
		err = m.checkPlace(limited, unit, groupOf(slice, unit))
	}
	if err == nil {
		m.scopes.works()
	} else if ctx.Err() == nil {
		m.scopes.fails(err, m.patience.hold)
	}
	return err
}

// scopeProperties describe the scope. Limits are set inside, where systemd
// never looks, except for the weight: only between scopes does it count.
// CPUWeight is 1 to 10000 and CPUShares 2 to 262144, see systemd.resource-control(5);
// what lies outside is brought to the bound, as systemd would refuse the whole scope.
func (m *Machines) scopeProperties(slice string, machine ports.Machine) []property {
	list := []property{
		{"Description", dbus.MakeVariant("Container " + machine.Name)},
		{"Slice", dbus.MakeVariant(slice)},
		{"Delegate", dbus.MakeVariant(true)},
		// The holder is moved by systemd itself, in every hierarchy it knows.
		{"PIDs", dbus.MakeVariant([]uint32{uint32(machine.Holder)})},
		// A scope that failed would else stay, and its name with it.
		{"CollectMode", dbus.MakeVariant("inactive-or-failed")},
		// systemd has a default, and the limit of the definition is set inside.
		{"TasksMax", dbus.MakeVariant(uint64(math.MaxUint64))},
		{"Before", dbus.MakeVariant([]string{"virt-guest-shutdown.target"})},
	}
	if machine.Shares == nil {
		return list
	}
	// systemd knows two properties, and takes the one of the version in use.
	value, unified := m.options.Weight(*machine.Shares)
	if unified {
		return append(list, property{"CPUWeight", dbus.MakeVariant(min(max(value, 1), 10000))})
	}
	return append(list, property{"CPUShares", dbus.MakeVariant(min(max(value, 2), 262144))})
}

// ordering makes the host's shutdown end containers before the daemon. A scope would
// as well begin only after a job of the daemon's own unit, and so never while the
// daemon is stopped, which waits for a start under way: that one does without. Unlike
// Before and the rest it depends on the moment, so it is asked for each scope.
func (m *Machines) ordering(ctx context.Context) property {
	after := []string{"libvirtd.service"}
	job, err := m.property(ctx, ownUnit, systemd+".Unit", "Job")
	if pair, ok := job.([]any); err == nil && ok && len(pair) == 2 && pair[0] == uint32(0) {
		after = append(after, ownUnit)
	}
	return property{"After", dbus.MakeVariant(after)}
}

// startScope returns when the scope runs. When it does not, it is called off. Mode "fail"
// refuses a job that would take the place of another. The waiter is entered before the
// call, as the job may end before its answer is read.
func (m *Machines) startScope(ctx context.Context, unit string, properties []property) error {
	// Room for ends of earlier jobs of the unit.
	waiter := make(chan outcome, 4)
	m.mu.Lock()
	m.jobs[unit] = waiter
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		delete(m.jobs, unit)
		m.mu.Unlock()
	}()
	body, err := m.bus.Call(ctx, systemd, systemdPath, manager+".StartTransientUnit", unit, "fail", properties, []auxiliary{})
	if err != nil {
		m.awaken(err, systemd, m.scopes)
		return err
	}
	job := ""
	if len(body) == 1 {
		path, _ := body[0].(dbus.ObjectPath)
		job = string(path)
	}
	err = m.awaitJob(ctx, unit, job, waiter)
	// Without a job's name nothing can be called off; tidy comes to such a scope later.
	if err != nil && job != "" {
		m.callOff(ctx, job)
	}
	return err
}

// awaitJob waits for the end of the job. Where the end may have been missed the
// unit tells.
// Signals of other jobs of the same unit may come first, and are passed over. A unit that
// is asked for and not active yet is waited for on.
func (m *Machines) awaitJob(ctx context.Context, unit, job string, ends <-chan outcome) error {
	for {
		select {
		case end := <-ends:
			switch {
			case end == outcome{}:
				if active, err := m.property(ctx, unit, systemd+".Unit", "ActiveState"); err == nil && active == "active" {
					return nil
				}
			// The end of an earlier job.
			case end.job != job:
			case end.result == "done":
				return nil
			default:
				return fault.New(fault.System, fault.Host, "systemd could not start '%s': %s", unit, end.result)
			}
		case <-ctx.Done():
			return bus.Ended(ctx.Err(), "systemd did not start '%s' in time", unit)
		case <-m.ctx.Done():
			return bus.Ended(m.ctx.Err(), "the daemon ends")
		}
	}
}

// callOff cancels a job. A scope that runs in spite of all is left to end with its
// process: stopping it would take that along. It has time of its own: that of the caller
// may be over by then.
func (m *Machines) callOff(ctx context.Context, job string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.patience.call)
	defer cancel()
	if _, err := m.bus.Call(ctx, systemd, job, systemd+".Job.Cancel"); err != nil {
		m.log.Debug("a job of systemd could not be cancelled", "job", job, "error", err)
	}
}

// checkPlace compares where the scope is with where it was said to be. The controller is
// in the scope by then, so another place would have limits set where it is not.
func (m *Machines) checkPlace(ctx context.Context, unit, want string) error {
	found, err := m.property(ctx, unit, systemd+".Scope", "ControlGroup")
	if err != nil {
		return err
	}
	if found != want {
		return fault.New(fault.System, fault.Host, "systemd put '%s' into control group '%v' instead of '%s'", unit, found, want)
	}
	return nil
}

// property asks for one property of a unit's object.
func (m *Machines) property(ctx context.Context, unit, iface, name string) (any, error) {
	return m.bus.Property(ctx, systemd, objectOf(unit), iface, name)
}

// finished takes the arguments of JobRemoved: number, job, unit, result. An end that
// nobody waits for may be of a scope that a dead daemon asked for.
func (m *Machines) finished(args []any) {
	if len(args) != 4 {
		return
	}
	job, _ := args[1].(dbus.ObjectPath)
	unit, _ := args[2].(string)
	result, _ := args[3].(string)
	m.mu.Lock()
	defer m.mu.Unlock()
	waiter := m.jobs[unit]
	switch {
	case waiter != nil:
		offer(waiter, outcome{job: string(job), result: result})
	case result == "done" && containers(unit) && !m.closed:
		m.wg.Go(func() { m.tidy(unit) })
	}
}

// offer never blocks: a full queue holds what makes the waiter look anyway.
func offer(waiter chan<- outcome, end outcome) {
	select {
	case waiter <- end:
	default:
	}
}
