package harness

import (
	"context"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/domain/access"
)

func TestOnlyOneDaemonAtATime(t *testing.T) {
	for name, prefix := range map[string]string{"in memory": "", "sockets": shortDir(t)} {
		t.Run(name, func(t *testing.T) {
			m := New(Config{Prefix: prefix})
			assert.ErrorIs(t, m.Stop(t.Context()), errNoDaemon)
			assert.ErrorIs(t, m.Kill(), errNoDaemon)
			_, err := m.Dial(t.Context(), access.Caller{})
			assert.ErrorIs(t, err, errNoDaemon)
			require.NoError(t, m.Start(t.Context()))
			assert.ErrorContains(t, m.Start(t.Context()), "runs already")
			require.NoError(t, m.Stop(t.Context()))
			require.NoError(t, m.Start(t.Context()))
			require.NoError(t, m.Kill())
			require.NoError(t, m.Boot())
		})
	}
}

func TestTwoMachinesOnOneSocket(t *testing.T) {
	prefix := shortDir(t)
	first, second := New(Config{Prefix: prefix}), New(Config{Prefix: prefix})
	require.NoError(t, first.Start(t.Context()))
	assert.ErrorContains(t, second.Start(t.Context()), "is in use by process")
	require.NoError(t, first.Stop(t.Context()))
	require.NoError(t, second.Start(t.Context()))
	require.NoError(t, second.Stop(t.Context()))
}

func TestPrefixTooLongForSockets(t *testing.T) {
	m := New(Config{Prefix: "/tmp/" + strings.Repeat("x", 100)})
	assert.ErrorContains(t, m.Start(t.Context()), "107")
	assert.NoDirExists(t, m.config.Prefix)
}

func TestStopTakesTheSocketsAway(t *testing.T) {
	m := New(Config{Prefix: shortDir(t)})
	require.NoError(t, m.Start(t.Context()))
	for _, readOnly := range []bool{false, true} {
		info, err := os.Stat(m.Socket(readOnly))
		require.NoError(t, err)
		assert.Equal(t, os.ModeSocket, info.Mode().Type())
	}
	assert.Equal(t, []string{"ready"}, m.Host.Notices())
	require.NoError(t, m.Stop(t.Context()))
	assert.NoFileExists(t, m.Socket(false))
	assert.NoFileExists(t, m.Socket(true))
	assert.Equal(t, []string{"ready", "stopping"}, m.Host.Notices())
}

// TestKillSparesWhatAConnectionOwns: a killed daemon cannot destroy anything,
// and the next one does not know who owned what.
func TestKillSparesWhatAConnectionOwns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		m := New(Config{})
		m.Host.AddRoot("/srv/web")
		require.NoError(t, m.Start(ctx))
		owner, err := m.Dial(ctx, access.Caller{})
		require.NoError(t, err)
		args := protocol.DomainCreateXMLArgs{XMLDesc: everything, Flags: 2} // autodestroy
		require.NoError(t, owner.Remote(ctx, protocol.ProcDomainCreateXML, &args, &protocol.DomainCreateXMLRet{}))
		synctest.Wait()
		running := hostState(m, nil)
		require.NoError(t, m.Kill())
		<-owner.Done()
		require.NoError(t, owner.Close())
		assert.Equal(t, running, hostState(m, nil))
		assert.Empty(t, m.Host.OpenFiles())

		require.NoError(t, m.Start(ctx))
		c, err := m.Dial(ctx, access.Caller{})
		require.NoError(t, err)
		var found protocol.DomainLookupByNameRet
		require.NoError(t, c.Remote(ctx, protocol.ProcDomainLookupByName, &protocol.DomainLookupByNameArgs{Name: "web"}, &found))
		require.NoError(t, destroyed(c, found.Dom))
		require.NoError(t, c.Disconnect(ctx))
		require.NoError(t, m.Stop(ctx))
		assert.Empty(t, m.Host.OpenFiles())
	})
}
