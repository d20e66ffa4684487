package daemon

import (
	"bytes"
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"virtlxcd/adapters/rpc/client"
	"virtlxcd/adapters/rpc/protocol"
)

// listener is a log that can be waited for.
type listener struct {
	mu    sync.Mutex
	said  bytes.Buffer
	heard chan struct{} // closed and replaced with every line
}

func (l *listener) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.heard)
	l.heard = make(chan struct{})
	return l.said.Write(text)
}

// await returns when the text was logged.
func (l *listener) await(t *testing.T, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		l.mu.Lock()
		found, next := strings.Contains(l.said.String(), text), l.heard
		l.mu.Unlock()
		if found {
			return
		}
		select {
		case <-next:
		case <-ctx.Done():
			t.Fatal("never logged: ", text)
		}
	}
}

// TestLifeOnTheRealHost: start, a client, a reload, the end; without containers, so no
// controller is needed. Nothing is left but what a daemon leaves for the next one.
func TestLifeOnTheRealHost(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes control groups")
	}
	defer goleak.VerifyNone(t)
	config := prefixed(t, "log_level = 2\naudit_level = 0\n")
	prefix, err := os.MkdirTemp("", "vlx") // short: sockets have short paths
	require.NoError(t, err)
	defer os.RemoveAll(prefix)
	require.NoError(t, os.CopyFS(prefix, os.DirFS(config.Prefix)))
	said := &listener{heard: make(chan struct{})}
	hangup, ready := make(chan os.Signal, 1), make(chan struct{})
	config.Prefix, config.Controller, config.Stderr = prefix, "/bin/false", said
	config.Hangup, config.Ready = hangup, func() { close(ready) }
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, config) }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal("it ended: ", err)
	}
	said.await(t, "libvirt version: "+Version())
	paths := config.paths()
	assert.FileExists(t, paths.PIDFile)

	c, err := client.Dial(paths.Socket)
	require.NoError(t, err, "clients are served")
	require.NoError(t, c.Open(t.Context(), "lxc:///system", 0))
	var list protocol.ConnectListAllDomainsRet
	require.NoError(t, c.Remote(t.Context(), protocol.ProcConnectListAllDomains, &protocol.ConnectListAllDomainsArgs{NeedResults: 1}, &list))
	assert.Empty(t, list.Domains)
	require.NoError(t, c.Close())

	require.NoError(t, os.WriteFile(paths.DaemonConfig, []byte("max_clients = none"), 0o600))
	hangup <- os.Interrupt // which signal it is does not matter
	said.await(t, "the new configuration is bad; the old one stays in force")
	stop()
	require.NoError(t, <-ended)
	for _, path := range []string{paths.PIDFile, paths.Socket, paths.ReadOnly, paths.Admin, paths.State + "/driver.pid"} {
		assert.NoFileExists(t, path)
	}
}
