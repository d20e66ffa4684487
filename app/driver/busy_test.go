package driver_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/app/driver"
	"virtlxcd/domain/access"
	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/fakes"
	"virtlxcd/ports"
)

// slowStore keeps saving a definition until it is released.
type slowStore struct {
	ports.Store
	release chan struct{}
}

func (s *slowStore) SaveDefinition(ctx context.Context, d *container.Definition) error {
	select {
	case <-s.release:
	case <-ctx.Done():
		return fault.Wrap(ctx.Err(), fault.Aborted, "interrupted")
	}
	return s.Store.SaveDefinition(ctx, d)
}

// busyBench has a driver in which defining takes until release is closed.
func busyBench(t *testing.T, test func(r *rig, release chan struct{})) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, ctx: context.Background(), host: fakes.NewHost()}
		release := make(chan struct{})
		r.wrap = func(p *driver.Ports) { p.Store = &slowStore{p.Store, release} }
		r.boot()
		r.create(plain("web", 1), ports.StartOptions{})
		r.settle()
		test(r, release)
	})
}

// defining starts a definition that hangs and returns its outcome to come.
func (r *rig) defining() <-chan error {
	outcome := make(chan error, 1)
	go func() {
		_, err := r.client.Define(r.ctx, document(plain("web", 1)), false)
		outcome <- err
	}()
	r.settle()
	return outcome
}

func TestWaitingNamesWhoIsInTheWay(t *testing.T) {
	busyBench(t, func(r *rig, release chan struct{}) {
		outcome := r.defining()
		begun := time.Now()
		err := r.client.Suspend(r.ctx, named("web"))
		assert.Equal(t, 30*time.Second, time.Since(begun))
		assert.ErrorIs(t, err, fault.Timeout)
		assert.ErrorContains(t, err, "cannot acquire state change lock (held by monitor=virDomainDefineXMLFlags)")
		close(release)
		assert.NoError(t, <-outcome)
		r.close()
	})
}

func TestReadsDoNotWait(t *testing.T) {
	busyBench(t, func(r *rig, release chan struct{}) {
		outcome := r.defining()
		begun := time.Now()
		for name, call := range asking {
			if call.public == "" {
				assert.NotErrorIs(t, call.do(r.ctx, r.client), fault.Timeout, name)
			}
		}
		assert.Zero(t, time.Since(begun))
		close(release)
		assert.NoError(t, <-outcome)
		r.close()
	})
}

func TestCallerMayHangUp(t *testing.T) {
	busyBench(t, func(r *rig, release chan struct{}) {
		ctx, cancel := context.WithCancel(r.ctx)
		outcome := make(chan error, 1)
		go func() {
			_, err := r.client.Define(ctx, document(plain("web", 1)), false)
			outcome <- err
		}()
		r.settle()
		cancel()
		close(release)
		assert.NoError(t, <-outcome, "what has begun is finished")
		assert.Equal(t, "running booted persistent", r.state("web"))
		r.close()
	})
}

func TestWhoWaitedForAVanishedContainer(t *testing.T) {
	busyBench(t, func(r *rig, release chan struct{}) {
		outcome := r.defining()
		var wg sync.WaitGroup
		late := map[string]error{}
		var mu sync.Mutex
		for _, call := range []string{"Undefine", "Destroy", "Suspend", "Define"} {
			wg.Go(func() {
				err := asking[call].do(r.ctx, r.client)
				mu.Lock()
				defer mu.Unlock()
				late[call] = err
			})
			r.settle() // in line
		}
		close(release)
		wg.Wait()
		assert.NoError(t, <-outcome)
		assert.NoError(t, late["Undefine"])
		assert.NoError(t, late["Destroy"])
		assert.ErrorIs(t, late["Suspend"], fault.NotFound)
		assert.ErrorContains(t, late["Suspend"], "no domain with matching uuid '"+container.UUID{1}.String()+"' (web)")
		assert.NoError(t, late["Define"], "it makes a new one")
		assert.Equal(t, "shutoff unknown persistent", r.state("web"))
		r.close()
	})
}

func TestShutdownWaitsForChanges(t *testing.T) {
	busyBench(t, func(r *rig, release chan struct{}) {
		outcome := r.defining()
		waiting := make(chan error, 1)
		go func() { waiting <- r.client.Suspend(r.ctx, named("web")) }()
		r.settle()
		down := make(chan error, 1)
		go func() { down <- r.driver.Shutdown(r.ctx) }()
		r.settle()
		assert.ErrorIs(t, <-waiting, fault.Aborted, "not begun")
		assert.Empty(t, down)
		close(release)
		assert.NoError(t, <-outcome)
		assert.NoError(t, <-down)
		assert.NotZero(t, r.host.InitPID("web"), "containers run on")
		assert.ErrorIs(t, r.client.Destroy(r.ctx, named("web")), fault.Aborted)
		require.NoError(t, r.client.Close())
		assert.Empty(t, r.host.OpenFiles())
	})
}

// TestNewsDuringShutdownAreForTheNextDaemon: they are not acknowledged.
func TestNewsDuringShutdownAreForTheNextDaemon(t *testing.T) {
	busyBench(t, func(r *rig, release chan struct{}) {
		outcome := r.defining()
		require.NoError(t, r.host.RebootInit("web"))
		r.settle()
		down := make(chan error, 1)
		go func() { down <- r.driver.Shutdown(r.ctx) }()
		r.settle()
		require.NoError(t, r.host.ExitInit("web", fakes.Killed(11)))
		r.settle()
		close(release)
		assert.NoError(t, <-outcome)
		assert.NoError(t, <-down)
		require.NoError(t, r.client.Close())
		assert.Empty(t, r.host.OpenFiles())
		r.boot()
		assert.Equal(t, "shutoff crashed persistent", r.state("web"))
		r.close()
	})
}

func TestShutdownInTime(t *testing.T) {
	busyBench(t, func(r *rig, _ chan struct{}) {
		outcome := r.defining()
		ctx, cancel := context.WithTimeout(r.ctx, time.Minute)
		defer cancel()
		assert.ErrorIs(t, r.driver.Shutdown(ctx), fault.Timeout)
		assert.ErrorIs(t, <-outcome, fault.Aborted)
		require.NoError(t, r.driver.Shutdown(r.ctx))
		assert.Empty(t, r.host.OpenFiles())
	})
}

// TestManyAtOnce lets many clients change few containers, while those exit,
// reboot and lose their controllers by themselves. In the end everything is
// destroyed and the host is as it was.
func TestManyAtOnce(t *testing.T) {
	r := newRig(t)
	names := []string{"a", "b", "c"}
	for i, name := range names {
		r.host.AddRoot("/srv/" + name)
		r.host.Init("/sbin/init", fakes.Usual())
		_ = i
	}
	empty := r.host.String()
	var wg sync.WaitGroup
	for seed := range uint64(20) {
		wg.Go(func() { r.meddle(rand.New(rand.NewPCG(seed, 2)), names) })
	}
	wg.Wait()
	require.NoError(t, r.client.Close())
	r.client = r.connect(access.Caller{})
	for _, name := range names {
		r.remove(name)
	}
	require.NoError(t, r.client.Close())
	require.NoError(t, r.driver.Shutdown(r.ctx))
	closed := func(state string) []string {
		return slices.DeleteFunc(strings.Split(state, "\n"), func(line string) bool {
			return strings.HasPrefix(line, "open: ") || line == ""
		})
	}
	assert.Equal(t, closed(empty), closed(r.host.String()))
	assert.Empty(t, r.host.OpenFiles())
}

// remove makes sure that a container is gone, whatever happens meanwhile.
func (r *rig) remove(name string) {
	for {
		undefined := r.client.Undefine(r.ctx, named(name))
		destroyed := r.client.Destroy(r.ctx, named(name))
		if fault.KindOf(undefined) == fault.NotFound && fault.KindOf(destroyed) == fault.NotFound {
			return
		}
	}
}

// meddle does random things and checks what is shown in between.
func (r *rig) meddle(random *rand.Rand, names []string) {
	client := r.connect(access.Caller{})
	defer func() { assert.NoError(r.t, client.Close()) }()
	for range 25 {
		number := random.IntN(len(names))
		name := names[number]
		definition := document(plain(name, byte(number+1)))
		var err error
		switch random.IntN(14) {
		case 0, 1:
			_, err = client.Define(r.ctx, definition, false)
		case 2, 3:
			_, err = client.Create(r.ctx, definition, ports.StartOptions{AutoDestroy: random.IntN(2) == 0})
		case 4, 5:
			_, err = client.Start(r.ctx, named(name), ports.StartOptions{})
		case 6:
			err = client.Destroy(r.ctx, named(name))
		case 7:
			err = client.Suspend(r.ctx, named(name))
		case 8:
			err = client.Resume(r.ctx, named(name))
		case 9:
			err = client.Undefine(r.ctx, named(name))
		case 10:
			_ = r.host.ExitInit(name, fakes.Exited(0))
		case 11:
			_ = r.host.RebootInit(name)
		case 12:
			_ = r.host.KillController(name)
		case 13:
			err = client.SetMetadata(r.ctx, named(name), ports.MetadataKey{Kind: ports.Title}, text("x"))
		}
		r.checkRefusal(err)
		all, err := client.List(r.ctx, container.Filter{})
		assert.NoError(r.t, err)
		for _, s := range all {
			assert.NotNil(r.t, s.Current(), "%s shows no definition", s.Name)
		}
	}
}

// checkRefusal lets only the refusals pass that another client can cause.
func (r *rig) checkRefusal(err error) {
	switch kind := fault.KindOf(err); {
	case err == nil, kind == fault.NotFound, kind == fault.WrongState:
	case strings.Contains(err.Error(), "controller is gone"), strings.Contains(err.Error(), "process has died"):
		// killed in the middle of a start
	default:
		assert.NoError(r.t, err, fmt.Sprint(kind))
	}
}

// freeAccess lets everything pass without the fake's bookkeeping.
type freeAccess struct{}

func (freeAccess) Check(context.Context, access.Caller, access.Permission, ports.AccessObject) error {
	return nil
}

func BenchmarkListOf1000(b *testing.B) {
	h := fakes.NewHost()
	store := fakes.NewStore(h)
	for i := range 1000 {
		d := plain(fmt.Sprint("c", i), 0)
		d.UUID = container.UUID{byte(i >> 8), byte(i)}
		require.NoError(b, store.SaveDefinition(b.Context(), d))
	}
	world := driver.Ports{
		Store: store, Codec: codec{fakes.NewEntropy(h)}, Controllers: fakes.NewControllers(h),
		Cgroups: fakes.NewCgroups(h), Links: fakes.NewLinks(h), Terminals: fakes.NewTerminals(h),
		Processes: fakes.NewProcesses(h), HostInfo: fakes.NewHostInfo(h), Access: freeAccess{},
	}
	d, err := driver.New(world, driver.Options{}, slog.New(slog.DiscardHandler))
	require.NoError(b, err)
	require.NoError(b, d.Recover(b.Context()))
	client, err := d.Connect(b.Context(), access.Caller{})
	require.NoError(b, err)
	for b.Loop() {
		all, err := client.List(b.Context(), container.Filter{})
		if err != nil || len(all) != 1000 {
			b.Fatal(len(all), err)
		}
	}
	require.NoError(b, d.Shutdown(context.Background()))
}
