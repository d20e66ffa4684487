package harness

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc/client"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/domain/access"
)

// TestNamespacesAreHandedOut is over a socket, since descriptors do not travel
// in memory. The machine's are no kernel namespaces, so nothing can be entered.
func TestNamespacesAreHandedOut(t *testing.T) {
	m := New(Config{Prefix: shortDir(t)})
	m.Host.AddRoot("/srv/web")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, m.Start(ctx))
	c, err := m.Dial(ctx, access.Caller{})
	require.NoError(t, err)
	dom := defined(t, c, everything)
	open := func() (int, error) {
		args := protocol.LxcDomainOpenNamespaceArgs{Dom: dom}
		files, err := c.CallFiles(ctx, protocol.LxcProgram, protocol.LxcProcDomainOpenNamespace, &args, nil, nil)
		for _, file := range files {
			assert.NoError(t, file.Close())
		}
		return len(files), err
	}
	_, err = open()
	assert.ErrorContains(t, err, "domain is not running")
	dom, err = started(c, dom)
	require.NoError(t, err)
	n, err := open()
	require.NoError(t, err)
	assert.Equal(t, 6, n)
	require.NoError(t, destroyed(c, dom))
	assert.NoError(t, c.Disconnect(ctx))
	require.NoError(t, m.Stop(ctx))
	assert.Empty(t, m.Host.OpenFiles(), "left open by the daemon")
}

func TestConsoleEndsWithItsContainer(t *testing.T) {
	bench(t, func(t *testing.T, m *Machine, c *client.Client) {
		ctx := context.Background()
		dom := defined(t, c, everything)
		console := func(device *string) (*client.Stream, error) {
			args := protocol.DomainOpenConsoleArgs{Dom: dom, DevName: device}
			return c.OpenStream(ctx, protocol.Program, protocol.ProcDomainOpenConsole, &args, nil)
		}
		_, err := console(nil)
		assert.ErrorContains(t, err, "domain is not running")
		dom, err = started(c, dom)
		require.NoError(t, err)
		_, err = console(new("nothing"))
		assert.ErrorContains(t, err, "nothing")
		second, err := console(new("console1"))
		require.NoError(t, err)
		require.NoError(t, m.Host.GuestWrites("web", 1, "last words"))
		data, err := second.Recv(ctx)
		require.NoError(t, err)
		assert.Equal(t, "last words", string(data))
		require.NoError(t, destroyed(c, dom))
		_, err = second.Recv(ctx)
		assert.Error(t, err)
		synctest.Wait()
	})
}
