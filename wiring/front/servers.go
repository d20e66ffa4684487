package front

import (
	"log/slog"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/admin"
	"virtlxcd/adapters/rpc/remote"
	"virtlxcd/adapters/settings"
	"virtlxcd/app/idle"
)

// The servers by the names that administrators know.
const (
	clientsName = "virtlxcd"
	adminName   = "admin"
)

// Servers are the two servers of the daemon: for clients and for administrators.
type Servers struct {
	Clients, Admin *rpc.Server
}

// NewServers returns both, with the limits of the configuration.
func NewServers(config settings.Daemon, service *remote.Service, administration *Administration,
	watch *idle.Watch, log *slog.Logger) *Servers {
	desk := admin.New(administration, log)
	clients := clientOptions(config)
	clients.Start, clients.Occupied = service.Start, watch.Occupied
	admins := adminOptions(config)
	admins.Admit, admins.Occupied = admin.Admit, watch.Occupied
	s := &Servers{
		Clients: rpc.New(clients, log, service.Programs()...),
		Admin:   rpc.New(admins, log, desk.Program()),
	}
	desk.Serve(clientsName, s.Clients)
	desk.Serve(adminName, s.Admin)
	return s
}

func clientOptions(config settings.Daemon) rpc.Options {
	o := rpc.DefaultOptions()
	o.MaxClients, o.MaxAnonymous, o.MaxRequests = config.MaxClients, config.MaxAnonymousClients, int(config.MaxClientRequests)
	o.MinWorkers, o.MaxWorkers, o.PrioWorkers = config.MinWorkers, config.MaxWorkers, config.PrioWorkers
	o.KeepaliveInterval, o.KeepaliveCount = config.KeepaliveInterval, int(config.KeepaliveCount)
	return o
}

func adminOptions(config settings.Daemon) rpc.Options {
	o := rpc.DefaultOptions()
	o.MaxClients, o.MaxAnonymous, o.MaxRequests = config.AdminMaxClients, 0, int(config.AdminMaxClientRequests)
	o.MinWorkers, o.MaxWorkers, o.PrioWorkers = config.AdminMinWorkers, config.AdminMaxWorkers, 0
	o.KeepaliveInterval, o.KeepaliveCount = config.AdminKeepaliveInterval, int(config.AdminKeepaliveCount)
	return o
}

// Apply puts changed limits into force; clients that are there stay.
func (s *Servers) Apply(config settings.Daemon) {
	apply(s.Clients, clientOptions(config))
	apply(s.Admin, adminOptions(config))
}

func apply(server *rpc.Server, o rpc.Options) {
	server.SetClientLimits(o.MaxClients, o.MaxAnonymous)
	server.SetWorkers(o.MinWorkers, o.MaxWorkers, o.PrioWorkers)
	server.SetMaxRequests(o.MaxRequests)
	server.SetKeepalive(o.KeepaliveInterval, o.KeepaliveCount)
}
