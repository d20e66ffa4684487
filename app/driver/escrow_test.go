package driver_test

import (
	"bufio"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/fakes"
)

// speaks says whether the second console of web is served.
func (r *rig) speaks() bool {
	r.t.Helper()
	console, err := r.client.OpenConsole(r.ctx, named("web"), "console1")
	if err != nil {
		return false
	}
	defer console.Close()
	if _, err := console.Write([]byte("hello\n")); err != nil {
		return false
	}
	answer, err := bufio.NewReader(console).ReadString('\n')
	return err == nil && answer == "got hello\r\n"
}

// TestConsolesOutliveDaemonAndController, if there is somebody to keep them.
func TestConsolesOutliveDaemonAndController(t *testing.T) {
	for name, between := range map[string]func(r *rig){
		"started":   func(*rig) {},
		"recovered": func(r *rig) { r.restart(nil) },
		"rehoused": func(r *rig) {
			require.NoError(r.t, r.host.KillController("web"))
			r.settle()
		},
		"rebooted": func(r *rig) {
			require.NoError(r.t, r.host.RebootInit("web"))
			r.settle()
		},
		"rebooted, unrecorded": func(r *rig) {
			r.host.Fail("Store.SaveStatus", assert.AnError)
			require.NoError(r.t, r.host.RebootInit("web"))
			r.settle()
		},
		"twice": func(r *rig) {
			r.restart(func() { require.NoError(r.t, r.host.KillController("web")) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			bench(t, func(r *rig) {
				r.furnish()
				r.host.Init("/sbin/init", fakes.Usual())
				r.define(web())
				off := r.host.String()
				r.start("web")
				between(r)
				r.restart(func() { require.NoError(t, r.host.KillController("web")) })
				r.settle()
				assert.Equal(t, "running unknown persistent", r.state("web"))
				assert.True(t, r.speaks())
				assert.Len(t, r.host.Links(), 2)
				require.NoError(t, r.client.Destroy(r.ctx, named("web")))
				r.settle()
				assert.Equal(t, off, r.host.String())
			})
		})
	}
}

// TestNobodyKeepsWhatIsGone: what ended while no daemon was there is let go.
func TestNobodyKeepsWhatIsGone(t *testing.T) {
	bench(t, func(r *rig) {
		r.furnish()
		r.define(web())
		off := r.host.String()
		for _, ends := range []func() error{
			func() error { return r.host.ExitInit("web", 0) },
			func() error { return r.host.KillController("web") },
			func() error {
				require.NoError(t, r.host.KillController("web"))
				return r.host.ExitInit("web", 0)
			},
		} {
			r.start("web")
			r.restart(func() { require.NoError(t, ends()) })
			if r.host.InitPID("web") != 0 {
				require.NoError(t, r.client.Destroy(r.ctx, named("web")))
			}
			r.settle()
			assert.Equal(t, off, r.host.String())
		}
		// One whose status is lost is not of this daemon any more.
		r.start("web")
		assert.Contains(t, r.host.String(), "escrow: ")
		r.restart(func() { r.host.DamageStatus("web") })
		assert.NotContains(t, r.host.String(), "escrow: ")
	})
}
