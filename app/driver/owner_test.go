package driver_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/access"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// closing closes a connection and returns the outcome to come.
func (r *rig) closing(client ports.Connection) <-chan error {
	closed := make(chan error, 1)
	go func() { closed <- client.Close() }()
	r.settle()
	return closed
}

// TestOwnerClosesDuringEveryStage: whatever its container is about to do when a
// connection closes, nothing of it is left, though the definition says that it is
// to be started again.
func TestOwnerClosesDuringEveryStage(t *testing.T) {
	for name, test := range map[string]struct {
		hook  string // that holds the stage up
		again bool   // of the start that follows its end
	}{
		"being prepared":       {"prepare", false},
		"being started":        {"start", false},
		"having been started":  {"started", false},
		"having stopped":       {"stopped", true},
		"being released":       {"release", true},
		"being prepared again": {"prepare", true},
		"being started again":  {"start", true},
		"having started again": {"started", true},
	} {
		t.Run(name, func(t *testing.T) {
			bench(t, func(r *rig) {
				r.host.InstallHooks()
				r.host.AddRoot("/srv/web")
				empty := r.host.String()
				owner := r.connect(access.Caller{})
				definition := plain("web", 1)
				definition.OnPoweroff = "restart"
				begin := func() error {
					_, err := owner.Create(r.ctx, document(definition), ports.StartOptions{AutoDestroy: true})
					return err
				}
				started := make(chan error, 1)
				if test.again {
					require.NoError(t, begin())
					r.settle()
					time.Sleep(time.Minute) // it is no relapse
				}
				release := r.host.HoldHook(test.hook)
				if test.again {
					require.NoError(t, r.host.ExitInit("web", 0))
				} else {
					go func() { started <- begin() }()
				}
				r.settle()
				closed := r.closing(owner)
				release()
				assert.NoError(t, <-closed)
				r.settle()
				if !test.again {
					assert.ErrorIs(t, <-started, fault.Aborted, "it is gone again")
				}
				assert.Equal(t, "unknown to clients", r.state("web"))
				assert.Equal(t, empty, r.host.String())
			})
		})
	}
}

// TestOwnerOfARestartStaysOwner: one that was started again by itself is still
// destroyed with its connection.
func TestOwnerOfARestartStaysOwner(t *testing.T) {
	bench(t, func(r *rig) {
		r.host.AddRoot("/srv/web")
		empty := r.host.String()
		owner := r.connect(access.Caller{})
		definition := plain("web", 1)
		definition.OnCrash = "restart"
		_, err := owner.Create(r.ctx, document(definition), ports.StartOptions{AutoDestroy: true})
		require.NoError(t, err)
		require.NoError(t, r.host.ExitInit("web", 11))
		assert.Equal(t, []string{"web started 0 running", "web stopped 2", "web started 0 running"}, r.happened())
		require.NoError(t, owner.Close())
		require.NoError(t, owner.Close(), "closing twice is harmless")
		assert.Equal(t, []string{"web stopped 1"}, r.happened())
		assert.Equal(t, empty, r.host.String())
		_, err = owner.Create(r.ctx, document(definition), ports.StartOptions{AutoDestroy: true})
		assert.ErrorIs(t, err, fault.Aborted, "a closed connection starts nothing")
		_, err = owner.Subscribe(r.ctx, ports.Subscription{Deliver: r.note})
		assert.ErrorIs(t, err, fault.Aborted)
	})
}

// TestOwnersLookAfterTheirOwn: what others started, or what nobody owns, runs on.
func TestOwnersLookAfterTheirOwn(t *testing.T) {
	bench(t, func(r *rig) {
		first, second := r.connect(access.Caller{}), r.connect(access.Caller{})
		for i, name := range []string{"first", "second", "nobodys"} {
			r.host.AddRoot("/srv/" + name)
			by, options := first, ports.StartOptions{AutoDestroy: i < 2}
			if name == "second" {
				by = second
			}
			_, err := by.Create(r.ctx, document(plain(name, byte(i+1))), options)
			require.NoError(t, err)
		}
		require.NoError(t, first.Close())
		assert.Equal(t, "unknown to clients", r.state("first"))
		assert.Equal(t, "running booted", r.state("second"))
		assert.Equal(t, "running booted", r.state("nobodys"))
		require.NoError(t, second.Close())
		assert.Equal(t, "unknown to clients", r.state("second"))
		assert.Equal(t, "running booted", r.state("nobodys"))
	})
}
