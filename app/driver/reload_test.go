package driver_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/app/driver"
	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/fakes"
	"virtlxcd/ports"
)

// write puts a definition on the disk behind the daemon's back.
func (r *rig) write(d *container.Definition) {
	r.t.Helper()
	r.host.AddRoot("/srv/" + d.Name)
	require.NoError(r.t, fakes.NewStore(r.host).SaveDefinition(r.ctx, d))
}

func described(d *container.Definition, text string) *container.Definition {
	d.Description = text
	return d
}

func TestReload(t *testing.T) {
	bench(t, func(r *rig) {
		r.define(plain("same", 1))
		r.define(plain("changed", 2))
		r.define(plain("running", 3))
		r.define(plain("removed", 4))
		r.define(plain("other", 5))
		r.define(plain("damaged", 6))
		r.define(plain("marked", 7))
		r.create(plain("transient", 8), ports.StartOptions{})
		r.start("running")
		r.happened()
		r.write(described(plain("changed", 2), "new"))
		r.write(described(plain("running", 3), "next time"))
		r.write(plain("other", 55))
		r.write(plain("transient", 8))
		r.write(plain("new", 9))
		r.host.DamageDefinition("damaged")
		disk := fakes.NewStore(r.host)
		require.NoError(t, disk.RemoveDefinition(r.ctx, "removed"))
		require.NoError(t, disk.SetAutostart(r.ctx, "marked", true))

		require.NoError(t, r.driver.Reload(r.ctx))
		assert.Equal(t, []string{
			"changed defined 1", "new defined 0", "running defined 1 running", "transient defined 0 running",
		}, r.happened())
		for name, state := range map[string]string{
			"same": "shutoff unknown persistent", "changed": "shutoff unknown persistent",
			"running": "running booted persistent updated", "removed": "shutoff unknown persistent",
			"other": "shutoff unknown persistent", "damaged": "shutoff unknown persistent",
			"new": "shutoff unknown persistent", "transient": "running booted persistent",
		} {
			assert.Equal(t, state, r.state(name), name)
		}
		running, err := r.client.State(r.ctx, named("running"))
		require.NoError(t, err)
		assert.Equal(t, "next time", running.Config.Description)
		assert.Empty(t, running.Live.Description)
		other, err := r.client.State(r.ctx, named("other"))
		require.NoError(t, err)
		assert.Equal(t, container.UUID{5}, other.UUID)
		marked, err := r.client.Autostart(r.ctx, named("marked"))
		require.NoError(t, err)
		assert.True(t, marked)
		assert.Contains(t, r.log.String(), "/etc/damaged")

		require.NoError(t, r.driver.Reload(r.ctx))
		assert.Empty(t, r.happened(), "nothing is news twice")
		r.start("new")
	})
}

// uuid is that of a container, as clients see it.
func (r *rig) uuid(name string) container.UUID {
	r.t.Helper()
	s, err := r.client.Lookup(r.ctx, named(name))
	require.NoError(r.t, err)
	return s.UUID
}

// TestIdentityOfDefinitionsWithoutUUID: it is made up once, wherever they turn up.
func TestIdentityOfDefinitionsWithoutUUID(t *testing.T) {
	bench(t, func(r *rig) {
		for i, name := range []string{"found", "running"} {
			r.define(plain(name, byte(i+1)))
		}
		r.start("running")
		r.restart(func() { r.host.StripUUID("found"); r.host.StripUUID("running") })
		found := r.uuid("found")
		assert.NotEqual(t, container.UUID{1}, found)
		assert.Equal(t, container.UUID{2}, r.uuid("running"))
		assert.Equal(t, "running unknown persistent", r.state("running"))

		r.happened()
		r.write(plain("new", 3))
		for _, name := range []string{"new", "found", "running"} {
			r.host.StripUUID(name)
		}
		require.NoError(t, r.driver.Reload(r.ctx))
		assert.Equal(t, []string{"new defined 0"}, r.happened(), "the others did not change")
		fresh := r.uuid("new")
		assert.NotEqual(t, container.UUID{3}, fresh)
		r.host.StripUUID("new")
		require.NoError(t, r.driver.Reload(r.ctx))
		assert.Equal(t, fresh, r.uuid("new"))
		assert.Empty(t, r.happened())
		r.restart(nil)
		assert.Equal(t, []container.UUID{found, {2}, fresh}, []container.UUID{r.uuid("found"), r.uuid("running"), r.uuid("new")})
		assert.NotContains(t, r.log.String(), "level=ERROR")
		assert.NotContains(t, r.log.String(), "already exists")
	})
}

func TestIdentityThatCannotBeSaved(t *testing.T) {
	bench(t, func(r *rig) {
		r.define(plain("web", 1))
		r.restart(func() { r.host.StripUUID("web"); r.host.FillDisk(true) })
		first := r.uuid("web")
		r.happened()
		require.NoError(t, r.driver.Reload(r.ctx))
		assert.Equal(t, first, r.uuid("web"), "as long as the daemon lives")
		assert.Empty(t, r.happened())
		assert.Equal(t, 2, strings.Count(r.log.String(), "level=WARN msg=\"cannot save the uuid"))
		r.host.FillDisk(false)
	})
}

// TestReloadDoesNotShowWhatIsLeftOut: it runs, so nobody must start it.
func TestReloadDoesNotShowWhatIsLeftOut(t *testing.T) {
	bench(t, func(r *rig) {
		r.define(web())
		r.start("web")
		r.restart(func() { r.host.Fail("Cgroups.Open", assert.AnError) })
		require.Equal(t, "unknown to clients", r.state("web"))
		require.NoError(t, r.driver.Reload(r.ctx))
		assert.Equal(t, "unknown to clients", r.state("web"))
		assert.NotZero(t, r.host.InitPID("web"))
		r.restart(nil)
		assert.Equal(t, "running unknown persistent", r.state("web"))
	})
}

func TestReloadWithoutStore(t *testing.T) {
	bench(t, func(r *rig) {
		r.host.Fail("Store.Load", assert.AnError)
		assert.ErrorIs(t, r.driver.Reload(r.ctx), assert.AnError)
		require.NoError(t, r.driver.Reload(r.ctx))
		ended, cancel := context.WithCancel(r.ctx)
		cancel()
		_ = r.driver.Reload(ended) // may have been quick enough
		require.NoError(t, r.driver.Reload(r.ctx))
	})
}

// slowDisk lets a test act between reading and taking over.
type slowDisk struct {
	ports.Store
	loads  int
	read   chan struct{} // gets a token when Load has read
	resume chan struct{} // lets Load return
}

func (s *slowDisk) Load(ctx context.Context, damaged func(string, error)) ([]ports.Stored, error) {
	all, err := s.Store.Load(ctx, damaged)
	s.loads++
	if s.read != nil {
		s.read <- struct{}{}
		<-s.resume
	}
	return all, err
}

// slowly makes a daemon with a slow store.
func (r *rig) slowly() *slowDisk {
	slow := &slowDisk{}
	r.wrap = func(p *driver.Ports) {
		slow.Store = p.Store
		p.Store = slow
	}
	r.restart(nil)
	slow.loads, slow.read, slow.resume = 0, make(chan struct{}), make(chan struct{})
	return slow
}

// TestClientsAreNewerThanWhatWasRead: what they change while files are read is
// not taken back.
func TestClientsAreNewerThanWhatWasRead(t *testing.T) {
	bench(t, func(r *rig) {
		for i, name := range []string{"defined", "undefined", "marked", "titled", "failed"} {
			r.define(plain(name, byte(i+1)))
		}
		slow := r.slowly()
		done := make(chan error)
		go func() { done <- r.driver.Reload(r.ctx) }()
		<-slow.read
		r.define(described(plain("defined", 1), "newer"))
		require.NoError(t, r.client.Undefine(r.ctx, named("undefined")))
		require.NoError(t, r.client.SetAutostart(r.ctx, named("marked"), true))
		which := ports.MetadataKey{Kind: ports.Description}
		require.NoError(t, r.client.SetMetadata(r.ctx, named("titled"), which, text("newer")))
		r.happened()
		slow.resume <- struct{}{}
		require.NoError(t, <-done)
		assert.Empty(t, r.happened())
		for _, name := range []string{"defined", "titled"} {
			s, err := r.client.State(r.ctx, named(name))
			require.NoError(t, err)
			assert.Equal(t, "newer", s.Config.Description, name)
		}
		assert.Equal(t, "unknown to clients", r.state("undefined"))
		on, err := r.client.Autostart(r.ctx, named("marked"))
		require.NoError(t, err)
		assert.True(t, on)
	})
}

// Readings come one after the other; one that is not waited for any more is left out.
func TestReloadsTakeTurns(t *testing.T) {
	bench(t, func(r *rig) {
		slow := r.slowly()
		done := make(chan error)
		reload := func(ctx context.Context) { done <- r.driver.Reload(ctx) }
		go reload(r.ctx)
		<-slow.read
		gone, leave := context.WithCancel(r.ctx)
		go reload(gone)
		r.settle()
		leave()
		assert.ErrorIs(t, <-done, fault.Aborted)
		go reload(r.ctx)
		r.settle()
		assert.Equal(t, 1, slow.loads)
		slow.resume <- struct{}{}
		require.NoError(t, <-done)
		<-slow.read
		slow.resume <- struct{}{}
		require.NoError(t, <-done)
		assert.Equal(t, 2, slow.loads)
	})
}

// TestReloadDuringAStart waits for it and loses nothing.
func TestReloadDuringAStart(t *testing.T) {
	bench(t, func(r *rig) {
		r.host.InstallHooks()
		r.define(web())
		release := r.host.HoldHook("start")
		started, reloaded := make(chan error), make(chan error)
		go func() {
			_, err := r.client.Start(r.ctx, named("web"), ports.StartOptions{})
			started <- err
		}()
		r.settle()
		r.write(described(web(), "new"))
		go func() { reloaded <- r.driver.Reload(r.ctx) }()
		r.settle()
		release()
		require.NoError(t, <-started)
		require.NoError(t, <-reloaded)
		assert.Equal(t, "running booted persistent updated", r.state("web"))
	})
}

func TestReloadOfAnEndingDaemon(t *testing.T) {
	bench(t, func(r *rig) {
		r.stop()
		assert.ErrorIs(t, r.driver.Reload(r.ctx), fault.Aborted)
		r.boot()
	})
}

// TestReloadsAmongChanges: nothing is lost, whoever comes first.
func TestReloadsAmongChanges(t *testing.T) {
	bench(t, func(r *rig) {
		r.furnish()
		empty := r.host.String()
		var all sync.WaitGroup
		for i := range 8 {
			name := fmt.Sprint("c", i)
			r.host.AddRoot("/srv/" + name)
			all.Go(func() {
				for range 10 {
					r.define(plain(name, byte(i+1)))
					r.start(name)
					assert.NoError(t, r.client.SetAutostart(r.ctx, named(name), true))
					assert.NoError(t, r.client.Destroy(r.ctx, named(name)))
					assert.NoError(t, r.client.Undefine(r.ctx, named(name)))
				}
			})
			all.Go(func() {
				for range 20 {
					assert.NoError(t, r.driver.Reload(r.ctx))
				}
			})
		}
		all.Wait()
		r.settle()
		list, err := r.client.List(r.ctx, container.Filter{})
		require.NoError(t, err)
		assert.Empty(t, list)
		assert.Equal(t, empty, r.host.String())
	})
}
