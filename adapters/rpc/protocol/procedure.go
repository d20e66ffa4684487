package protocol

// Access tells whether a connection that may only read may make a call.
type Access uint8

// Refused is the zero value: what nobody allowed is refused.
const (
	Refused Access = iota
	Allowed
	Conditional // depends on the flags given
)

// Stage is what must have happened on a connection before a call.
type Stage uint8

// Opened is the zero value, and what nearly every call needs.
const (
	Opened        Stage = iota
	Authenticated       // may come before CONNECT_OPEN
	Nothing             // part of authentication
)

// Server tells who answers a call.
type Server uint8

// The servers.
const (
	ByNobody  Server = iota // "this function is not supported by the connection driver"
	ByDriver                // the containers' own
	ByDaemon                // without the driver
	ByBoth                  // the daemon for some arguments, else the driver
	BySibling               // passed on, see Procedure.Sibling
	ByEvent                 // sent to clients; a call is an unknown procedure
)

// Stream tells whether a call opens a stream, seen from the client.
type Stream uint8

// A console is a ReadStream that also takes data.
const (
	NoStream Stream = iota
	ReadStream
	WriteStream
)

// Procedure is one row of a program's table.
type Procedure struct {
	Number   int32
	Name     string // DomainGetInfo
	Wire     string // DOMAIN_GET_INFO, as logs and access rules spell it
	Function string // virDomainGetInfo, as errors spell it; empty if no error names it
	High     bool   // may run on a priority worker
	ReadOnly Access
	Needs    Stage
	ACL      string // "object:permission[:flag] ..." checked before the call; empty: none
	Filter   string // the same, checked for every object of the answer
	ServedBy Server
	Sibling  string // "virtnetworkd" and so on
	Stream   Stream
	// ErrorDomain is the origin of the errors that say the call is not supported or
	// not allowed on a read-only connection.
	ErrorDomain int32
	// Args, Ret and Event make empty messages; nil where there is no payload.
	Args, Ret, Event func() Message
}

// Callable tells calls from events.
func (p *Procedure) Callable() bool { return p.ServedBy != ByEvent }

// Find looks a procedure or event up; nil if the program has no such number or
// is not known.
func Find(program uint32, number int32) *Procedure {
	table := Procedures(program)
	if number < 1 || int(number) >= len(table) {
		return nil
	}
	return &table[number]
}

// Procedures is a program's table, indexed by number; element 0 is empty. It
// must not be changed. An unknown program has none.
func Procedures(program uint32) []Procedure {
	switch program {
	case Program:
		return remoteProcedures[:]
	case LxcProgram:
		return lxcProcedures[:]
	case QemuProgram:
		return qemuProcedures[:]
	case AdminProgram:
		return adminProcedures[:]
	}
	return nil
}

func of[T any, P interface {
	*T
	Message
}]() Message {
	return P(new(T))
}
