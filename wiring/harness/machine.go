package harness

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/client"
	"virtlxcd/adapters/settings"
	"virtlxcd/app/driver"
	"virtlxcd/domain/access"
	"virtlxcd/fakes"
	"virtlxcd/wiring/front"
)

// Config says how a Machine's daemons are made: every one of them the same way.
type Config struct {
	// Prefix is the directory below which the sockets are; empty: no sockets.
	Prefix string
	Log    io.Writer // nil: nothing is logged
	Level  slog.Level
}

// Machine is a host in memory and the daemon that runs on it, if one does. Its
// methods are for one goroutine, those of Host and Dial for any.
// The host keeps everything that a real one would: stored definitions, running
// containers, bridges. The daemon keeps nothing that outlives it.
type Machine struct {
	Host   *fakes.Host
	config Config
	daemon *daemon
}

// New returns a machine that was just switched on: no daemon runs.
func New(config Config) *Machine {
	if config.Log == nil {
		config.Log = io.Discard
	}
	return &Machine{Host: fakes.NewHost(), config: config}
}

// Socket is where a daemon with a Prefix serves clients.
func (m *Machine) Socket(readOnly bool) string {
	paths := settings.PathsBelow(m.config.Prefix)
	if readOnly {
		return paths.ReadOnly
	}
	return paths.Socket
}

// Start starts a daemon and returns when it serves and has started what is
// marked for autostart.
// With an error the Machine has none, and what was begun on the host stays there.
// Ctx is for the start alone: the daemon runs on when it ends.
func (m *Machine) Start(ctx context.Context) error {
	if m.daemon != nil {
		return errors.New("a daemon runs already")
	}
	made, err := buildMemory(m.config, m.Host)
	if err != nil {
		return err
	}
	if m.config.Prefix == "" {
		err = made.begin(ctx)
	} else {
		err = made.listen(ctx)
	}
	if err == nil {
		m.daemon = made
	}
	return err
}

var errNoDaemon = errors.New("no daemon runs")

// Stop ends the daemon in good order; containers run on. It returns when all its
// goroutines have ended, with an error if no daemon runs.
func (m *Machine) Stop(ctx context.Context) error {
	if m.daemon == nil {
		return errNoDaemon
	}
	ended := m.daemon
	m.daemon = nil
	return ended.stop(ctx)
}

// Kill ends the daemon as SIGKILL would, as far as one process can do that to
// itself: clients and controllers are cut off, and nothing that a connection was
// to destroy at its end is destroyed. Changes under way are told to stop.
// A Start afterwards finds what a crash leaves.
func (m *Machine) Kill() error {
	if m.daemon == nil {
		return errNoDaemon
	}
	ended := m.daemon
	m.daemon = nil
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	// Without use cases nothing can be done any more for those who hang up. What
	// this does not wait for, stop does.
	_ = ended.Driver.Shutdown(ctx)
	m.Host.KillDaemon()
	return ended.stop(context.Background())
}

// Boot switches the machine off and on, without a daemon afterwards: what ran is gone, and
// what is stored stays.
// A daemon that runs is killed first, as a power cut would.
func (m *Machine) Boot() error {
	var err error
	if m.daemon != nil {
		err = m.Kill()
	}
	m.Host.Boot()
	return err
}

// Dial connects to the daemon, over a socket if there are any, and opens the
// driver. Caller is ignored by sockets, which know who connects.
// The caller closes the client. With an error no connection is left.
func (m *Machine) Dial(ctx context.Context, caller access.Caller, options ...client.Option) (*client.Client, error) {
	if m.daemon == nil {
		return nil, errNoDaemon
	}
	var conn net.Conn
	if m.config.Prefix == "" {
		conn = m.daemon.pipe(caller)
	} else {
		var err error
		if conn, err = net.Dial("unix", m.Socket(caller.ReadOnly)); err != nil {
			return nil, err
		}
	}
	c := client.New(conn, options...)
	if err := c.Open(ctx, "lxc:///system", 0); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// daemon is what the injectors put together, and its goroutines.
// They leave running alone.
type daemon struct {
	Front   *front.Daemon
	Servers *front.Servers
	Driver  *driver.Driver
	Watch   *watch
	running `wire:"-"`
}

// running is the daemon over sockets; zero for one in memory, which has no Run.
type running struct {
	cancel context.CancelFunc
	work   sync.WaitGroup
	ended  chan struct{} // closed when Front.Run has returned
	err    error         // of Front.Run
}

// begin is Front.Run without sockets.
// There is no listener to open, so what is left of it are the calls to the use cases.
func (d *daemon) begin(ctx context.Context) error {
	if err := d.Driver.Recover(ctx); err != nil {
		return errors.Join(err, d.stop(ctx))
	}
	return d.Driver.StartAutostarted(ctx)
}

// pipe serves a client in memory.
// The goroutine ends when either side closes; stop waits for it.
func (d *daemon) pipe(caller access.Caller) net.Conn {
	theirs, ours := net.Pipe()
	d.work.Go(func() {
		// A server that is closed hangs up: the client will notice.
		_ = d.Servers.Clients.ServeConn(ours, caller, rpc.Socket{ReadOnly: caller.ReadOnly})
	})
	return theirs
}

// listen runs the daemon as main does. Ctx ends only the waiting for it.
// It returns when autostart is done, as the memory daemon does, so that scripts see
// the same state either way. A Run that ends before has failed, and its error is told.
func (d *daemon) listen(ctx context.Context) error {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	d.cancel, d.ended = cancel, make(chan struct{})
	d.work.Go(func() {
		defer close(d.ended)
		d.err = d.Front.Run(running, func() {})
	})
	select {
	case <-d.Watch.autostarted:
		return nil
	case <-d.ended:
		return d.err
	case <-ctx.Done():
		return errors.Join(ctx.Err(), d.stop(context.WithoutCancel(ctx)))
	}
}

// stop ends service and waits for all goroutines.
// Over sockets Run closes what it opened; in memory that is done here, clients first,
// so that nobody calls use cases that are shut down.
func (d *daemon) stop(ctx context.Context) error {
	if d.cancel != nil {
		d.cancel()
		d.work.Wait()
		return d.err
	}
	err := errors.Join(d.Servers.Clients.Close(ctx), d.Servers.Admin.Close(ctx), d.Driver.Shutdown(ctx))
	d.work.Wait()
	return err
}
