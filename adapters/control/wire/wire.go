// Package wire is the form of what daemon and controller say to each other:
// one packet a message on a SOCK_SEQPACKET socket (unix(7)), a fixed number of
// bytes, with descriptors attached in the order of hold.Files.
//
// It is linked into the controller and therefore imports next to nothing.
package wire

import (
	"encoding/binary"
	"errors"

	"virtlxcd/ports/hold"
)

// Version is spoken by both ends or not at all. It changes with any change of form
// or meaning: a controller outlives the daemon that started it, so the two may be
// of different releases.
const Version = 1

// Size is the length of every message in bytes: version, kind, UUID, four numbers
// of 64 bits, the failure and which single descriptors there are in 32 bits each,
// and the lengths of the lists of descriptors. In the host's byte order, which both
// ends share.
const Size = 88

// MaxFiles is how many descriptors the kernel lets one message carry (SCM_MAX_FD).
const MaxFiles = 253

// ErrForeign is returned for a packet that Append did not write (of another length
// or version, or with unknown bits), or whose descriptors are more or fewer than it
// says. Who gets it hangs up: nothing that follows can be trusted.
var ErrForeign = errors.New("damaged or foreign control message")

// The two ends are on one host, so there is nothing to convert.
var order = binary.NativeEndian

// Append adds the encoded message to b and its descriptors to fds, which stay the
// message's. It does not bound their number: Send fails above MaxFiles.
func Append(b []byte, fds []int, m *hold.Message) ([]byte, []int) {
	for _, word := range [...]uint32{Version, uint32(m.Kind)} {
		b = order.AppendUint32(b, word)
	}
	b = append(b, m.UUID[:]...)
	for _, number := range [...]uint64{m.Number, uint64(m.PID), m.Start, uint64(m.Exit)} {
		b = order.AppendUint64(b, number)
	}
	for _, word := range [...]uint32{m.Failure.Errno, m.Failure.Index, failureBits(m.Failure), present(&m.Files)} {
		b = order.AppendUint32(b, word)
	}
	for _, list := range lists(&m.Files) {
		b = order.AppendUint32(b, uint32(len(*list)))
	}
	m.Files.Each(func(fd hold.FD) { fds = append(fds, int(fd)) })
	return b, fds
}

// Decode reads a message and takes its descriptors from fds. On ErrForeign the
// descriptors are still the caller's. What it accepts, Append encodes to the same
// bytes. Kinds are not checked: who is asked for an unknown one says so.
func Decode(b []byte, fds []int) (*hold.Message, error) {
	if len(b) != Size || order.Uint32(b) != Version {
		return nil, ErrForeign
	}
	m := &hold.Message{Kind: hold.Kind(order.Uint32(b[4:])), Files: hold.NoFiles()}
	copy(m.UUID[:], b[8:24])
	m.Number, m.PID = order.Uint64(b[24:]), int(order.Uint64(b[32:]))
	m.Start, m.Exit = order.Uint64(b[40:]), int(order.Uint64(b[48:]))
	m.Failure.Errno, m.Failure.Index = order.Uint32(b[56:]), order.Uint32(b[60:])
	bits := order.Uint32(b[64:])
	if bits > allFailureBits {
		return nil, ErrForeign
	}
	m.Failure.Entered, m.Failure.Interpreter = bits&1 != 0, bits&2 != 0
	if !takeFiles(&m.Files, order.Uint32(b[68:]), b[72:], fds) {
		return nil, ErrForeign
	}
	return m, nil
}

// allFailureBits is what failureBits makes of a failure that is all of it.
const allFailureBits = 1<<2 - 1

// Bit 0 is Entered, bit 1 Interpreter.
func failureBits(f hold.Failure) (bits uint32) {
	if f.Entered {
		bits |= 1
	}
	if f.Interpreter {
		bits |= 2
	}
	return bits
}

// singles and lists are the order in which descriptors travel, hold.Files.Each's.
func singles(f *hold.Files) [6]*hold.FD {
	return [...]*hold.FD{&f.Plan, &f.Image, &f.Unified, &f.Process, &f.Network, &f.Log}
}

func lists(f *hold.Files) [4]*[]hold.FD {
	return [...]*[]hold.FD{&f.Tasks, &f.Hosts, &f.Passed, &f.Terminals}
}

// present says which of the single descriptors are there, the first as bit 0.
func present(f *hold.Files) (bits uint32) {
	for i, fd := range singles(f) {
		if *fd != hold.None {
			bits |= 1 << i
		}
	}
	return bits
}

// takeFiles gives every descriptor its place; false if the numbers differ.
// All is counted before anything is taken, so that on false the caller still has every
// descriptor to close. The bound on each list keeps the sum from running over.
func takeFiles(f *hold.Files, bits uint32, counts []byte, fds []int) bool {
	wanted := 0
	for i := range singles(f) {
		wanted += int(bits >> i & 1)
	}
	for i := range lists(f) {
		n := order.Uint32(counts[4*i:])
		if n > MaxFiles {
			return false
		}
		wanted += int(n)
	}
	if wanted != len(fds) || bits >= 1<<6 {
		return false
	}
	for i, fd := range singles(f) {
		if bits>>i&1 != 0 {
			*fd, fds = hold.FD(fds[0]), fds[1:]
		}
	}
	for i, list := range lists(f) {
		for n := order.Uint32(counts[4*i:]); n > 0; n-- {
			*list, fds = append(*list, hold.FD(fds[0])), fds[1:]
		}
	}
	return true
}
