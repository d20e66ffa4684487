package driver_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/audit"
	"virtlxcd/fakes"
	"virtlxcd/ports"
)

// trail prints the audit records since last asked: the outcome and the fields
// that are not about the container's name.
func (r *rig) trail() (lines []string) {
	for _, record := range r.host.Audited() {
		words := []string{map[bool]string{true: "yes", false: "no"}[record.Success]}
		assert.Equal(r.t, "web", record.Container.Name)
		for _, field := range record.Fields {
			switch field.Name {
			case "virt", "vm", "uuid":
			case "pid-ns":
				assert.NotEqual(r.t, "0", field.Value)
			default:
				words = append(words, field.Name+"="+field.Value)
			}
		}
		if record.Kind == audit.Control {
			lines = append(lines, strings.Join(words, " "))
		}
	}
	return lines
}

func TestAuditTrail(t *testing.T) {
	const start = "yes op=start reason=booted vm-pid=1001"
	for name, test := range map[string]struct {
		act  func(r *rig) error
		want []string
	}{
		"destroyed": {func(r *rig) error { return r.client.Destroy(r.ctx, named("web")) },
			[]string{"yes op=stop reason=destroyed vm-pid=1001"}},
		"ended": {func(r *rig) error { return r.host.ExitInit("web", 0) },
			[]string{"yes op=stop reason=shutdown vm-pid=1001"}},
		"crashed": {func(r *rig) error { return r.host.ExitInit("web", fakes.Killed(11)) },
			[]string{"yes op=stop reason=shutdown vm-pid=1001"}},
		"rebooted": {func(r *rig) error { return r.host.RebootInit("web") },
			[]string{"yes op=stop reason=reboot vm-pid=1001", "yes op=start reason=reboot vm-pid=1001",
				"yes op=init vm-pid=1001 init-pid=1003"}},
		"lost": {func(r *rig) error {
			r.restart(func() {
				require.NoError(r.t, r.host.KillController("web"))
				require.NoError(r.t, r.host.ExitInit("web", 0))
			})
			return nil
		}, []string{"yes op=stop reason=failed vm-pid=1001"}},
		"auto-destroyed": {func(r *rig) error {
			require.NoError(r.t, r.client.Destroy(r.ctx, named("web")))
			r.trail()
			other := r.connect(callerRoot)
			_, err := other.Start(r.ctx, named("web"), ports.StartOptions{AutoDestroy: true})
			require.NoError(r.t, err)
			r.trail()
			return other.Close()
		}, []string{"yes op=stop reason=destroyed vm-pid=1003"}},
		"asked to reboot": {func(r *rig) error { return r.client.Reboot(r.ctx, named("web"), ports.Asking{}) },
			[]string{"yes op=stop reason=reboot vm-pid=1001", "yes op=start reason=reboot vm-pid=1001",
				"yes op=init vm-pid=1001 init-pid=1003"}},
		"rebooted in vain": {func(r *rig) error {
			r.host.RemovePath("/srv/web")
			return r.host.RebootInit("web")
		}, []string{"yes op=stop reason=failed vm-pid=1001"}},
		"asked to shut down": {func(r *rig) error { return r.client.Shutdown(r.ctx, named("web"), ports.Asking{}) },
			[]string{"yes op=stop reason=shutdown vm-pid=1001"}},
		"the host goes down": {func(r *rig) error { return r.driver.StopAll(r.ctx, time.Minute) },
			[]string{"yes op=stop reason=shutdown vm-pid=1001"}},
		"the host goes down and init does not mind": {func(r *rig) error {
			require.NoError(r.t, r.client.Destroy(r.ctx, named("web")))
			r.host.Init("/sbin/init", fakes.Init{Catches: map[int]fakes.Reaction{15: fakes.GoesOn}})
			r.start("web")
			r.trail()
			return r.driver.StopAll(r.ctx, time.Minute)
		}, []string{"yes op=stop reason=destroyed vm-pid=1003"}},
		"started by itself": {func(r *rig) error {
			require.NoError(r.t, r.client.SetAutostart(r.ctx, named("web"), true))
			require.NoError(r.t, r.client.Destroy(r.ctx, named("web")))
			r.trail()
			return r.driver.StartAutostarted(r.ctx)
		}, []string{"yes op=start reason=booted vm-pid=1003", "yes op=init vm-pid=1003 init-pid=1004"}},
		"created": {func(r *rig) error {
			require.NoError(r.t, r.client.Destroy(r.ctx, named("web")))
			require.NoError(r.t, r.client.Undefine(r.ctx, named("web")))
			r.trail()
			r.create(web(), ports.StartOptions{})
			return nil
		}, []string{"yes op=start reason=booted vm-pid=1003", "yes op=init vm-pid=1003 init-pid=1004"}},
		"found": {func(r *rig) error {
			r.restart(nil)
			return nil
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			bench(t, func(r *rig) {
				r.define(web())
				r.start("web")
				assert.Equal(t, []string{start, "yes op=init vm-pid=1001 init-pid=1002"}, r.trail())
				require.NoError(t, test.act(r))
				r.settle()
				assert.Equal(t, test.want, r.trail())
			})
		})
	}
}

func TestAuditOfResources(t *testing.T) {
	bench(t, func(r *rig) {
		given := func() map[string]int {
			kinds := map[string]int{}
			for _, record := range r.host.Audited() {
				if record.Kind == audit.Resource {
					kinds[record.Fields[1].Value]++
				}
			}
			return kinds
		}
		all := map[string]int{"fs": 1, "net": 2, "chardev": 3, "mem": 1, "vcpu": 1}
		r.define(web())
		r.start("web")
		assert.Equal(t, all, given())
		require.NoError(t, r.host.RebootInit("web"))
		r.settle()
		assert.Equal(t, all, given(), "a reboot gives all anew")
		require.NoError(t, r.client.Destroy(r.ctx, named("web")))
		assert.Empty(t, given(), "nothing is given at the end")
		r.host.Fail("Controller.Proceed", assert.AnError)
		_, err := r.client.Start(r.ctx, named("web"), ports.StartOptions{})
		require.Error(t, err)
		assert.Equal(t, all, given(), "as if it had been")
	})
}

func TestAuditOfOneThatIsStartedAgain(t *testing.T) {
	bench(t, func(r *rig) {
		definition := web()
		definition.OnPoweroff = "restart"
		r.define(definition)
		r.start("web")
		r.trail()
		require.NoError(t, r.host.ExitInit("web", 0))
		r.settle()
		assert.Equal(t, []string{"yes op=stop reason=shutdown vm-pid=1001", "yes op=start reason=booted vm-pid=1003",
			"yes op=init vm-pid=1003 init-pid=1004"}, r.trail())
	})
}

func TestAuditOfFailedStarts(t *testing.T) {
	for op, want := range map[string][]string{
		"Controllers.Launch": {"no op=start reason=booted vm-pid=0"},
		"Store.SaveStatus":   {"no op=start reason=booted vm-pid=1001"},
		"Controller.Proceed": {"yes op=stop reason=failed vm-pid=1001", "no op=start reason=booted vm-pid=1001"},
	} {
		bench(t, func(r *rig) {
			r.define(web())
			r.host.Fail(op, assert.AnError)
			_, err := r.client.Start(r.ctx, named("web"), ports.StartOptions{})
			require.Error(t, err)
			assert.Equal(t, want, r.trail())
		})
	}
}
