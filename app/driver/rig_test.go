package driver_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"virtlxcd/app/driver"
	"virtlxcd/domain/access"
	"virtlxcd/domain/container"
	"virtlxcd/domain/device"
	"virtlxcd/domain/lifecycle"
	"virtlxcd/fakes"
	"virtlxcd/ports"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var callerRoot = access.Caller{}

// rig is a driver on a fake host, with one client that writes events down.
type rig struct {
	t      *testing.T
	ctx    context.Context
	host   *fakes.Host
	driver *driver.Driver
	client ports.Connection
	log    strings.Builder
	// wrap may replace ports before a driver is made.
	wrap    func(*driver.Ports)
	options driver.Options

	mu     sync.Mutex
	events []string
}

// bench runs test in a bubble of virtual time, in which Settle waits for
// everything that happens by itself, and checks that nothing is left open.
func bench(t *testing.T, test func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		test(r)
	})
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, ctx: context.Background(), host: fakes.NewHost()}
	r.boot()
	return r
}

// boot makes a new driver, as a new daemon would.
func (r *rig) boot() {
	h := r.host
	entropy := fakes.NewEntropy(h)
	world := driver.Ports{
		Store: fakes.NewStore(h), Codec: codec{entropy}, Controllers: fakes.NewControllers(h),
		Cgroups: fakes.NewCgroups(h), Links: fakes.NewLinks(h), Terminals: fakes.NewTerminals(h),
		Processes: fakes.NewProcesses(h), HostInfo: fakes.NewHostInfo(h), Access: fakes.NewAccess(h),
		Entropy: entropy,
		Hooks:   fakes.NewHooks(h), Machines: fakes.NewMachines(h), Escrow: fakes.NewEscrow(h), Auditor: fakes.NewAuditor(h),
	}
	if r.wrap != nil {
		r.wrap(&world)
	}
	log := slog.New(slog.NewTextHandler(&r.log, nil))
	var err error
	r.driver, err = driver.New(world, r.options, log)
	require.NoError(r.t, err)
	require.NoError(r.t, r.driver.Recover(r.ctx))
	r.client = r.connect(access.Caller{})
	for _, kind := range []ports.EventKind{ports.LifecycleEvent, ports.RebootEvent, ports.MetadataEvent} {
		_, err := r.client.Subscribe(r.ctx, ports.Subscription{Kind: kind, Deliver: r.note})
		require.NoError(r.t, err)
	}
}

func (r *rig) connect(caller access.Caller) ports.Connection {
	client, err := r.driver.Connect(r.ctx, caller)
	require.NoError(r.t, err)
	return client
}

var changes = [...]string{"defined", "undefined", "started", "suspended", "resumed", "stopped"}

func (r *rig) note(e ports.Event) {
	text := fmt.Sprintf("%s %s %d", e.Container.Name, changes[e.Change.Kind], e.Change.Detail)
	switch e.Kind {
	case ports.RebootEvent:
		text = e.Container.Name + " rebooted"
	case ports.MetadataEvent:
		text = fmt.Sprintf("%s metadata %d %s", e.Container.Name, e.Metadata, e.Namespace)
	}
	if e.Container.ID != container.NoID {
		text += " running"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, text)
}

// happened returns the events since it was last called.
func (r *rig) happened() []string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	events := r.events
	r.events = nil
	return events
}

func (r *rig) settle() { synctest.Wait() }

// stop ends the daemon; containers run on.
func (r *rig) stop() {
	require.NoError(r.t, r.client.Close())
	require.NoError(r.t, r.driver.Shutdown(r.ctx))
	assert.Empty(r.t, r.host.OpenFiles(), "left open by the daemon")
}

// restart ends the daemon, lets something happen meanwhile and starts a new one.
func (r *rig) restart(meanwhile func()) {
	r.stop()
	if meanwhile != nil {
		meanwhile()
	}
	r.boot()
}

func (r *rig) close() {
	r.stop()
	assert.Empty(r.t, r.host.Pending(), "faults that never struck")
	if r.t.Failed() {
		r.t.Log("\n" + r.host.String() + "\n" + r.log.String())
	}
}

// web is a container with everything: a root, two links and three consoles.
func web() *container.Definition {
	return &container.Definition{
		Name: "web", UUID: container.UUID{1}, Memory: 65536, VCPUs: 1, OnlineVCPUs: 1,
		Init: container.Init{Path: "/sbin/init"}, OnPoweroff: "destroy", OnReboot: "restart", OnCrash: "destroy",
		Filesystems: []device.Filesystem{{Kind: device.HostDir, Source: "/srv/web", Target: "/"}},
		Links: []device.Link{
			{Kind: device.Bridge, Source: "virbr0", MAC: device.MAC{0x52, 0x54, 0, 0, 0, 1}},
			{Kind: device.Bridge, Source: "virbr0", MAC: device.MAC{0x52, 0x54, 0, 0, 0, 2}, HostName: "webnet"},
		},
		Consoles: []device.Console{{Kind: "pty"}, {Kind: "pty"}, {Kind: "pty"}},
	}
}

// plain is a container without network.
func plain(name string, number byte) *container.Definition {
	return &container.Definition{
		Name: name, UUID: container.UUID{number}, Memory: 65536, Init: container.Init{Path: "/sbin/init"},
		Filesystems: []device.Filesystem{{Kind: device.HostDir, Source: "/srv/" + name, Target: "/"}},
		Consoles:    []device.Console{{Kind: "pty"}},
	}
}

func named(name string) container.Ref { return container.Ref{By: container.ByName, Name: name} }

func (r *rig) define(d *container.Definition) {
	r.t.Helper()
	r.host.AddRoot("/srv/" + d.Name)
	_, err := r.client.Define(r.ctx, document(d), false)
	require.NoError(r.t, err)
}

func (r *rig) create(d *container.Definition, options ports.StartOptions) {
	r.t.Helper()
	r.host.AddRoot("/srv/" + d.Name)
	_, err := r.client.Create(r.ctx, document(d), options)
	require.NoError(r.t, err)
}

func (r *rig) start(name string) {
	r.t.Helper()
	_, err := r.client.Start(r.ctx, named(name), ports.StartOptions{})
	require.NoError(r.t, err)
}

// state prints what clients see of a container.
func (r *rig) state(name string) string {
	r.t.Helper()
	s, err := r.client.State(r.ctx, named(name))
	if err != nil {
		return "unknown to clients"
	}
	text := s.State.String() + " " + s.Reason.String()
	if s.Persistent {
		text += " persistent"
	}
	if s.Updated {
		text += " updated"
	}
	assert.Equal(r.t, s.State.Active(), s.ID != container.NoID, "an id and life go together")
	assert.Equal(r.t, s.State.Active(), s.Live != nil)
	assert.Equal(r.t, s.State.Active(), s.InitPID != 0)
	if s.State == lifecycle.Off {
		assert.Equal(r.t, s.Persistent, s.Config != nil)
	}
	return text
}
