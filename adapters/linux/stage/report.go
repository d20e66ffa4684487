// Package stage starts first processes: Prepare in the controller, then a small
// program in the new namespaces, the stage, which carries out Enter and becomes
// init. Controller and stage are the same binary.
//
// It is linked into the controller and therefore uses raw system calls only.
package stage

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"

	"virtlxcd/ports/hold"
)

// The stage's descriptors, as its parent lays them out. The counts of the lists
// that follow are its arguments.
const (
	planFD = 3 + iota
	imageFD
	reportFD
	goFD
	networkFD
	firstTaskFD
)

const reportSize = 12

// encode makes the report of a failed operation, which the stage writes to its
// parent. A pipe that ends without one means that init was executed.
func encode(f hold.Failure) [reportSize]byte {
	var b [reportSize]byte
	binary.NativeEndian.PutUint32(b[0:], f.Index)
	binary.NativeEndian.PutUint32(b[4:], f.Errno)
	if f.Interpreter {
		b[8] = 1
	}
	return b
}

func decode(b []byte) hold.Failure {
	return hold.Failure{
		Entered: true, Index: binary.NativeEndian.Uint32(b[0:]),
		Errno: binary.NativeEndian.Uint32(b[4:]), Interpreter: b[8] == 1,
	}
}

// errnoOf finds the errno in err; an error without one counts as EINVAL.
func errnoOf(err error) uint32 {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return uint32(errno)
	}
	return uint32(unix.EINVAL)
}
