package front

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/logging"
	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/settings"
	"virtlxcd/app/idle"
	"virtlxcd/ports"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

func TestWhoSaysHowToLog(t *testing.T) {
	config := settings.DefaultDaemon()
	config.LogLevel, config.LogFilters, config.LogOutputs = 4, "1:file", "1:file:/f"
	env := settings.Environment{LogLevel: 3, LogFilters: "1:env", LogOutputs: "1:stderr"}
	for _, row := range []struct {
		what             string
		files            Files
		level            slog.Level
		filters, outputs string
	}{
		{"the file", Files{}, slog.LevelError, "1:file", "1:file:/f"},
		{"the environment before the file", Files{Environment: env}, slog.LevelWarn, "1:env", "1:stderr"},
		{"the command line before both", Files{Environment: env, Verbose: true}, slog.LevelInfo, "1:env", "1:stderr"},
		{"-v does not make it say less", Files{Environment: settings.Environment{LogLevel: 1}, Verbose: true}, slog.LevelDebug, "1:file", "1:file:/f"},
	} {
		level, filters, outputs := LogSettings(row.files, config)
		assert.Equal(t, row.level, level, row.what)
		assert.Equal(t, row.filters, filters, row.what)
		assert.Equal(t, row.outputs, outputs, row.what)
	}
}

// stage is a configuration in files, and what obeys it.
type stage struct {
	files   Files
	servers *Servers
	log     *logging.Log
	said    bytes.Buffer
	config  *Configuration
	obeyed  int
}

func newStage(t *testing.T) *stage {
	t.Helper()
	dir := t.TempDir()
	s := &stage{files: Files{Daemon: filepath.Join(dir, "virtlxcd.conf"), Driver: filepath.Join(dir, "lxc.conf")}}
	daemon, driver, _, err := Load(s.files)
	require.NoError(t, err)
	s.servers = &Servers{Clients: rpc.New(clientOptions(daemon), quiet()), Admin: rpc.New(adminOptions(daemon), quiet())}
	s.log, err = OpenLog(s.files, daemon, logging.Options{Stderr: &s.said, Terminal: func() bool { return true }})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.log.Close()) })
	s.config = NewConfiguration(s.files, daemon, driver, slog.New(slog.NewTextHandler(&s.said, nil)))
	return s
}

func (s *stage) reload() error {
	return s.config.Reload(s.servers, s.log, func(settings.Daemon) { s.obeyed++ })
}

func TestReload(t *testing.T) {
	s := newStage(t)
	write(t, s.files.Daemon, "max_clients = 77\nmin_workers = 2\nmax_workers = 3\nlog_filters = \"1:rpc\"\nadmin_max_clients = 9\nauth_unix_rw = \"none\"\n")
	write(t, s.files.Driver, "shutdown_timeout = 7\nlog_with_libvirtd = 1\n")
	require.NoError(t, s.reload())
	assert.EqualValues(t, 77, s.servers.Clients.Clients().Max)
	assert.EqualValues(t, 3, s.servers.Clients.Workers().Max)
	assert.EqualValues(t, 9, s.servers.Admin.Clients().Max)
	filters, _ := s.log.Filters()
	assert.Contains(t, filters, "1:*rpc*")
	assert.Equal(t, 7*time.Second, s.config.ShutdownTimeout())
	assert.True(t, s.config.SharesLog())
	assert.Equal(t, 1, s.obeyed)
	assert.Contains(t, s.said.String(), `changed settings need a restart of the daemon" keys="unix_sock_rw_perms auth_unix_rw"`)
}

func TestReloadOfABadFile(t *testing.T) {
	for _, bad := range []string{"max_clients = 77\nmax_workers = \"many\"", "max_clients = 77\nlog_filters = \"9:x\"", "max_clients = 77\nlog_outputs = \"1:file:/nowhere/at/all\""} {
		s := newStage(t)
		write(t, s.files.Daemon, bad)
		require.Error(t, s.reload(), bad)
		assert.EqualValues(t, 5000, s.servers.Clients.Clients().Max, bad)
		assert.Zero(t, s.obeyed, bad)
		filters, _ := s.log.Filters()
		assert.Empty(t, filters, bad)
	}
	s := newStage(t)
	write(t, s.files.Daemon, "max_clients = 77")
	write(t, s.files.Driver, "shutdown_timeout = soon")
	require.Error(t, s.reload())
	assert.EqualValues(t, 5000, s.servers.Clients.Clients().Max, "both files or none")
}

// What an administrator set meanwhile stays if the file says nothing new about it.
func TestReloadLeavesWhatWasSetLive(t *testing.T) {
	s := newStage(t)
	require.NoError(t, s.log.SetFilters("1:lxc"))
	write(t, s.files.Daemon, "max_clients = 77")
	require.NoError(t, s.reload())
	filters, _ := s.log.Filters()
	assert.Contains(t, filters, "1:*lxc*")
}

type host struct {
	delay time.Duration
	err   error
}

func (h host) MaxDelay(context.Context) (time.Duration, error) { return h.delay, h.err }

func TestTheHostsPatience(t *testing.T) {
	for _, row := range []struct {
		host         host
		wanted, want time.Duration
	}{
		{host{}, time.Minute, time.Minute},
		{host{delay: 5 * time.Second}, time.Minute, 4 * time.Second},
		{host{delay: 75 * time.Second}, time.Minute, time.Minute},
		{host{delay: 5 * time.Second}, 3 * time.Second, 3 * time.Second},
		{host{delay: 5 * time.Second, err: errors.New("no logind")}, time.Minute, time.Minute},
	} {
		d := New(Parts{Host: row.host, Log: quiet()})
		assert.Equal(t, row.want, d.limitOfHost(t.Context(), row.wanted), "%+v", row)
	}
}

// A daemon that attends is alive; one that does not is not, once nobody waits longer.
func TestAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		watch := idle.New(0)
		d := New(Parts{Idle: watch, Log: quiet(), Administration: NewAdministration(nil, watch, quiet())})
		ctx, stop := context.WithCancel(t.Context())
		late, cancel := context.WithTimeout(ctx, time.Second)
		require.ErrorIs(t, d.alive(late), context.DeadlineExceeded)
		cancel()
		d.work.Go(func() { d.attend(ctx) })
		require.NoError(t, d.alive(ctx))
		d.Administration.Shutdown(true)
		d.work.Wait()
		stop()
	})
}

// slowCases reads definitions when it is told to.
type slowCases struct {
	ports.Daemon
	reading, resume chan struct{}
}

func (c slowCases) Reload(context.Context) error {
	c.reading <- struct{}{}
	<-c.resume
	return nil
}

type silent struct{ ports.Notifier }

func (silent) Ready() error     { return nil }
func (silent) Reloading() error { return nil }

type noSite struct{}

func (noSite) Daemon(context.Context, string, string, string) error { return nil }
func (noSite) Refresh() error                                       { return nil }

// However many ask while definitions are being read, they are read once more.
func TestStormOfHangups(t *testing.T) {
	s := newStage(t)
	watch := idle.New(0)
	cases := slowCases{reading: make(chan struct{}), resume: make(chan struct{})}
	d := New(Parts{
		Cases: cases, Idle: watch, Log: quiet(), Notifier: silent{}, Site: noSite{}, Configuration: s.config,
		Servers: s.servers, Obey: func(settings.Daemon) {}, Administration: NewAdministration(s.log, watch, quiet()),
	})
	ctx, stop := context.WithCancel(t.Context())
	d.work.Go(func() { d.attend(ctx) })
	d.Hangup()
	<-cases.reading
	for range 1000 {
		d.Hangup()
		require.NoError(t, d.alive(ctx), "nobody waits for a reload")
	}
	cases.resume <- struct{}{}
	<-cases.reading
	cases.resume <- struct{}{}
	require.NoError(t, d.alive(ctx))
	stop()
	finished := make(chan struct{})
	go func() {
		d.work.Wait()
		close(finished)
	}()
	select {
	case <-cases.reading:
		t.Error("a third time")
	case <-finished:
	}
}
