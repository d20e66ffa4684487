package admin

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/client"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/adapters/rpc/xdr"
	"virtlxcd/domain/access"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// daemon is what the tests administrate: it remembers what it is told.
type daemon struct {
	mu       sync.Mutex
	outputs  string
	filters  string
	count    int
	refusal  error // of the next logging settings
	timeout  *uint32
	shutdown chan bool
}

func newDaemon() *daemon {
	return &daemon{outputs: "2:stderr", count: 1, shutdown: make(chan bool, 1)}
}

func (d *daemon) Version() uint64 { return 9000000 }

func (d *daemon) LogOutputs() (string, int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.outputs, d.count
}

func (d *daemon) LogFilters() (string, int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.filters == "" {
		return "", 0
	}
	return d.filters, 1
}

func (d *daemon) SetLogOutputs(outputs string) error { return d.set(&d.outputs, outputs) }
func (d *daemon) SetLogFilters(filters string) error { return d.set(&d.filters, filters) }

func (d *daemon) set(target *string, settings string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.refusal; err != nil {
		return err
	}
	*target = settings
	return nil
}

// refuse makes the next logging settings fail.
func (d *daemon) refuse(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refusal = err
}

// idle is the timeout that was set, nil if none was.
func (d *daemon) idle() *uint32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.timeout
}

func (d *daemon) SetTimeout(seconds uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.timeout = &seconds
}

func (d *daemon) Shutdown(preserve bool) { d.shutdown <- preserve }

// stage is a daemon with its two servers.
type stage struct {
	daemon  *daemon
	service *Service
	main    *rpc.Server
	admin   *rpc.Server
	log     *logged
}

type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// mainProgram has one procedure, 1, that waits for its client to be disconnected.
func mainProgram() rpc.Program {
	return rpc.Program{Number: protocol.Program, Version: 1, Procedure: func(number int32) *rpc.Procedure {
		if number != 1 {
			return nil
		}
		return &rpc.Procedure{Name: "wait", Handle: func(ctx context.Context, call *rpc.Call) {
			<-ctx.Done()
			call.Reply(nil)
		}}
	}}
}

// adminOptions are those of an admin socket without a configuration.
func adminOptions() rpc.Options {
	options := rpc.DefaultOptions()
	options.MaxAnonymous, options.PrioWorkers = 0, 0
	options.Admit = Admit
	return options
}

func newStage(t testing.TB) *stage {
	s := &stage{daemon: newDaemon(), log: new(logged)}
	log := slog.New(slog.NewTextHandler(s.log, nil))
	s.service = New(s.daemon, log)
	s.service.users, s.service.groups = accounts(t)
	s.main = rpc.New(rpc.DefaultOptions(), log, mainProgram())
	s.admin = rpc.New(adminOptions(), log, s.service.Program())
	s.service.Serve("virtlxcd", s.main)
	s.service.Serve("admin", s.admin)
	t.Cleanup(func() {
		require.NoError(t, s.main.Close(context.Background()))
		require.NoError(t, s.admin.Close(context.Background()))
	})
	return s
}

// accounts are files that know root, and a group that users lack.
func accounts(t testing.TB) (users, groups string) {
	dir := t.TempDir()
	users, groups = filepath.Join(dir, "passwd"), filepath.Join(dir, "group")
	require.NoError(t, os.WriteFile(users, []byte("root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/:/bin/false\n"), 0o600))
	require.NoError(t, os.WriteFile(groups, []byte("root:x:0:\nusers:x:100:web\n"), 0o600))
	return users, groups
}

// join connects to a server over memory, as whoever caller is.
func (s *stage) join(t testing.TB, server *rpc.Server, caller access.Caller, socket rpc.Socket) *client.Client {
	t.Helper()
	c := client.New(s.conn(t, server, caller, socket))
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func (s *stage) conn(t testing.TB, server *rpc.Server, caller access.Caller, socket rpc.Socket) net.Conn {
	ours, theirs := net.Pipe()
	before := latest(server)
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.ServeConn(theirs, caller, socket)
	}()
	t.Cleanup(func() {
		ours.Close()
		<-done
	})
	require.Eventually(t, func() bool { return latest(server) > before }, patience, time.Millisecond)
	return ours
}

// latest is the ID of the session that came last, 0 if there is none.
func latest(server *rpc.Server) uint64 {
	sessions := server.Sessions()
	if len(sessions) == 0 {
		return 0
	}
	return sessions[len(sessions)-1].ID()
}

const patience = 20 * time.Second

// root joins the admin server.
func (s *stage) root(t testing.TB) *asker {
	return &asker{t: t, c: s.join(t, s.admin, access.Caller{PID: 1}, rpc.Socket{})}
}

// asker makes admin calls.
type asker struct {
	t testing.TB
	c *client.Client
}

func (a *asker) ask(procedure int32, args, ret protocol.Message) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return a.c.Call(ctx, protocol.AdminProgram, procedure, args, ret)
}

func (a *asker) must(procedure int32, args, ret protocol.Message) {
	a.t.Helper()
	require.NoError(a.t, a.ask(procedure, args, ret))
}

// refused makes a call that fails.
func (a *asker) refused(procedure int32, args protocol.Message) *client.Error {
	a.t.Helper()
	var failure *client.Error
	require.ErrorAs(a.t, a.ask(procedure, args, nil), &failure)
	return failure
}

// raw is a message that is encoded already.
type raw []byte

func (r raw) AppendXDR(b []byte) ([]byte, error) { return append(b, r...), nil }

func (r raw) DecodeXDR(*xdr.Decoder) error { return nil }
