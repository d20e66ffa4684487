package machines

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

const (
	within = 10 * time.Second
	often  = 5 * time.Millisecond
)

func machine(name string) ports.Machine {
	return ports.Machine{Name: name, UUID: [16]byte{7}, Partition: "/machine", Holder: 4711, Leader: 4712, Links: []int{3, 0, 5}}
}

func TestLife(t *testing.T) {
	h := newHost(t)
	m := open(t, h.Address, quiet())
	shares := uint64(2048)
	one := machine("lxc-4711-web")
	one.Shares = &shares
	place := m.Place(t.Context(), one.Partition, one.Name)
	assert.Equal(t, `/machine.slice/machine-lxc\x2d4711\x2dweb.scope`, place)
	require.NoError(t, m.Enclose(t.Context(), one))
	var properties map[string]dbus.Variant
	h.set(func() { properties = h.units[`machine-lxc\x2d4711\x2dweb.scope`] })
	for name, want := range map[string]any{
		"Slice": "machine.slice", "Delegate": true, "PIDs": []uint32{4711}, "CollectMode": "inactive-or-failed",
		"CPUShares": uint64(2048), "Before": []string{"virt-guest-shutdown.target"}, "Description": "Container lxc-4711-web",
	} {
		assert.Equal(t, want, properties[name].Value(), name)
	}
	require.NoError(t, m.Register(t.Context(), one))
	found, ok := h.known(one.Name)
	require.True(t, ok)
	assert.Equal(t, recorded{one.UUID[:], 4712, []int32{3, 5}}, found)
	require.NoError(t, m.Register(t.Context(), one), "it is known already")
	assert.Zero(t, h.count("UnregisterMachine"))
	require.NoError(t, m.Release(t.Context(), one.Name))
	_, ok = h.known(one.Name)
	assert.False(t, ok)
	require.NoError(t, m.Release(t.Context(), one.Name))
	assert.Equal(t, 1, h.count("UnregisterMachine"))
}

func TestWeights(t *testing.T) {
	for _, row := range []struct {
		unified bool
		shares  uint64
		name    string
		want    uint64
	}{{true, 1024, "CPUWeight", 512}, {false, 1024, "CPUShares", 1024}, {false, 1, "CPUShares", 2}, {true, 1 << 40, "CPUWeight", 10000}} {
		halved := func(shares uint64) (uint64, bool) {
			if row.unified {
				return shares / 2, true
			}
			return shares, false
		}
		m := New(nil, Options{Weight: halved}, quiet())
		list := m.scopeProperties("machine.slice", ports.Machine{Shares: &row.shares})
		last := list[len(list)-1]
		assert.Equal(t, row.name, last.Name)
		assert.Equal(t, row.want, last.Value.Value(), row)
		require.NoError(t, m.Close())
	}
}

// A scope after a unit that is being stopped would wait for its end, and that for
// the start.
func TestOrdering(t *testing.T) {
	h := newHost(t)
	m := open(t, h.Address, quiet())
	for job, want := range map[uint32][]string{0: {"libvirtd.service", "virtlxcd.service"}, 77: {"libvirtd.service"}} {
		h.set(func() { h.ownJob = job })
		require.NoError(t, m.Enclose(t.Context(), machine("lxc-1-a")))
		h.set(func() { assert.Equal(t, want, h.units[scopeUnit("lxc-1-a")]["After"].Value()) })
	}
}

func TestAnotherLeader(t *testing.T) {
	h := newHost(t)
	m := open(t, h.Address, quiet())
	one := machine("lxc-1-a")
	require.NoError(t, m.Enclose(t.Context(), one))
	h.set(func() { h.machines[one.Name] = recorded{Leader: 99} })
	require.NoError(t, m.Register(t.Context(), one))
	found, _ := h.known(one.Name)
	assert.Equal(t, uint32(4712), found.Leader)
}

func TestOldMachined(t *testing.T) {
	h := newHost(t)
	h.old = true
	h.replaceMachined(t)
	m := open(t, h.Address, quiet())
	one := machine("lxc-1-a")
	require.NoError(t, m.Enclose(t.Context(), one))
	require.NoError(t, m.Register(t.Context(), one))
}

func TestNoUnitNoMachine(t *testing.T) {
	h := newHost(t)
	m := open(t, h.Address, quiet())
	require.NoError(t, m.Register(t.Context(), machine("lxc-1-a")))
	_, ok := h.known("lxc-1-a")
	assert.False(t, ok)
	assert.False(t, m.pending(), "and nobody tries again")
}

// What another daemon began and did not finish has a unit that nobody wants.
func TestReleaseOfUnknown(t *testing.T) {
	h := newHost(t)
	m := open(t, h.Address, quiet())
	require.NotEmpty(t, m.Place(t.Context(), "/machine", "lxc-9-z"))
	unfinished, living := machine("lxc-1-a"), machine("lxc-3-c")
	unfinished.Holder = 1 // dead, to the fake
	require.NoError(t, m.Enclose(t.Context(), unfinished))
	require.NoError(t, m.Enclose(t.Context(), living))
	for _, name := range []string{"lxc-1-a", "lxc-2-b", "lxc-3-c"} {
		require.NoError(t, m.Release(t.Context(), name))
	}
	require.Eventually(t, func() bool { return h.count("StopUnit") == 1 }, within, often)
	require.NoError(t, m.Close())
	h.set(func() { assert.Contains(t, h.units, scopeUnit("lxc-3-c"), "units end by themselves") })
	assert.Equal(t, 1, h.count("StopUnit"))
}

// Scopes in which nothing lives are ended: those that are there, and those that
// an earlier daemon asked for and that begin now.
func TestEmptyScopesEnd(t *testing.T) {
	h := newHost(t)
	scope := func(name string, pid uint32) {
		h.set(func() { h.units[name] = map[string]dbus.Variant{"PIDs": dbus.MakeVariant([]uint32{pid})} })
	}
	left := func() (names []string) {
		h.set(func() {
			for name := range h.units {
				names = append(names, name)
			}
		})
		return names
	}
	scope(scopeUnit("lxc-1-dead"), 1)
	scope(scopeUnit("lxc-2-alive"), 2)
	scope("machine-qemu.scope", 1)
	m := open(t, h.Address, quiet())
	require.NotEmpty(t, m.Place(t.Context(), "/machine", "lxc-9-z"))
	require.Eventually(t, func() bool { return len(left()) == 2 }, within, often)
	for name, pid := range map[string]uint32{scopeUnit("lxc-3-dead"): 1, scopeUnit("lxc-4-alive"): 4, "run-5.scope": 1} {
		scope(name, pid)
		require.NoError(t, h.conn.Emit(systemdPath, manager+".JobRemoved", uint32(7), dbus.ObjectPath("/j"), name, "done"))
	}
	require.Eventually(t, func() bool { return h.count("StopUnit") == 2 }, within, often)
	require.NoError(t, m.Enclose(t.Context(), machine("lxc-5-own")))
	require.NoError(t, m.Close())
	assert.ElementsMatch(t, []string{
		scopeUnit("lxc-2-alive"), "machine-qemu.scope", scopeUnit("lxc-4-alive"), "run-5.scope", scopeUnit("lxc-5-own"),
	}, left())
}

// A leader that has just ended is no fault of machined, which others need.
func TestRegisterOfTheDead(t *testing.T) {
	h := newHost(t)
	var log record
	m := open(t, h.Address, log.logger())
	require.NoError(t, m.Enclose(t.Context(), machine("lxc-1-a")))
	h.set(func() { h.refuse = noSuchProcess })
	require.NoError(t, m.Register(t.Context(), machine("lxc-1-a")))
	assert.False(t, m.pending())
	assert.Zero(t, log.at("WARN"))
}

// A systemd that hangs is not asked for scopes, as it would make them later.
func TestHangingSystemd(t *testing.T) {
	h := newHost(t)
	var log record
	m := open(t, h.Address, log.logger())
	m.patience.hold, m.patience.call = within, 100*time.Millisecond
	require.NotEmpty(t, m.Place(t.Context(), "/machine", "lxc-1-a"))
	h.Signal(t, syscall.SIGSTOP)
	for range 3 {
		assert.Empty(t, m.Place(t.Context(), "/machine", "lxc-1-a"))
	}
	h.Signal(t, syscall.SIGCONT)
	require.Eventually(t, func() bool { return m.Place(t.Context(), "/machine", "lxc-1-a") != "" }, within/2, often,
		"long before the hold is over")
	assert.Equal(t, 1, log.at("WARN"))
	assert.Zero(t, h.count("StartTransientUnit"))
}

// No bus: one warning, and starts do not wait.
func TestNoBus(t *testing.T) {
	var log record
	m := open(t, "unix:path="+t.TempDir()+"/none", log.logger())
	begun := time.Now()
	for range 100 {
		assert.Empty(t, m.Place(t.Context(), "/machine", "lxc-1-a"))
	}
	assert.Less(t, time.Since(begun), 400*time.Millisecond)
	require.ErrorIs(t, m.Enclose(t.Context(), machine("lxc-1-a")), fault.UnsupportedOperation)
	require.NoError(t, m.Register(t.Context(), machine("lxc-1-a")))
	require.NoError(t, m.Release(t.Context(), "lxc-1-a"))
	require.Eventually(t, func() bool { return log.at("WARN") == 1 }, within, often)
}

func TestBusComesLater(t *testing.T) {
	h := newHost(t)
	h.Stop(t)
	var log record
	m := open(t, h.Address, log.logger())
	assert.Empty(t, m.Place(t.Context(), "/machine", "lxc-1-a"))
	h.Run(t)
	h.boot(t)
	require.Eventually(t, func() bool { return m.Place(t.Context(), "/machine", "lxc-1-a") != "" }, within, often)
	require.Eventually(t, func() bool { return log.at("INFO") == 1 }, within, often)
	assert.Equal(t, 1, log.at("WARN"))
}

// A bus without the services, and then with them.
func TestServicesComeLater(t *testing.T) {
	h := newHost(t)
	_, err := h.conn.ReleaseName(systemd)
	require.NoError(t, err)
	var log record
	m := open(t, h.Address, log.logger())
	assert.Empty(t, m.Place(t.Context(), "/machine", "lxc-1-a"))
	require.Eventually(t, func() bool { return log.at("WARN") == 1 }, within, often)
	_, err = h.conn.RequestName(systemd, 0)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return log.at("INFO") == 1 }, within, often)
	assert.NotEmpty(t, m.Place(t.Context(), "/machine", "lxc-1-a"))
	require.NoError(t, m.Enclose(t.Context(), machine("lxc-1-a")))
}

// While systemd executes itself anew its name is nobody's: containers wait.
func TestShortAbsence(t *testing.T) {
	h := newHost(t)
	var log record
	m := open(t, h.Address, log.logger())
	m.patience.settle = within
	require.NotEmpty(t, m.Place(t.Context(), "/machine", "lxc-1-a"))
	_, err := h.conn.ReleaseName(systemd)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.state == unsettled
	}, within, often)
	placed := make(chan string)
	go func() { placed <- m.Place(context.Background(), "/machine", "lxc-1-a") }()
	_, err = h.conn.RequestName(systemd, 0)
	require.NoError(t, err)
	assert.NotEmpty(t, <-placed)
	assert.Zero(t, log.at("WARN"))
}

func TestSystemdFails(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*fakeHost)
		kind   fault.Kind
	}{
		"refuses":   {func(h *fakeHost) { h.refuse = "org.freedesktop.DBus.Error.AccessDenied" }, fault.System},
		"gives up":  {func(h *fakeHost) { h.result = "failed" }, fault.System},
		"is silent": {func(h *fakeHost) { h.mute = true }, fault.Timeout},
		"elsewhere": {func(h *fakeHost) { h.wrong = "/system.slice/x" }, fault.System},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			var log record
			m := open(t, h.Address, log.logger())
			m.patience.hold = within
			h.set(func() { row.change(h) })
			for range 3 {
				require.ErrorIs(t, m.Enclose(t.Context(), machine("lxc-1-a")), row.kind)
				assert.Empty(t, m.Place(t.Context(), "/machine", "lxc-1-b"), "not asked again for a while")
			}
			assert.Equal(t, 1, log.at("WARN"))
			h.set(func() { h.refuse, h.result, h.mute, h.wrong = "", "done", false, "" })
			require.NoError(t, m.Enclose(t.Context(), machine("lxc-1-c")))
			assert.Equal(t, 1, log.at("INFO"))
			assert.NotEmpty(t, m.Place(t.Context(), "/machine", "lxc-1-b"))
		})
	}
}

func TestSilentJobIsCancelled(t *testing.T) {
	h := newHost(t)
	m := open(t, h.Address, quiet())
	h.set(func() { h.mute = true })
	require.ErrorIs(t, m.Enclose(t.Context(), machine("lxc-1-a")), fault.Timeout)
	assert.Equal(t, 1, h.count("Cancel"))
}

func TestMachinedForgets(t *testing.T) {
	h := newHost(t)
	m := open(t, h.Address, quiet())
	for _, name := range []string{"lxc-1-a", "lxc-2-b", "lxc-3-c"} {
		require.NoError(t, m.Enclose(t.Context(), machine(name)))
		require.NoError(t, m.Register(t.Context(), machine(name)))
	}
	require.NoError(t, m.Release(t.Context(), "lxc-2-b"))
	h.set(func() { clear(h.machines) })
	h.replaceMachined(t)
	require.Eventually(t, func() bool {
		_, a := h.known("lxc-1-a")
		_, c := h.known("lxc-3-c")
		return a && c
	}, within, often)
	_, ok := h.known("lxc-2-b")
	assert.False(t, ok)
}

func TestBusForgets(t *testing.T) {
	h := newHost(t)
	m := open(t, h.Address, quiet())
	require.NoError(t, m.Enclose(t.Context(), machine("lxc-1-a")))
	require.NoError(t, m.Register(t.Context(), machine("lxc-1-a")))
	h.Stop(t)
	h.set(func() { clear(h.machines) })
	h.Run(t)
	h.boot(t)
	require.Eventually(t, func() bool {
		_, ok := h.known("lxc-1-a")
		return ok
	}, within, often)
	require.NoError(t, m.Enclose(t.Context(), machine("lxc-2-b")))
}

// What machined refuses is tried again, and reported once.
func TestMachinedFails(t *testing.T) {
	h := newHost(t)
	var log record
	m := open(t, h.Address, log.logger())
	require.NoError(t, m.Enclose(t.Context(), machine("lxc-1-a")))
	h.set(func() { h.refuse = "org.freedesktop.DBus.Error.Failed" })
	require.Error(t, m.Register(t.Context(), machine("lxc-1-a")))
	require.NoError(t, m.Register(t.Context(), machine("lxc-1-a")), "not asked for a while")
	h.set(func() { h.refuse = "" })
	require.Eventually(t, func() bool {
		_, ok := h.known("lxc-1-a")
		return ok && log.at("INFO") == 1
	}, within, often)
	assert.Equal(t, 1, log.at("WARN"))
}

// A bus that has stopped reading costs one start its patience.
func TestHangingBus(t *testing.T) {
	h := newHost(t)
	m := open(t, h.Address, quiet())
	m.patience.hold = within
	require.NotEmpty(t, m.Place(t.Context(), "/machine", "lxc-1-a"))
	h.Signal(t, syscall.SIGSTOP)
	defer h.Signal(t, syscall.SIGCONT)
	require.ErrorIs(t, m.Enclose(t.Context(), machine("lxc-1-a")), fault.Timeout)
	begun := time.Now()
	for range 100 {
		assert.Empty(t, m.Place(t.Context(), "/machine", "lxc-1-a"))
	}
	assert.Less(t, time.Since(begun), 200*time.Millisecond)
}

// A bus that hangs for longer than anybody waits is found again, though no
// signal tells.
func TestHangingBusGoesOn(t *testing.T) {
	h := newHost(t)
	var log record
	m := open(t, h.Address, log.logger())
	m.patience.call = 50 * time.Millisecond
	require.NotEmpty(t, m.Place(t.Context(), "/machine", "lxc-1-a"))
	h.Signal(t, syscall.SIGSTOP)
	m.look()
	require.Eventually(t, func() bool { return log.at("WARN") == 1 }, within, often)
	assert.Empty(t, m.Place(t.Context(), "/machine", "lxc-1-a"))
	h.Signal(t, syscall.SIGCONT)
	require.Eventually(t, func() bool { return log.at("INFO") == 1 }, within, often)
	require.NoError(t, m.Enclose(t.Context(), machine("lxc-1-a")))
}

func TestManyAtOnce(t *testing.T) {
	h := newHost(t)
	m := open(t, h.Address, quiet())
	m.patience.scope = within
	failures := make(chan error, 50)
	for i := range cap(failures) {
		go func() {
			one := machine("lxc-" + string(rune('0'+i/10)) + string(rune('0'+i%10)))
			err := m.Enclose(context.Background(), one)
			if err == nil {
				err = m.Register(context.Background(), one)
			}
			failures <- err
		}()
	}
	for range cap(failures) {
		require.NoError(t, <-failures)
	}
	h.set(func() { assert.Len(t, h.machines, cap(failures)) })
}

func TestDisabled(t *testing.T) {
	var none ports.Machines = None()
	assert.Empty(t, none.Place(t.Context(), "/machine", "a"))
	require.NoError(t, none.Enclose(t.Context(), ports.Machine{}))
	require.NoError(t, none.Register(t.Context(), ports.Machine{}))
	require.NoError(t, none.Release(t.Context(), "a"))
}

func TestClosed(t *testing.T) {
	h := newHost(t)
	m := open(t, h.Address, quiet())
	require.NotEmpty(t, m.Place(t.Context(), "/machine", "lxc-1-a"))
	require.NoError(t, m.Close())
	require.NoError(t, m.Close())
	begun := time.Now()
	_ = m.Place(t.Context(), "/machine", "lxc-1-a")
	assert.Less(t, time.Since(begun), time.Second)
}
