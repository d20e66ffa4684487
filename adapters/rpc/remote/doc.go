// Package remote is what clients call: the handlers of the remote program, of the
// lxc program (open namespaces) and of the qemu program, which is refused call by
// call.
//
// A handler decodes its arguments, refuses flags it does not know, calls the port
// and encodes the answer. It decides nothing else. What may be asked when, and
// how a call is named in errors, comes from the procedure tables of
// adapters/rpc/protocol; errors.go alone knows error numbers and their texts.
//
// Checks come in the order clients know: arguments that cannot be decoded, a
// connection that is not open, a connection that may only read, arguments that
// make no sense, flags, and only then what the driver says.
//
// Who may come in at all is decided before: clients of a socket that makes them
// authenticate are asked about at the gatekeeper, and until then every other call is
// refused.
//
// Families that a sibling daemon would serve (networks, storage and so on) are
// answered with "not supported", and so is every call the driver has no port for:
// as long as nothing is passed on, a claim about the sibling's socket would be made
// up, and clients know how to do without what is not supported.
package remote
