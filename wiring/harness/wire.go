//go:build wireinject

package harness

import (
	"github.com/google/wire"

	"virtlxcd/adapters/domxml"
	"virtlxcd/adapters/linux/proc"
	"virtlxcd/adapters/store"
	"virtlxcd/app/driver"
	"virtlxcd/fakes"
	"virtlxcd/ports"
	"virtlxcd/wiring/front"
)

// buildMemory has nothing but fakes behind the ports.
func buildMemory(config Config, host *fakes.Host) (*daemon, error) {
	panic(wire.Build(
		// files
		newPaths, newSettings, newOutput, newLog, newCodec, wire.Bind(new(ports.Codec), new(*domxml.Codec)),
		fakes.NewStore, wire.Bind(new(ports.Store), new(*fakes.Store)),
		// the machine
		fakes.NewCgroups, fakes.NewControllers, fakes.NewLinks, fakes.NewProcesses, fakes.NewTerminals,
		fakes.NewHostInfo, fakes.NewAccess, fakes.NewEntropy,
		wire.Bind(new(ports.Cgroups), new(*fakes.Cgroups)), wire.Bind(new(ports.Controllers), new(*fakes.Controllers)),
		wire.Bind(new(ports.Links), new(*fakes.Links)), wire.Bind(new(ports.Processes), new(*fakes.Processes)),
		wire.Bind(new(ports.Terminals), new(*fakes.Terminals)), wire.Bind(new(ports.HostInfo), new(*fakes.HostInfo)),
		fakes.NewHooks, fakes.NewMachines, fakes.NewEscrow, fakes.NewAuditor,
		wire.Bind(new(ports.Hooks), new(*fakes.Hooks)), wire.Bind(new(ports.Machines), new(*fakes.Machines)),
		wire.Bind(new(ports.Escrow), new(*fakes.Escrow)), wire.Bind(new(ports.Auditor), new(*fakes.Auditor)),
		wire.Bind(new(ports.Access), new(*fakes.Access)), wire.Bind(new(ports.Entropy), new(*fakes.Entropy)),
		// use cases
		newIdle, newOptions, driver.New, wire.Struct(new(driver.Ports), "*"), newWatch,
		wire.Bind(new(ports.Connector), new(*watch)), wire.Bind(new(ports.Daemon), new(*watch)),
		// clients and administrators
		newConfiguration, front.NewAdministration, newService, front.NewServers, newSockets, newSite, newWatchdog, newHost, newObey,
		front.New, wire.Struct(new(front.Parts), "*"), fakes.NewNotifier,
		wire.Bind(new(ports.Notifier), new(*fakes.Notifier)), wire.Struct(new(daemon), "*"),
	))
}

// buildFiles keeps definitions in real files, with names that never repeat.
func buildFiles(config Config, host *fakes.Host) (*daemon, func(), error) {
	panic(wire.Build(
		// files
		newPaths, newSettings, newOutput, newLog, newCodec, wire.Bind(new(ports.Codec), new(*domxml.Codec)),
		newStore, wire.Bind(new(ports.Store), new(*store.Store)),
		// the machine
		fakes.NewCgroups, fakes.NewControllers, fakes.NewLinks, fakes.NewProcesses, fakes.NewTerminals,
		fakes.NewHostInfo, fakes.NewAccess, newEntropy,
		wire.Bind(new(ports.Cgroups), new(*fakes.Cgroups)), wire.Bind(new(ports.Controllers), new(*fakes.Controllers)),
		wire.Bind(new(ports.Links), new(*fakes.Links)), wire.Bind(new(ports.Processes), new(*fakes.Processes)),
		wire.Bind(new(ports.Terminals), new(*fakes.Terminals)), wire.Bind(new(ports.HostInfo), new(*fakes.HostInfo)),
		fakes.NewHooks, fakes.NewMachines, fakes.NewEscrow, fakes.NewAuditor,
		wire.Bind(new(ports.Hooks), new(*fakes.Hooks)), wire.Bind(new(ports.Machines), new(*fakes.Machines)),
		wire.Bind(new(ports.Escrow), new(*fakes.Escrow)), wire.Bind(new(ports.Auditor), new(*fakes.Auditor)),
		wire.Bind(new(ports.Access), new(*fakes.Access)), wire.Bind(new(ports.Entropy), new(proc.Entropy)),
		// use cases
		newIdle, newOptions, driver.New, wire.Struct(new(driver.Ports), "*"), newWatch,
		wire.Bind(new(ports.Connector), new(*watch)), wire.Bind(new(ports.Daemon), new(*watch)),
		// clients and administrators
		newConfiguration, front.NewAdministration, newService, front.NewServers, newSockets, newSite, newWatchdog, newHost, newObey,
		front.New, wire.Struct(new(front.Parts), "*"), fakes.NewNotifier,
		wire.Bind(new(ports.Notifier), new(*fakes.Notifier)), wire.Struct(new(daemon), "*"),
	))
}
