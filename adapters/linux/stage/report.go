// Package stage starts first processes: Prepare in the controller, then a small
// program in the new namespaces, the stage, which carries out Enter and becomes
// init. Controller and stage are the same binary.
//
// The two run side by side. What Prepare opened travels over a socket when it is
// all there; the stage waits for it at the first operation that uses a slot, and
// then at Wait for the go-ahead on the same socket. The other way goes a pipe with
// reports, which exec closes:
//
//	controller                        stage
//	clone, with all descriptors  -->  Join ...
//	Prepare, slots               -->  Pivot ... (first slot)
//	Begun to the daemon
//	Release                      -->  Wait ... Exec
//	Outcome: Executing, Gone     <--  report of success, closed by exec
//	Outcome: Stuck, Gone         <--  report of a failure, end with status 1
//	Outcome: Gone                <--  it was killed
//
// Either may die at any point: the stage then reads the end of the socket
// (ECANCELED), the controller that of the pipe.
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
// that follow are its arguments: "libvirt_lxc stage 2 1" has two tasks files from
// firstTaskFD on, and one file for init behind them. Until Session, 0 is /dev/null,
// 1 and 2 are the container's log.
const (
	planFD = 3 + iota
	imageFD
	reportFD
	goFD
	networkFD
	firstTaskFD
)

// reportSize is two numbers of 32 bits and one flag, padded to a third.
const reportSize = 12

// noOperation is the Index of a failure that belongs to no operation: the process
// could not be made, or could not begin.
const noOperation = 1<<32 - 1

// encode makes the report of a failed operation, which the stage writes to its
// parent; without an Errno it says that exec comes next. A pipe that ends after
// that one means that init was executed, a pipe that ends without any that the
// stage died.
func encode(f hold.Failure) [reportSize]byte {
	var b [reportSize]byte
	binary.NativeEndian.PutUint32(b[0:], f.Index)
	binary.NativeEndian.PutUint32(b[4:], f.Errno)
	if f.Interpreter {
		b[8] = 1
	}
	return b
}

// decode is the reverse for reportSize bytes: all that a stage reports is of Enter.
// An index of noOperation is passed on as it is: no plan has an operation of that number.
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
