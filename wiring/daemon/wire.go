//go:build wireinject

package daemon

import (
	"github.com/google/wire"

	"virtlxcd/adapters/audit"
	"virtlxcd/adapters/control"
	"virtlxcd/adapters/dbus/polkit"
	"virtlxcd/adapters/domxml"
	"virtlxcd/adapters/hooks"
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

// build says what the daemon is made of; the generator writes wire_gen.go from it. On
// failure what was made is closed already; the caller calls the clean-up else.
func build(in *inputs) (*front.Daemon, func(), error) {
	panic(wire.Build(
		// files
		newLog, newStore, newCodec, newHooks,
		wire.Bind(new(ports.Store), new(*store.Store)), wire.Bind(new(ports.Codec), new(*domxml.Codec)),
		wire.Bind(new(ports.Hooks), new(*hooks.Hooks)), wire.Bind(new(front.Site), new(*hooks.Hooks)),
		// the kernel
		newCgroups, newControllers, newLinks, newProcesses, pty.New, newHost, proc.NewEntropy, newAudit,
		wire.Bind(new(ports.Cgroups), new(*cgroup.Cgroups)), wire.Bind(new(ports.Controllers), new(*control.Controllers)),
		wire.Bind(new(ports.Links), new(*netlink.Links)), wire.Bind(new(ports.Processes), new(*process.Processes)),
		wire.Bind(new(ports.Terminals), new(pty.Terminals)), wire.Bind(new(ports.HostInfo), new(*proc.Host)),
		wire.Bind(new(ports.Entropy), new(proc.Entropy)), wire.Bind(new(ports.Auditor), new(*audit.Audit)),
		// services of the host
		newBus, newMachines, newInhibitor, newAuthority, newAccess, polkit.Gatekeeper,
		newNotifier, wire.Bind(new(ports.Notifier), new(*systemd.Notifier)), wire.Bind(new(front.Watchdog), new(*systemd.Notifier)),
		newEscrow, wire.Bind(new(ports.Escrow), new(*systemd.Escrow)),
		// use cases
		newIdle, newOptions, driver.New, wire.Struct(new(driver.Ports), "*"),
		wire.Bind(new(ports.Connector), new(*driver.Driver)), wire.Bind(new(ports.Daemon), new(*driver.Driver)),
		// clients and administrators
		newConfiguration, newAdministration, newService, newServers, newSockets, newHostPatience, newObey,
		wire.Struct(new(front.Parts), "*"), newDaemon,
	))
}
