package remote

import (
	"context"
	"log/slog"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/ports"
)

// Options of a Service.
type Options struct {
	Log *slog.Logger // nil: the default logger
	// QuickReads says that the connector's reads never wait, because everybody may
	// read: they are then served without a goroutine of their own. It must be off
	// where access checks ask somebody.
	QuickReads bool
	// Gatekeeper is asked about the clients of sockets that make them authenticate.
	// nil: nobody comes in there.
	Gatekeeper ports.Gatekeeper
}

// Service answers the calls of the three programs. It is shared by all sessions. It holds
// nothing of a session: that is in Session.Data.
type Service struct {
	connector  ports.Connector
	codec      ports.Codec
	log        *slog.Logger
	quick      bool
	gatekeeper ports.Gatekeeper
}

// New returns a service whose connections come from connector. Wiring must call
// Start for every new session and offer all of Programs.
// Nothing is asked before the first call. It is the wiring's to close the connector.
func New(connector ports.Connector, codec ports.Codec, options Options) *Service {
	log := options.Log
	if log == nil {
		log = slog.Default()
	}
	return &Service{
		connector: connector, codec: codec, log: log,
		quick: options.QuickReads, gatekeeper: options.Gatekeeper,
	}
}

// Start prepares a new session. It belongs into rpc.Options.Start.
// It must run before the session's first packet is read. The connector is asked when the
// client opens its connection, not before.
func (s *Service) Start(session *rpc.Session) {
	session.Data = &client{service: s, session: session}
}

// Programs are remote, lxc and qemu, in the order they are offered.
// Calls of the qemu program are known and not supported, every one: clients that try them
// go on without. Each call of Programs makes new tables.
func (s *Service) Programs() []rpc.Program {
	return []rpc.Program{
		s.program(protocol.Program, protocol.ProtocolVersion, s.remoteHandlers()),
		s.program(protocol.LxcProgram, protocol.LxcProtocolVersion, lxcHandlers()),
		s.program(protocol.QemuProgram, protocol.QemuProtocolVersion, nil),
	}
}

// served are the handlers of one program by procedure number.
// A number that is not here and is in the procedure table is "not supported".
type served map[int32]entry

// entry is a handler and how it is run.
type entry struct {
	handle handler
	inline bool // only looks at memory
}

// add merges a family into the table.
func (s served) add(family served) {
	for number, e := range family {
		s[number] = e
	}
}

// remoteHandlers are the families of the remote program. A procedure must not be in two.
// The later one would replace the earlier without a word.
func (s *Service) remoteHandlers() served {
	all := served{}
	for _, family := range []served{
		authHandlers(), connectionHandlers(), s.nodeHandlers(), s.lookupHandlers(), s.infoHandlers(),
		definitionHandlers(), lifecycleHandlers(), consoleHandlers(), eventHandlers(),
	} {
		all.add(family)
	}
	return all
}

// program makes a row for every procedure of the table that is a call. What has
// no handler is known and not supported.
// Numbers outside of the table, and those of events, are unknown procedures.
func (s *Service) program(number, version uint32, handlers served) rpc.Program {
	rows := protocol.Procedures(number)
	table := make([]*rpc.Procedure, len(rows))
	for i := range rows {
		// Number 0 is none, gaps in the numbers have empty rows, and events are not
		// called.
		if i == 0 || rows[i].Number == 0 || !rows[i].Callable() {
			continue
		}
		e, ok := handlers[int32(i)]
		if !ok {
			e = entry{handle: unsupported, inline: true}
		}
		table[i] = s.procedure(&rows[i], e)
	}
	find := func(number int32) *rpc.Procedure {
		if number < 0 || int(number) >= len(table) {
			return nil
		}
		return table[number]
	}
	return rpc.Program{Number: number, Version: version, Procedure: find}
}

// procedure joins a row of the table with its handler. Session.Data is the *client that
// Start put there; a session without it would be a mistake of wiring.
func (s *Service) procedure(row *protocol.Procedure, e entry) *rpc.Procedure {
	return &rpc.Procedure{
		Name: row.Wire, High: row.High, Inline: e.inline, Open: row.Needs == protocol.Nothing,
		Handle: func(ctx context.Context, call *rpc.Call) {
			r := request{client: call.Session().Data.(*client), call: call, row: row}
			r.answer(e.handle(ctx, r))
		},
	}
}

// quickly marks a family's handlers inline if reads are quick. It changes the map that it
// is given.
func (s *Service) quickly(family served) served {
	for number, e := range family {
		e.inline = s.quick
		family[number] = e
	}
	return family
}
