package admin

import (
	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/domain/fault"
)

// Names of the parameters that can be set.
// The texts are those of VIR_THREADPOOL_* and VIR_SERVER_CLIENTS_* in libvirt-admin.h;
// all are of type uint. What can be read and not set is named where it is told.
const (
	minWorkers   = "minWorkers"
	maxWorkers   = "maxWorkers"
	prioWorkers  = "prioWorkers"
	maxClients   = "nclients_max"
	maxAnonymous = "nclients_unauth_max"
)

// server finds the server an argument names. The error is ready to be answered with.
func (r *request) server(named protocol.AdminServer) (*server, error) {
	if found := r.find(named.Name); found != nil {
		return found, nil
	}
	return nil, noServer(named.Name)
}

// matching is server for the calls that put it in other words.
func (r *request) matching(named protocol.AdminServer) (*server, error) {
	if found := r.find(named.Name); found != nil {
		return found, nil
	}
	return nil, noMatchingServer(named.Name)
}

// object is how a server is named in answers: its name is all it has.
func (s *server) object() protocol.AdminServer { return protocol.AdminServer{Name: s.name} }

// listServers is virAdmConnectListServers. Without need_results only the number is told.
// A daemon has two: for clients and for administrators.
func listServers(r *request, args *protocol.AdminConnectListServersArgs) (rpc.Body, error) {
	if err := r.known(args.Flags, 0); err != nil {
		return nil, err
	}
	servers := r.list()
	answer := &protocol.AdminConnectListServersRet{Ret: uint32(len(servers))}
	// Ret is the number in either case.
	if args.NeedResults != 0 {
		for _, s := range servers {
			answer.Servers = append(answer.Servers, s.object())
		}
	}
	return answer, nil
}

// lookupServer takes any flags, as clients are used to.
// It is virAdmConnectLookupServer, with which clients turn a name into an object.
func lookupServer(r *request, args *protocol.AdminConnectLookupServerArgs) (rpc.Body, error) {
	found, err := r.server(protocol.AdminServer{Name: args.Name})
	if err != nil {
		return nil, err
	}
	return &protocol.AdminConnectLookupServerRet{Srv: found.object()}, nil
}

// getWorkers is virAdmServerGetThreadPoolParameters. The order is that in which
// virt-admin prints them.
func getWorkers(r *request, args *protocol.AdminServerGetThreadpoolParametersArgs) (rpc.Body, error) {
	found, err := r.server(args.Srv)
	if err != nil {
		return nil, err
	}
	if err := r.known(args.Flags, 0); err != nil {
		return nil, err
	}
	w := found.Workers()
	return &protocol.AdminServerGetThreadpoolParametersRet{Params: []protocol.TypedParam{
		number(minWorkers, w.Min), number(maxWorkers, w.Max),
		number("nWorkers", w.Now), number("freeWorkers", w.Free),
		number(prioWorkers, w.Prio), number("jobQueueDepth", w.Queued),
	}}, nil
}

// setWorkers is virAdmServerSetThreadPoolParameters. What is not named stays; with an
// error nothing has changed, as the numbers are set in one step.
func setWorkers(r *request, args *protocol.AdminServerSetThreadpoolParametersArgs) (rpc.Body, error) {
	found, err := r.matching(args.Srv)
	if err != nil {
		return nil, err
	}
	if err := r.known(args.Flags, 0); err != nil {
		return nil, err
	}
	set, err := found.changeWorkers(args.Params)
	if err != nil {
		return nil, err
	}
	r.changed("workers changed", "server", found.name, "min", set.Min, "max", set.Max, "prio", set.Prio)
	return nil, nil
}

// changeWorkers reads, changes and sets under one lock: two administrators who each set
// one bound must not undo each other. The bounds are compared after all parameters were
// applied, so both may be moved at once.
func (s *server) changeWorkers(params []protocol.TypedParam) (rpc.Workers, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The values in force are what parameters that are not named keep.
	w := s.Workers()
	err := apply(params, change{minWorkers, &w.Min}, change{maxWorkers, &w.Max}, change{prioWorkers, &w.Prio})
	switch {
	case err != nil:
		return w, err
	case w.Min > w.Max:
		return w, fault.New(fault.InvalidArgument, fault.Host, "minWorkers cannot be larger than maxWorkers")
	case w.Max == 0:
		return w, fault.New(fault.InvalidArgument, fault.Host, "maxWorkers cannot be 0: nothing would be served")
	}
	s.SetWorkers(w.Min, w.Max, w.Prio)
	return w, nil
}

// getLimits is virAdmServerGetClientLimits. The order is that in which virt-admin prints
// them.
func getLimits(r *request, args *protocol.AdminServerGetClientLimitsArgs) (rpc.Body, error) {
	found, err := r.server(args.Srv)
	if err != nil {
		return nil, err
	}
	if err := r.known(args.Flags, 0); err != nil {
		return nil, err
	}
	c := found.Clients()
	return &protocol.AdminServerGetClientLimitsRet{Params: []protocol.TypedParam{
		number(maxClients, c.Max), number("nclients", c.Now),
		number(maxAnonymous, c.MaxAnonymous), number("nclients_unauth", c.Anonymous),
	}}, nil
}

// setLimits is virAdmServerSetClientLimits. Clients above a lowered bound stay. They are
// counted, and only new ones are held up.
func setLimits(r *request, args *protocol.AdminServerSetClientLimitsArgs) (rpc.Body, error) {
	found, err := r.matching(args.Srv)
	if err != nil {
		return nil, err
	}
	if err := r.known(args.Flags, 0); err != nil {
		return nil, err
	}
	set, err := found.changeLimits(args.Params)
	if err != nil {
		return nil, err
	}
	r.changed("client limits changed", "server", found.name, "max", set.Max, "unauthenticated", set.MaxAnonymous)
	return nil, nil
}

// changeLimits refuses a bound of unauthenticated clients above that of all. 0 is
// compared like every number, although it means no bound: whoever wants to lift the
// bound on all clients has to lift the other one too.
func (s *server) changeLimits(params []protocol.TypedParam) (rpc.Clients, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.Clients()
	err := apply(params, change{maxClients, &c.Max}, change{maxAnonymous, &c.MaxAnonymous})
	switch {
	case err != nil:
		return c, err
	case c.MaxAnonymous > c.Max:
		return c, fault.New(fault.InvalidArgument, fault.Wire,
			"nclients_unauth_max cannot be larger than nclients_max")
	}
	s.SetClientLimits(c.Max, c.MaxAnonymous)
	return c, nil
}

// updateTLS is always refused: there are only local sockets.
// It is virAdmServerUpdateTlsFiles. Server and flags are still checked first.
func updateTLS(r *request, args *protocol.AdminServerUpdateTLSFilesArgs) (rpc.Body, error) {
	if _, err := r.matching(args.Srv); err != nil {
		return nil, err
	}
	if err := r.known(args.Flags, 0); err != nil {
		return nil, err
	}
	return nil, fault.New(fault.Internal, fault.Wire, "no tls service found, unable to update tls files")
}
