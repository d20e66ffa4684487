package admin

import (
	"context"
	"log/slog"
	"os"
	"sync"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/domain/access"
	"virtlxcd/domain/fault"
)

// Daemon is what the admin program changes beside servers. Its methods may be called
// from any goroutine, several at the same time.
type Daemon interface {
	// Version is the version clients are told: major*1000000 + minor*1000 + release.
	Version() uint64
	// LogOutputs and LogFilters are the settings in force, in the form in which they
	// are set, and how many there are; "" and 0 if there are none.
	LogOutputs() (settings string, count int)
	LogFilters() (settings string, count int)
	// SetLogOutputs and SetLogFilters replace the settings; "" is the default output,
	// or no filter. With an error, which should be a *fault.Error, nothing has changed.
	SetLogOutputs(settings string) error
	SetLogFilters(settings string) error
	// SetTimeout makes the daemon leave after so many idle seconds; 0 is never.
	SetTimeout(seconds uint32)
	// Shutdown makes the daemon begin to leave, and must not wait until it has: the
	// client has its answer already. preserve asks to keep containers for the next
	// daemon even where they would be stopped.
	Shutdown(preserve bool)
}

// Service answers the calls of the admin program. It is shared by all sessions. Its
// methods are safe from any goroutine.
type Service struct {
	daemon  Daemon
	log     *slog.Logger
	program rpc.Program
	users   string // files of accounts, read when asked
	groups  string

	mu      sync.Mutex
	servers []*server // in the order they are listed
}

// server is one of the daemon's servers. It embeds the rpc.Server, whose own methods lock
// for themselves.
type server struct {
	name string
	*rpc.Server
	// mu makes reading and changing limits one step.
	mu sync.Mutex
}

// New returns a service that knows no server yet. log is told about every change. Nothing
// is asked of daemon before the first call.
func New(daemon Daemon, log *slog.Logger) *Service {
	s := &Service{daemon: daemon, log: log, users: "/etc/passwd", groups: "/etc/group"}
	table := s.table()
	s.program = rpc.Program{
		Number: protocol.AdminProgram, Version: protocol.AdminProtocolVersion,
		Procedure: func(number int32) *rpc.Procedure {
			// nil is how the server knows that there is no such procedure.
			if number < 0 || int(number) >= len(table) {
				return nil
			}
			return table[number]
		},
	}
	return s
}

// Serve makes a server known under a name, behind those known already. It may be
// called while the program is served, because one of the servers is its own.
// The server is not started, and not closed, by this.
func (s *Service) Serve(name string, known *rpc.Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Appended and never taken out, so order is that of Serve.
	s.servers = append(s.servers, &server{name: name, Server: known})
}

// Program is what the server of the admin socket has to offer.
func (s *Service) Program() rpc.Program { return s.program }

// Admit lets in root and the user the daemon runs as. It belongs into rpc.Options. The
// kind is AccessDenied; the connection is closed before it says anything.
func Admit(caller access.Caller) error {
	if caller.UID == 0 || int(caller.UID) == os.Geteuid() {
		return nil
	}
	return fault.New(fault.AccessDenied, fault.Wire, "disallowing client %d with uid %d", caller.PID, caller.UID)
}

// list is a copy of the servers known now.
func (s *Service) list() []*server {
	s.mu.Lock()
	defer s.mu.Unlock()
	// A copy, so that handlers look at it without the lock.
	return append([]*server(nil), s.servers...)
}

// find returns the server of a name, nil if there is none. Servers are never taken out
// again, so what it returns stays good.
func (s *Service) find(name string) *server {
	for _, known := range s.list() {
		if known.name == name {
			return known
		}
	}
	return nil
}

// table has a row for every procedure of the program, indexed by number. It is made once,
// by New. A handler for a number that the program lacks would panic there.
func (s *Service) table() []*rpc.Procedure {
	rows := protocol.Procedures(protocol.AdminProgram)
	table := make([]*rpc.Procedure, len(rows))
	for number, e := range handlers {
		// The row is shared by all calls and never changed.
		row := &rows[number]
		table[number] = &rpc.Procedure{
			Name: row.Wire, High: row.High, Inline: e.inline,
			Handle: func(_ context.Context, call *rpc.Call) {
				r := &request{Service: s, call: call, row: row}
				r.answer(e.handle(r))
			},
		}
	}
	return table
}

// entry is a handler and how it is run.
// Handlers that touch files, or end something, must not be inline: they would hold up the
// reader of the administrator's connection, pings included.
type entry struct {
	handle handler
	inline bool // only looks at memory
}

// handlers has an entry for every procedure of the program, so nothing is "not supported".
var handlers = map[int32]entry{
	protocol.AdminProcConnectOpen:                   {with(connectOpen), true},
	protocol.AdminProcConnectClose:                  {connectClose, true},
	protocol.AdminProcConnectGetLibVersion:          {version, true},
	protocol.AdminProcConnectListServers:            {with(listServers), true},
	protocol.AdminProcConnectLookupServer:           {with(lookupServer), true},
	protocol.AdminProcServerGetThreadpoolParameters: {with(getWorkers), true},
	protocol.AdminProcServerSetThreadpoolParameters: {with(setWorkers), true},
	protocol.AdminProcServerListClients:             {with(listClients), true},
	protocol.AdminProcServerLookupClient:            {with(lookupClient), true},
	protocol.AdminProcClientGetInfo:                 {with(clientInfo), false},
	protocol.AdminProcClientClose:                   {with(closeClient), false},
	protocol.AdminProcServerGetClientLimits:         {with(getLimits), true},
	protocol.AdminProcServerSetClientLimits:         {with(setLimits), true},
	protocol.AdminProcConnectGetLoggingOutputs:      {with(logOutputs), false},
	protocol.AdminProcConnectGetLoggingFilters:      {with(logFilters), false},
	protocol.AdminProcConnectSetLoggingOutputs:      {with(setLogOutputs), false},
	protocol.AdminProcConnectSetLoggingFilters:      {with(setLogFilters), false},
	protocol.AdminProcServerUpdateTLSFiles:          {with(updateTLS), true},
	protocol.AdminProcConnectSetDaemonTimeout:       {with(setTimeout), false},
	protocol.AdminProcConnectDaemonShutdown:         {with(shutdown), false},
}
