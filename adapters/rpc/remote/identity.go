package remote

import (
	"context"
	"math"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/domain/access"
	"virtlxcd/domain/fault"
)

// noAccount is what a foreign identity has that names no user or group. No account
// has this number.
const noAccount = math.MaxUint32

// identityTypes are the parts of an identity and their types.
// They are those of VIR_CONNECT_IDENTITY_* in libvirt-host.h. All may be given; what names
// a user in other ways than by number decides nothing here. A name that is not here is
// refused, code 74.
var identityTypes = map[string]protocol.ParamType{
	"user-name":               protocol.ParamString,
	"unix-user-id":            protocol.ParamULLong,
	"group-name":              protocol.ParamString,
	"unix-group-id":           protocol.ParamULLong,
	"process-id":              protocol.ParamLLong,
	"process-time":            protocol.ParamULLong,
	"sasl-user-name":          protocol.ParamString,
	"x509-distinguished-name": protocol.ParamString,
	"selinux-context":         protocol.ParamString,
	"system.token":            protocol.ParamString,
}

// setIdentity lets a daemon that passes on calls say for whom it does. From here on the
// connection is that caller's. Only root may do so, and never on a connection that may
// only read: the identity decides what may be done. It may be repeated; the last one
// counts.
func setIdentity(ctx context.Context, r request, args *protocol.ConnectSetIdentityArgs) (rpc.Body, error) {
	session := r.call.Session()
	if r.readOnly {
		return nil, readOnly(fromAPI, r.row.Function)
	}
	// The kernel's word about the peer counts, not an identity that was set before.
	if session.Caller().UID != 0 {
		return nil, fault.Denied("LXC")
	}
	if err := identityRule.check(args.Flags); err != nil {
		return nil, err
	}
	caller, err := callerOf(args.Params)
	if err != nil {
		return nil, err
	}
	r.client.service.log.Info("client speaks for another", "client", session.ID(),
		"uid", caller.UID, "gid", caller.GID, "pid", caller.PID)
	return nil, r.client.open(ctx, caller, r.uri)
}

// callerOf reads an identity. What it does not tell is nobody's. The system's token,
// by which a sibling daemon shows that it acts for itself and not for a user, makes no
// difference: nothing here is kept for siblings, and rights are those of the user.
// A parameter that is given twice is refused: which one counts would be a guess.
func callerOf(params []protocol.TypedParam) (access.Caller, error) {
	// Not 0: who says nothing about the user must not pass for root.
	caller := access.Caller{UID: noAccount, GID: noAccount}
	seen := make(map[string]bool, len(params))
	for i := range params {
		p := &params[i]
		if err := checkParam(p, identityTypes); err != nil {
			return caller, err
		}
		if seen[p.Field] {
			return caller, paramRepeated(p.Field)
		}
		seen[p.Field] = true
		switch p.Field {
		case "unix-user-id":
			caller.UID = accountNumber(p.ULLong())
		case "unix-group-id":
			caller.GID = accountNumber(p.ULLong())
		case "process-id":
			caller.PID = int(p.LLong())
		case "process-time":
			caller.Start = p.ULLong()
		}
	}
	return caller, nil
}

// accountNumber keeps a number that no kernel knows from becoming another one. What is
// too large becomes nobody's number.
func accountNumber(number uint64) uint32 {
	return uint32(min(number, noAccount))
}

// checkParam insists on the documented type: a number in a field of another width would
// be read as another one. Order is that of the original: unknown, wrong type, repeated.
func checkParam(p *protocol.TypedParam, types map[string]protocol.ParamType) error {
	wanted, known := types[p.Field]
	switch {
	case !known:
		return fault.New(fault.UnsupportedArgument, fault.Host, "parameter '%s' not supported", p.Field)
	case p.Type != wanted:
		return fault.New(fault.InvalidArgument, fault.Host, "invalid type '%s' for parameter '%s', expected '%s'",
			typeNames[p.Type], p.Field, typeNames[wanted])
	}
	return nil
}

// paramRepeated has code 8, and the words of the original.
func paramRepeated(field string) error {
	return fault.New(fault.InvalidArgument, fault.Host, "parameter '%s' occurs multiple times", field)
}

// typeNames are the types as errors call them.
var typeNames = map[protocol.ParamType]string{
	protocol.ParamInt: "int", protocol.ParamUint: "uint", protocol.ParamLLong: "llong",
	protocol.ParamULLong: "ullong", protocol.ParamDouble: "double", protocol.ParamBoolean: "boolean",
	protocol.ParamString: "string",
}
