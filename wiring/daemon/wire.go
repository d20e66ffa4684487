//go:build wireinject

package daemon

import (
	"github.com/google/wire"

	"virtlxcd/adapters/access"
	"virtlxcd/adapters/control"
	"virtlxcd/adapters/domxml"
	"virtlxcd/adapters/linux/cgroup"
	"virtlxcd/adapters/linux/netlink"
	"virtlxcd/adapters/linux/proc"
	"virtlxcd/adapters/linux/process"
	"virtlxcd/adapters/linux/pty"
	"virtlxcd/adapters/store"
	"virtlxcd/adapters/systemd"
	"virtlxcd/app/driver"
	"virtlxcd/ports"
	"virtlxcd/wiring/front"
)

func build(config Config) (*front.Daemon, func(), error) {
	panic(wire.Build(
		// files
		newPaths, newLog, newStore, newCodec,
		wire.Bind(new(ports.Store), new(*store.Store)), wire.Bind(new(ports.Codec), new(*domxml.Codec)),
		// the kernel
		newCgroups, newControllers, newLinks, newProcesses, pty.New, newHost, proc.NewEntropy,
		wire.Bind(new(ports.Cgroups), new(*cgroup.Cgroups)), wire.Bind(new(ports.Controllers), new(*control.Controllers)),
		wire.Bind(new(ports.Links), new(*netlink.Links)), wire.Bind(new(ports.Processes), new(*process.Processes)),
		wire.Bind(new(ports.Terminals), new(pty.Terminals)), wire.Bind(new(ports.HostInfo), new(*proc.Host)),
		wire.Bind(new(ports.Entropy), new(proc.Entropy)),
		// use cases
		newOptions, driver.New, wire.Struct(new(driver.Ports), "*"), access.AllowAll,
		wire.Bind(new(ports.Connector), new(*driver.Driver)), wire.Bind(new(ports.Daemon), new(*driver.Driver)),
		// clients
		front.New, front.NewServer, front.NewService, systemd.NewNotifier,
		wire.Bind(new(ports.Notifier), new(systemd.Notifier)),
	))
}
