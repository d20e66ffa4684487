package driver_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/app/driver"
	"virtlxcd/domain/container"
	"virtlxcd/fakes"
	"virtlxcd/ports"
)

const webMachine = "lxc-1001-web"

func TestContainersAreMachines(t *testing.T) {
	bench(t, func(r *rig) {
		r.host.InstallManager()
		definition := web()
		definition.Limits.CPUShares = new(uint64(2048))
		r.define(definition)
		off := r.host.String()
		r.start("web")
		m, ok := r.host.Machine(webMachine)
		require.True(t, ok)
		links := r.host.Links()
		assert.Equal(t, ports.Machine{
			Name: webMachine, UUID: container.UUID{1}, Partition: "/machine", Holder: 1001,
			Leader: r.host.InitPID("web"), Links: []int{links[0].Index, links[1].Index}, Shares: new(uint64(2048)),
		}, m)
		assert.Contains(t, r.host.String(), "init of web in /machine.slice/machine-lxc-1001-web.scope/libvirt")

		require.NoError(t, r.host.RebootInit("web"))
		r.settle()
		again, _ := r.host.Machine(webMachine)
		assert.NotEqual(t, m.Leader, again.Leader)
		assert.Equal(t, r.host.InitPID("web"), again.Leader)

		require.NoError(t, r.client.Destroy(r.ctx, named("web")))
		r.settle()
		assert.Equal(t, off, r.host.String())
	})
}

func TestLinksOfAMachineThatRebooted(t *testing.T) {
	bench(t, func(r *rig) {
		r.furnish()
		r.define(mapped())
		off := r.host.String()
		r.start("web")
		before, _ := r.host.Machine(webMachine)
		require.NoError(t, r.host.RebootInit("web"))
		r.settle()
		after, _ := r.host.Machine(webMachine)
		assert.NotEqual(t, before.Links, after.Links, "made anew")
		assert.Len(t, after.Links, 2)
		require.NoError(t, r.client.Destroy(r.ctx, named("web")))
		assert.Equal(t, off, r.host.String())
	})
}

func TestNewDaemonRegistersAgain(t *testing.T) {
	bench(t, func(r *rig) {
		r.define(plain("before", 2))
		r.start("before")
		r.host.InstallManager()
		r.define(web())
		r.start("web")
		links := r.host.Links()
		r.stop()
		require.NoError(t, fakes.NewMachines(r.host).Release(r.ctx, "lxc-1003-web"), "a registry that was restarted")
		r.host.ForgetOps()
		r.boot()
		r.settle()
		m, ok := r.host.Machine("lxc-1003-web")
		assert.True(t, ok)
		assert.Equal(t, r.host.InitPID("web"), m.Leader)
		assert.Equal(t, []int{links[0].Index, links[1].Index}, m.Links)
		count := 0
		for _, op := range r.host.Ops() {
			if op == "Machines.Register" {
				count++
			}
		}
		assert.Equal(t, 1, count, "not of what has no unit")
		require.NoError(t, r.client.Destroy(r.ctx, named("web")))
		assert.NotContains(t, r.host.String(), "machine: ")
	})
}

// TestWithoutUnit: a service manager that fails is done without.
func TestWithoutUnit(t *testing.T) {
	for _, op := range []string{"Machines.Enclose", "Cgroups.CreateIn"} {
		bench(t, func(r *rig) {
			r.host.InstallManager()
			r.define(web())
			r.host.Fail(op, assert.AnError)
			r.start("web")
			assert.Contains(t, r.host.String(), "init of web in /machine/lxc-1001-web.libvirt-lxc")
			_, ok := r.host.Machine(webMachine)
			assert.False(t, ok)
			r.restart(nil)
			assert.Equal(t, "running unknown persistent", r.state("web"), "the status tells where")
			require.NoError(t, r.client.Destroy(r.ctx, named("web")))
			r.settle()
			assert.NotContains(t, r.host.String(), "unit: ")
		})
	}
}

// slowMachines needs its time to register.
type slowMachines struct {
	ports.Machines
	proceeded func() bool
	early     bool
}

func (m *slowMachines) Register(ctx context.Context, machine ports.Machine) error {
	time.Sleep(time.Second)
	m.early = m.proceeded()
	return m.Machines.Register(ctx, machine)
}

// TestRegisteringDoesNotDelayInit: it runs before the registry has answered.
func TestRegisteringDoesNotDelayInit(t *testing.T) {
	bench(t, func(r *rig) {
		r.host.InstallManager()
		slow := &slowMachines{proceeded: func() bool { return r.host.InitPID("web") != 0 }}
		r.wrap = func(p *driver.Ports) {
			slow.Machines = p.Machines
			p.Machines = slow
		}
		r.restart(nil)
		r.define(web())
		begun := time.Now()
		r.start("web")
		assert.Equal(t, time.Second, time.Since(begun))
		assert.True(t, slow.early)
		assert.Contains(t, r.host.Ops(), "Controller.Proceed")
	})
}

func TestUnfinishedStartInAUnit(t *testing.T) {
	bench(t, func(r *rig) {
		r.furnish()
		r.define(web())
		before := r.host.String()
		r.host.Fail("Processes.Open", assert.AnError)
		for _, op := range []string{"Controller.Abandon", "Cgroup.Kill", "Cgroup.Remove", "Store.RemoveStatus"} {
			r.host.Fail(op, assert.AnError)
		}
		_, err := r.client.Start(r.ctx, named("web"), ports.StartOptions{})
		require.ErrorIs(t, err, assert.AnError)
		assert.Contains(t, r.host.String(), "status: web starting")
		r.host.ForgetOps()
		r.restart(nil)
		assert.Contains(t, r.host.Ops(), "Machines.Release", "the unit may be yet to begin")
		assert.Equal(t, "shutoff failed persistent", r.state("web"))
		assert.Equal(t, before, r.host.String())
	})
}
