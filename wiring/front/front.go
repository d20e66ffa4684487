// Package front is the side of the daemon that clients see: the RPC server with
// its programs on its sockets, the same over the kernel and over fakes.
package front

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/remote"
	"virtlxcd/adapters/settings"
	"virtlxcd/adapters/systemd"
	"virtlxcd/ports"
)

// Daemon is what Serve runs: the use cases and who talks to them.
type Daemon struct {
	cases    ports.Daemon
	server   *rpc.Server
	notifier ports.Notifier
	paths    settings.Paths
	log      *slog.Logger
}

// NewServer returns a server that offers the programs.
func NewServer(service *remote.Service, log *slog.Logger) *rpc.Server {
	options := rpc.DefaultOptions()
	options.Start = service.Start
	return rpc.New(options, log, service.Programs()...)
}

// NewService returns the programs over the use cases. Access checks never wait
// yet, so reads do not either.
func NewService(connector ports.Connector, codec ports.Codec, log *slog.Logger) *remote.Service {
	return remote.New(connector, codec, remote.Options{Log: log, QuickReads: true})
}

// New puts a daemon together.
func New(cases ports.Daemon, server *rpc.Server, notifier ports.Notifier, paths settings.Paths, log *slog.Logger) *Daemon {
	return &Daemon{cases: cases, server: server, notifier: notifier, paths: paths, log: log}
}

// stopLimit is how long changes under way may take when the daemon ends.
const stopLimit = 30 * time.Second

// Run serves until ctx ends. Clients may connect before Recover is done; they
// are served after it.
func (d *Daemon) Run(ctx context.Context) error {
	sockets, err := d.listen()
	if err != nil {
		return err
	}
	if err := d.cases.Recover(ctx); err != nil {
		return errors.Join(err, closeAll(sockets), d.stop(ctx))
	}
	var serving sync.WaitGroup
	for i, socket := range sockets {
		serving.Go(func() {
			if err := d.server.Serve(socket, rpc.Socket{ReadOnly: i == 1}); err != nil && ctx.Err() == nil {
				d.log.Error("a socket is no longer served", "error", err)
			}
		})
	}
	d.ready(ctx)
	<-ctx.Done()
	err = d.stop(ctx)
	serving.Wait()
	return err
}

func (d *Daemon) ready(ctx context.Context) {
	if err := d.notifier.Ready(); err != nil {
		d.log.Warn("the service manager was not told that the daemon is ready", "error", err)
	}
	if err := d.cases.StartAutostarted(ctx); err != nil {
		d.log.Error("autostart failed", "error", err)
	}
}

// Socket modes: root alone until access can be configured.
const socketMode = 0o700

// listen makes the sockets: full access first, then read-only.
func (d *Daemon) listen() ([]*systemd.Listener, error) {
	full, err := systemd.Listen(d.paths.Socket, socketMode)
	if err != nil {
		return nil, err
	}
	readOnly, err := systemd.Listen(d.paths.ReadOnly, 0o777)
	if err != nil {
		return nil, errors.Join(err, full.Close())
	}
	return []*systemd.Listener{full, readOnly}, nil
}

func closeAll(sockets []*systemd.Listener) (err error) {
	for _, socket := range sockets {
		err = errors.Join(err, socket.Close())
	}
	return err
}

// stop ends service; containers run on.
func (d *Daemon) stop(ctx context.Context) error {
	if err := d.notifier.Stopping(); err != nil {
		d.log.Warn("the service manager was not told that the daemon stops", "error", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	return errors.Join(d.server.Close(ctx), d.cases.Shutdown(ctx))
}
