package admin

import (
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/domain/fault"
)

// change is what one parameter sets. The target holds the value in force, so what is not
// named stays.
type change struct {
	name   string
	target *uint
}

// apply writes the parameters to the targets of their names. All that can be set are
// unsigned. With an error some targets may have been written. How values fit together is
// the caller's to check.
func apply(params []protocol.TypedParam, changes ...change) error {
	seen := make(map[string]bool, len(params))
	for i := range params {
		p := &params[i]
		target := targetOf(p.Field, changes)
		switch {
		case target == nil:
			return fault.New(fault.UnsupportedArgument, fault.Host, "parameter '%s' not supported", p.Field)
		case seen[p.Field]:
			return fault.New(fault.InvalidArgument, fault.Host, "parameter '%s' occurs multiple times", p.Field)
		// A number of another type is refused, even if it would fit.
		case p.Type != protocol.ParamUint:
			return fault.New(fault.InvalidArgument, fault.Host, "invalid type '%s' for parameter '%s', expected '%s'",
				typeNames[p.Type], p.Field, typeNames[protocol.ParamUint])
		}
		seen[p.Field] = true
		*target = uint(p.Uint())
	}
	return nil
}

// targetOf finds what a parameter sets, nil if it cannot be set. There are three at most.
func targetOf(name string, changes []change) *uint {
	for _, c := range changes {
		if c.name == name {
			return c.target
		}
	}
	return nil
}

// typeNames are the types as errors call them.
var typeNames = map[protocol.ParamType]string{
	protocol.ParamInt: "int", protocol.ParamUint: "uint", protocol.ParamLLong: "llong",
	protocol.ParamULLong: "ullong", protocol.ParamDouble: "double", protocol.ParamBoolean: "boolean",
	protocol.ParamString: "string",
}

// number is an unsigned parameter; what does not fit is told as the most that does. All
// numbers of this program are 32 bits wide on the wire.
func number(name string, value uint) protocol.TypedParam {
	const most = 1<<32 - 1
	return protocol.UintParam(name, uint32(min(value, most)))
}
