package machines

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/dbus/bus"
	"virtlxcd/adapters/dbus/bus/bustest"
)

// fakeHost is a bus with a systemd and a machined that keep what they are told.
type fakeHost struct {
	*bustest.Daemon
	t        *testing.T
	conn     *dbus.Conn
	machined *dbus.Conn
	wrong    string // what systemd says of where a scope is, if not the truth

	mu       sync.Mutex
	mute     bool // systemd starts jobs and does not say how they end
	refuse   string
	result   string
	units    map[string]map[string]dbus.Variant
	machines map[string]recorded
	calls    []string
	old      bool // machined knows no links
	leader   any  // what machined says of every leader, if not the truth
	jobs     int
	ownJob   uint32 // of the daemon's unit
}

type recorded struct {
	UUID   []byte
	Leader uint32
	Links  []int32
}

func newHost(t *testing.T) *fakeHost {
	t.Helper()
	h := &fakeHost{
		Daemon: bustest.Start(t, machined), t: t, result: "done",
		units: map[string]map[string]dbus.Variant{}, machines: map[string]recorded{},
	}
	h.boot(t)
	return h
}

// boot puts both services on the bus, as a new process.
func (h *fakeHost) boot(t *testing.T) {
	t.Helper()
	h.conn = h.Connect(t)
	require.NoError(t, h.conn.Export(fakeSystemd{h}, systemdPath, manager))
	require.NoError(t, h.conn.ExportSubtree(fakeProperties{h}, "/org/freedesktop/systemd1/unit", "org.freedesktop.DBus.Properties"))
	require.NoError(t, h.conn.Export(fakeJob{h}, "/org/freedesktop/systemd1/job/1", systemd+".Job"))
	bustest.Own(t, h.conn, systemd)
	h.startMachined(t)
}

// replaceMachined ends machined and starts another.
func (h *fakeHost) replaceMachined(t *testing.T) {
	t.Helper()
	require.NoError(t, h.machined.Close())
	h.startMachined(t)
}

func (h *fakeHost) startMachined(t *testing.T) {
	t.Helper()
	conn := h.Connect(t)
	h.machined = conn
	methods := fakeMachined{h}
	table := map[string]any{
		"RegisterMachine": methods.register, "UnregisterMachine": methods.UnregisterMachine, "GetMachine": methods.GetMachine,
	}
	if !h.old {
		table["RegisterMachineWithNetwork"] = methods.registerWithNetwork
	}
	require.NoError(t, conn.ExportMethodTable(table, machinedPath, registry))
	require.NoError(t, conn.ExportSubtree(fakeProperties{h}, "/machine", "org.freedesktop.DBus.Properties"))
	bustest.Own(t, conn, machined)
}

func (h *fakeHost) note(call string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, call)
}

// count says how often something was called.
func (h *fakeHost) count(prefix string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, call := range h.calls {
		if strings.HasPrefix(call, prefix) {
			n++
		}
	}
	return n
}

func (h *fakeHost) known(name string) (recorded, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.machines[name]
	return r, ok
}

// set changes the fake's behaviour.
func (h *fakeHost) set(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
}

func refused(name string) *dbus.Error { return dbus.NewError(name, []any{"refused by the test"}) }

type fakeSystemd struct{ *fakeHost }

func (f fakeSystemd) StartTransientUnit(name, mode string, properties []property, _ []auxiliary) (dbus.ObjectPath, *dbus.Error) {
	f.note("StartTransientUnit " + name + " " + mode)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != "" {
		return "", refused(f.refuse)
	}
	f.units[name] = map[string]dbus.Variant{}
	for _, p := range properties {
		f.units[name][p.Name] = p.Value
	}
	f.jobs++
	job := dbus.ObjectPath("/org/freedesktop/systemd1/job/1")
	if !f.mute {
		// Before the reply, as a fast job may be.
		_ = f.conn.Emit(systemdPath, manager+".JobRemoved", uint32(1), job, name, f.result)
	}
	return job, nil
}

// listed is a unit as the real one lists it, as far as anybody looks.
type listed struct{ Name, Description string }

func (f fakeSystemd) ListUnitsByPatterns(_, _ []string) ([]listed, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := []listed{}
	for name := range f.units {
		list = append(list, listed{name, "a unit"})
	}
	return list, nil
}

type living struct {
	Group   string
	PID     uint32
	Command string
}

// GetUnitProcesses: who was meant for a scope lives in it, but for number 1.
func (f fakeSystemd) GetUnitProcesses(name string) ([]living, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	unit := f.units[name]
	if unit == nil {
		return nil, refused(noSuchUnit)
	}
	pids, _ := unit["PIDs"].Value().([]uint32)
	list := []living{}
	for _, pid := range pids {
		if pid != 1 {
			list = append(list, living{"/", pid, "holder"})
		}
	}
	return list, nil
}

func (f fakeSystemd) StopUnit(name, mode string) (dbus.ObjectPath, *dbus.Error) {
	f.note("StopUnit " + name + " " + mode)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.units[name] == nil {
		return "", refused(noSuchUnit)
	}
	delete(f.units, name)
	return "/org/freedesktop/systemd1/job/2", nil
}

func (f fakeSystemd) GetUnit(name string) (dbus.ObjectPath, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.units[name] == nil {
		return "", refused(noSuchUnit)
	}
	return dbus.ObjectPath(objectOf(name)), nil
}

type fakeJob struct{ *fakeHost }

func (f fakeJob) Cancel() *dbus.Error {
	f.note("Cancel")
	return nil
}

type fakeProperties struct{ *fakeHost }

func (f fakeProperties) Get(message dbus.Message, _, name string) (dbus.Variant, *dbus.Error) {
	path, _ := message.Headers[dbus.FieldPath].Value().(dbus.ObjectPath)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch name {
	case "Leader":
		if f.leader != nil {
			return dbus.MakeVariant(f.leader), nil
		}
		return dbus.MakeVariant(f.machines[strings.ReplaceAll(strings.TrimPrefix(string(path), "/machine/"), "_", "-")].Leader), nil
	case "Job":
		return dbus.MakeVariant(struct {
			Number uint32
			Path   dbus.ObjectPath
		}{f.ownJob, "/"}), nil
	case "ActiveState":
		return dbus.MakeVariant("active"), nil
	case "ControlGroup":
		for unit, properties := range f.units {
			if objectOf(unit) == string(path) && f.wrong == "" {
				return dbus.MakeVariant(groupOf(properties["Slice"].Value().(string), unit)), nil
			}
		}
		return dbus.MakeVariant(f.wrong), nil
	}
	return dbus.Variant{}, refused("org.freedesktop.DBus.Error.UnknownProperty")
}

type fakeMachined struct{ *fakeHost }

func (f fakeMachined) registerWithNetwork(name string, id []byte, service, class string, leader uint32, root string, links []int32) (dbus.ObjectPath, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != "" {
		return "", refused(f.refuse)
	}
	if _, there := f.machines[name]; there {
		return "", refused(machineExists)
	}
	if service != "libvirt-lxc" || class != "container" || root != "" {
		return "", dbus.MakeFailedError(errors.New("unexpected arguments"))
	}
	f.machines[name] = recorded{id, leader, links}
	return "/machine/1", nil
}

func (f fakeMachined) register(name string, id []byte, service, class string, leader uint32, root string) (dbus.ObjectPath, *dbus.Error) {
	return f.registerWithNetwork(name, id, service, class, leader, root, nil)
}

func (f fakeMachined) UnregisterMachine(name string) *dbus.Error {
	f.note("UnregisterMachine " + name)
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, there := f.machines[name]; !there {
		return refused(noSuchMachine)
	}
	delete(f.machines, name)
	return nil
}

func (f fakeMachined) GetMachine(name string) (dbus.ObjectPath, *dbus.Error) {
	return dbus.ObjectPath("/machine/" + strings.ReplaceAll(name, "-", "_")), nil
}

// open returns the machines of a bus, with less patience than usual.
func open(t *testing.T, address string, log *slog.Logger) *Machines {
	t.Helper()
	b := bus.New(bus.Options{Address: address}, quiet())
	m := New(b, Options{}, log)
	m.patience = patience{scope: 300 * time.Millisecond, call: time.Second, settle: 500 * time.Millisecond, hold: 200 * time.Millisecond}
	t.Cleanup(func() {
		require.NoError(t, m.Close())
		require.NoError(t, b.Close())
	})
	return m
}

// record keeps what is logged at level Info and above.
type record struct {
	mu    sync.Mutex
	lines []string
}

func (r *record) Write(text []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, string(text))
	return len(text), nil
}

func (r *record) logger() *slog.Logger { return slog.New(slog.NewTextHandler(r, nil)) }

func (r *record) at(level string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, line := range r.lines {
		if strings.Contains(line, "level="+level) {
			n++
		}
	}
	return n
}
