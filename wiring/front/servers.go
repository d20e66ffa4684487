package front

import (
	"log/slog"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/admin"
	"virtlxcd/adapters/rpc/remote"
	"virtlxcd/adapters/settings"
	"virtlxcd/app/idle"
)

// The servers by the names that administrators know (virt-admin(1), server-list).
const (
	clientsName = "virtlxcd"
	adminName   = "admin"
)

// Servers are the two servers of the daemon: for clients and for administrators. They
// share nothing, so that an administrator gets in while all places of clients are taken.
type Servers struct {
	Clients, Admin *rpc.Server
}

// NewServers returns both, with the limits of the configuration; they serve nobody until
// Daemon.Run. Clients of either keep the daemon from being idle.
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

// clientOptions are the limits that virtlxcd.conf gives to clients.
func clientOptions(config settings.Daemon) rpc.Options {
	o := rpc.DefaultOptions()
	o.MaxClients, o.MaxAnonymous, o.MaxRequests = config.MaxClients, config.MaxAnonymousClients, int(config.MaxClientRequests)
	o.MinWorkers, o.MaxWorkers, o.PrioWorkers = config.MinWorkers, config.MaxWorkers, config.PrioWorkers
	o.KeepaliveInterval, o.KeepaliveCount = config.KeepaliveInterval, int(config.KeepaliveCount)
	return o
}

// adminOptions are those of administrators, who are authenticated by their uid as they
// come and make no calls that go before others: no anonymous places, no prio workers.
func adminOptions(config settings.Daemon) rpc.Options {
	o := rpc.DefaultOptions()
	o.MaxClients, o.MaxAnonymous, o.MaxRequests = config.AdminMaxClients, 0, int(config.AdminMaxClientRequests)
	o.MinWorkers, o.MaxWorkers, o.PrioWorkers = config.AdminMinWorkers, config.AdminMaxWorkers, 0
	o.KeepaliveInterval, o.KeepaliveCount = config.AdminKeepaliveInterval, int(config.AdminKeepaliveCount)
	return o
}

// Apply puts changed limits into force; clients that are there stay, also above a new
// maximum, and keep the request limit and keepalive they came with. What the
// configuration does not say is the default again.
func (s *Servers) Apply(config settings.Daemon) {
	apply(s.Clients, clientOptions(config))
	apply(s.Admin, adminOptions(config))
}

// apply is for one server. None of it waits for clients.
func apply(server *rpc.Server, o rpc.Options) {
	server.SetClientLimits(o.MaxClients, o.MaxAnonymous)
	server.SetWorkers(o.MinWorkers, o.MaxWorkers, o.PrioWorkers)
	server.SetMaxRequests(o.MaxRequests)
	server.SetKeepalive(o.KeepaliveInterval, o.KeepaliveCount)
}
