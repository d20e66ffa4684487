package harness

import (
	"context"
	"os"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc/client"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/domain/access"
	"virtlxcd/domain/fault"
)

// everything is a container that needs every port to start.
const everything = `<domain type='lxc'>
  <name>web</name>
  <uuid>00000000-0000-4000-8000-00000000000c</uuid>
  <memory>65536</memory>
  <os><type>exe</type><init>/sbin/init</init></os>
  <devices>
    <filesystem><source dir='/srv/web'/><target dir='/'/></filesystem>
    <interface type='bridge'><source bridge='virbr0'/><mac address='52:54:00:00:00:01'/></interface>
    <interface type='bridge'><source bridge='virbr0'/><mac address='52:54:00:00:00:02'/></interface>
    <console type='pty'/>
    <console type='pty'/>
  </devices>
</domain>`

// bench runs a test with a client of a daemon in memory, in virtual time, and
// looks for what is left.
func bench(t *testing.T, test func(t *testing.T, m *Machine, c *client.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := New(Config{})
		m.Host.AddRoot("/srv/web")
		require.NoError(t, m.Start(context.Background()))
		c, err := m.Dial(context.Background(), access.Caller{})
		require.NoError(t, err)
		test(t, m, c)
		assert.NoError(t, c.Disconnect(context.Background()))
		require.NoError(t, m.Stop(context.Background()))
		assert.Empty(t, m.Host.OpenFiles(), "left open by the daemon")
	})
}

func defined(t *testing.T, c *client.Client, document string) protocol.Domain {
	t.Helper()
	var ret protocol.DomainDefineXMLRet
	require.NoError(t, c.Remote(context.Background(), protocol.ProcDomainDefineXML, &protocol.DomainDefineXMLArgs{XML: document}, &ret))
	return ret.Dom
}

func started(c *client.Client, dom protocol.Domain) (protocol.Domain, error) {
	var ret protocol.DomainCreateWithFlagsRet
	err := c.Remote(context.Background(), protocol.ProcDomainCreateWithFlags, &protocol.DomainCreateWithFlagsArgs{Dom: dom}, &ret)
	return ret.Dom, err
}

func destroyed(c *client.Client, dom protocol.Domain) error {
	return c.Remote(context.Background(), protocol.ProcDomainDestroy, &protocol.DomainDestroyArgs{Dom: dom}, nil)
}

// opsOfAStart lists the calls that a start makes of the ports, without questions
// about rights, in order.
func opsOfAStart(t *testing.T) (ops []string) {
	bench(t, func(t *testing.T, m *Machine, c *client.Client) {
		dom := defined(t, c, everything)
		m.Host.ForgetOps()
		dom, err := started(c, dom)
		require.NoError(t, err)
		ops = slices.DeleteFunc(m.Host.Ops(), func(op string) bool { return op == "Access.Check" })
		require.NoError(t, destroyed(c, dom))
	})
	require.Greater(t, len(ops), 10, "%v", ops)
	return ops
}

// TestEveryFaultOfAStart makes each call of a start fail, before it does its
// work and after. The client is told what failed, the host is as before, and
// the next start works.
func TestEveryFaultOfAStart(t *testing.T) {
	ops := opsOfAStart(t)
	for i, op := range ops {
		nth := 0
		for _, other := range ops[:i+1] {
			if other == op {
				nth++
			}
		}
		for _, after := range []bool{false, true} {
			name := op + map[bool]string{true: " after", false: ""}[after] + " " + string(rune('0'+nth))
			t.Run(name, func(t *testing.T) { oneFault(t, op, nth, after) })
		}
	}
}

func oneFault(t *testing.T, op string, nth int, after bool) {
	bench(t, func(t *testing.T, m *Machine, c *client.Client) {
		dom := defined(t, c, everything)
		synctest.Wait()
		before := m.Host.String()
		inject := m.Host.FailNth
		if after {
			inject = m.Host.FailAfterNth
		}
		inject(op, nth, fault.Wrap(os.ErrInvalid, fault.Failed, "cannot do the thing"))
		_, err := started(c, dom)
		var refusal *client.Error
		if assert.ErrorAs(t, err, &refusal) {
			assert.Contains(t, refusal.Message, "cannot do the thing")
		}
		synctest.Wait()
		assert.Equal(t, before, m.Host.String())
		assert.Empty(t, m.Host.Pending())
		dom, err = started(c, dom)
		require.NoError(t, err)
		require.NoError(t, destroyed(c, dom))
		synctest.Wait()
		assert.Equal(t, before, m.Host.String())
	})
}
