package admin

import (
	"errors"
	"strings"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/adapters/rpc/xdr"
)

// request is one call on its way through its handler. It is made for the call and used by
// one goroutine.
type request struct {
	*Service
	call *rpc.Call
	row  *protocol.Procedure
}

// handler serves one call: a body (nil for an empty answer) or an error. Whatever it
// returns is answered once; it does not use the call to answer itself.
type handler func(*request) (rpc.Body, error)

// with makes a handler that decodes its arguments first. Bytes behind them are
// ignored. P is the pointer type that decodes; Go infers it from the handler.
func with[A any, P interface {
	*A
	protocol.Message
}](serve func(*request, P) (rpc.Body, error)) handler {
	return func(r *request) (rpc.Body, error) {
		// A new one for each call: decoded arguments may be kept by what they are given
		// to.
		args := P(new(A))
		if err := args.DecodeXDR(xdr.NewDecoder(r.call.Payload())); err != nil {
			return nil, errUndecodable
		}
		return serve(r, args)
	}
}

// answer gives exactly one answer. The error of arguments that cannot be decoded has the
// RPC layer's wording, not this program's. An end of the connection meanwhile drops it.
func (r *request) answer(body rpc.Body, err error) {
	switch {
	case err == nil:
		r.call.Reply(body)
	case errors.Is(err, errUndecodable):
		r.call.FailDecoding()
	default:
		r.call.Fail(bodyOf(err))
	}
}

// known refuses flags other than those of mask. The refusal names the function that
// is called for this procedure.
func (r *request) known(flags, mask uint32) error {
	if unknown := flags &^ mask; unknown != 0 {
		return unknownFlags(functionOf(r.row), unknown)
	}
	return nil
}

// spelling is where the C functions differ from the names of the procedures.
var spelling = strings.NewReplacer("Threadpool", "ThreadPool", "TLS", "Tls")

// functionOf: opening is refused by the dispatcher itself, under its own name. Others are
// those of admin_server.c: "adminServerListClients".
func functionOf(row *protocol.Procedure) string {
	if row.Number == protocol.AdminProcConnectOpen {
		return "adminDispatchConnectOpen"
	}
	return "admin" + spelling.Replace(row.Name)
}

// changed logs what an administrator has changed, and who that is. A level of info: it
// tells later why the daemon behaves otherwise than its files say.
func (r *request) changed(what string, details ...any) {
	caller := r.call.Session().Caller()
	details = append(details, "uid", caller.UID, "pid", caller.PID)
	r.log.Info(what, details...)
}
