package front

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/settings"
	"virtlxcd/adapters/systemd"
	"virtlxcd/domain/fault"
)

// prefix is a directory with a short name: addresses of sockets are short (unix(7)).
func prefix(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "vlx")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// configured is what a file with the text says.
func configured(t *testing.T, text string) settings.Daemon {
	t.Helper()
	path := filepath.Join(t.TempDir(), "virtlxcd.conf")
	write(t, path, text)
	config, _, err := settings.LoadDaemon(path, true)
	require.NoError(t, err)
	return config
}

// opened opens own sockets below a fresh prefix. What is logged comes back.
func opened(t *testing.T, config settings.Daemon) (*Sockets, settings.Paths, string) {
	t.Helper()
	paths := settings.PathsBelow(prefix(t))
	var said bytes.Buffer
	s, err := Open(nil, config, paths, slog.New(slog.NewTextHandler(&said, nil)))
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s, paths, said.String()
}

func modeOf(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	require.NoError(t, err)
	require.Equal(t, os.ModeSocket, info.Mode().Type())
	return info.Mode().Perm()
}

func TestOwnSockets(t *testing.T) {
	s, paths, said := opened(t, settings.DefaultDaemon())
	assert.Equal(t, os.FileMode(0o777), modeOf(t, paths.Socket))
	assert.Equal(t, os.FileMode(0o777), modeOf(t, paths.ReadOnly))
	assert.Equal(t, os.FileMode(0o700), modeOf(t, paths.Admin))
	assert.Empty(t, said)
	for _, role := range [][]*systemd.Listener{s.Full, s.ReadOnly, s.Admin} {
		require.Len(t, role, 1)
	}
	require.NoError(t, s.Close())
	left, err := os.ReadDir(paths.Run)
	require.NoError(t, err)
	assert.Empty(t, left, "own sockets vanish")
}

func TestOwnSocketsAsTheFileSays(t *testing.T) {
	dir := prefix(t)
	_, paths, said := opened(t, configured(t, `
unix_sock_rw_perms = "0762"
unix_sock_ro_perms = "0740"
unix_sock_admin_perms = "0600"
unix_sock_dir = "`+dir+`"
auth_unix_rw = "none"
`))
	assert.Equal(t, os.FileMode(0o762), modeOf(t, filepath.Join(dir, "virtlxcd-sock")))
	assert.Equal(t, os.FileMode(0o740), modeOf(t, filepath.Join(dir, "virtlxcd-sock-ro")))
	assert.Equal(t, os.FileMode(0o600), modeOf(t, filepath.Join(dir, "virtlxcd-admin-sock")))
	assert.NoDirExists(t, paths.Run, "nothing of it is in the usual place")
	assert.Contains(t, said, "every user of this host may do everything")
}

func TestSocketsOfAGroup(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: gives files to a group")
	}
	_, paths, _ := opened(t, configured(t, `unix_sock_group = "54321"`))
	for _, path := range []string{paths.Socket, paths.ReadOnly, paths.Admin} {
		info, err := os.Lstat(path)
		require.NoError(t, err)
		assert.EqualValues(t, 54321, info.Sys().(*syscall.Stat_t).Gid, path)
	}
}

// TestAllSocketsOrNone: the first ones do not stay when a later one cannot be made.
func TestAllSocketsOrNone(t *testing.T) {
	paths := settings.PathsBelow(prefix(t))
	require.NoError(t, os.MkdirAll(paths.Admin, 0o755))
	_, err := Open(nil, settings.DefaultDaemon(), paths, quiet())
	require.ErrorIs(t, err, fault.Failed)
	assert.ErrorContains(t, err, paths.Admin)
	assert.NoFileExists(t, paths.Socket)
	assert.NoFileExists(t, paths.ReadOnly)
}

func TestSocketsThatCannotBeMade(t *testing.T) {
	for text, kind := range map[string]fault.Kind{
		`unix_sock_group = "vlx-nobody-has-this"`: fault.InvalidArgument,
		`unix_sock_dir = "/nowhere/at/all"`:       fault.System,
	} {
		_, err := Open(nil, configured(t, text), settings.PathsBelow(prefix(t)), quiet())
		assert.ErrorIs(t, err, kind, text)
	}
}

// TestPassedSockets: they are used as they are, and what the file says about the
// daemon's own is ignored aloud.
func TestPassedSockets(t *testing.T) {
	dir := prefix(t)
	passed := map[string][]*systemd.Listener{}
	for _, unit := range SocketUnits {
		l, err := systemd.Listen(filepath.Join(dir, unit), systemd.ListenOptions{Mode: 0o600, Backlog: 1})
		require.NoError(t, err)
		passed[unit] = append(passed[unit], l)
	}
	var said bytes.Buffer
	paths := settings.PathsBelow(dir)
	s, err := Open(passed, configured(t, "unix_sock_rw_perms = \"0777\"\nmax_queued_clients = 7\n"), paths,
		slog.New(slog.NewTextHandler(&said, nil)))
	require.NoError(t, err)
	assert.Contains(t, said.String(), "the service manager made the sockets\" key=unix_sock_rw_perms")
	assert.NotContains(t, said.String(), "max_queued_clients", "that one counts")
	assert.Equal(t, filepath.Join(dir, "virtlxcd.socket"), s.Full[0].Addr().String())
	assert.Equal(t, filepath.Join(dir, "virtlxcd-ro.socket"), s.ReadOnly[0].Addr().String())
	assert.Equal(t, filepath.Join(dir, "virtlxcd-admin.socket"), s.Admin[0].Addr().String())
	assert.Equal(t, os.FileMode(0o600), modeOf(t, s.Full[0].Addr().String()))
	assert.NoDirExists(t, paths.Run)
	// The kernel queues one more than asked for (listen(2)); the passed backlog of 1 is
	// not in force any more.
	for range 8 {
		conn, err := net.Dial("unix", s.Full[0].Addr().String())
		require.NoError(t, err)
		defer conn.Close()
	}
	require.NoError(t, s.Close())
	_, err = Open(passed, settings.DefaultDaemon(), paths, quiet())
	assert.ErrorContains(t, err, "cannot set the backlog", "of a closed one")
}

// TestWhoComesInWhere: the socket says what its clients may do, and the configuration
// that the daemon was started with whether they have to show who they are.
func TestWhoComesInWhere(t *testing.T) {
	w := newWorld()
	d := w.daemon(t, 0)
	d.Configuration.startedDaemon.AuthUnixRO = settings.AuthNone
	sessions := make(chan *rpc.Session)
	options := rpc.DefaultOptions()
	options.Start = func(session *rpc.Session) { sessions <- session }
	d.Servers.Clients, d.Servers.Admin = rpc.New(options, quiet()), rpc.New(options, quiet())
	paths := settings.PathsBelow(prefix(t))
	d.Sockets = func() (*Sockets, error) { return Open(nil, settings.DefaultDaemon(), paths, quiet()) }
	ctx, stop := context.WithCancel(t.Context())
	begun, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- d.Run(ctx, func() { close(begun) }) }()
	<-begun
	for path, want := range map[string]rpc.Socket{
		paths.Socket:   {Authenticate: true},
		paths.ReadOnly: {ReadOnly: true},
		paths.Admin:    {},
	} {
		conn, err := net.Dial("unix", path)
		require.NoError(t, err)
		session := <-sessions
		assert.Equal(t, want, session.Socket(), path)
		assert.Equal(t, want.ReadOnly, session.ReadOnly(), path)
		assert.Equal(t, !want.Authenticate, session.Authenticated(), path)
		assert.EqualValues(t, os.Getpid(), session.Caller().PID, path)
		require.NoError(t, conn.Close())
	}
	stop()
	require.NoError(t, <-ended)
	assert.NoFileExists(t, paths.Socket)
	assert.NotContains(t, w.logged(), "no longer served", "that is no accident")
}

// TestRecoveryThatFailsLeavesNoSockets: clients choose a daemon by the sockets there are.
func TestRecoveryThatFailsLeavesNoSockets(t *testing.T) {
	w := newWorld()
	w.fail["recover"] = errBroken
	d := w.daemon(t, 0)
	paths := settings.PathsBelow(prefix(t))
	d.Sockets = func() (*Sockets, error) { return Open(nil, settings.DefaultDaemon(), paths, quiet()) }
	require.ErrorIs(t, d.Run(t.Context(), func() {}), errBroken)
	assert.NoFileExists(t, paths.Socket)
	assert.NoFileExists(t, paths.Admin)
}
