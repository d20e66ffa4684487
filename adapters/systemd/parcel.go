package systemd

import (
	"bytes"
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// A parcel is a socket in which one message waits for ever: the descriptors of a
// container and a list of what they are. Whoever holds the socket holds them; it
// can be looked into any number of times. The list has a letter for each, and
// for each console that has none: "pnlghGh" is a container with its own network and two
// consoles, of which the guest's end of the second is not there.
const (
	processLetter = 'p'
	networkLetter = 'n'
	planLetter    = 'l'
	guestLetter   = 'g' // the master of a guest terminal, by console
	noGuestLetter = 'G'
	hostLetter    = 'h' // of a host terminal, by console
	noHostLetter  = 'H'
)

const (
	// mostFiles is what one message can carry (SCM_MAX_FD).
	mostFiles = 253
	// longestList is the length of a list, in bytes, that is looked at.
	longestList = 4 << 10
)

// seal packs duplicates. The receiver closes the parcel. Failed for a container with more
// consoles than one message can carry, System if the kernel has no room. The writing end is
// closed at once: the message stays readable, and nobody can add another.
func seal(held ports.Held) (_ *os.File, err error) {
	list, files := pack(held)
	if held.Process == nil || len(files) > mostFiles || len(list) > longestList {
		return nil, fault.New(fault.Failed, fault.Host, "cannot keep %d descriptors of a container together", len(files))
	}
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fault.Wrap(err, fault.System, "cannot keep descriptors of a container together")
	}
	defer unix.Close(ends[0])
	parcel := os.NewFile(uintptr(ends[1]), "parcel")
	// One message for all: it is there as a whole or not at all.
	err = numbers(files, func(fds []int) error {
		return unix.Sendmsg(ends[0], list, unix.UnixRights(fds...), nil, unix.MSG_NOSIGNAL)
	})
	if err != nil {
		return nil, errors.Join(fault.Wrap(err, fault.System, "cannot keep descriptors of a container together"), parcel.Close())
	}
	return parcel, nil
}

// pack lists what there is, in the order that unpack expects. Consoles count by their
// place, so one that is missing has to be said.
func pack(held ports.Held) (list []byte, files []*os.File) {
	add := func(file *os.File, there, missing byte) {
		switch {
		case file != nil:
			list, files = append(list, there), append(files, file)
		case missing != 0:
			list = append(list, missing)
		}
	}
	add(held.Process, processLetter, 0)
	add(held.Network, networkLetter, 0)
	add(held.Plan, planLetter, 0)
	for _, file := range held.Terminals {
		add(file, guestLetter, noGuestLetter)
	}
	for _, file := range held.Hosts {
		add(file, hostLetter, noHostLetter)
	}
	return list, files
}

// numbers calls do with the numbers of files, none of which can be closed meanwhile: it
// enters one Control after the other and is inside of all when it calls do. The depth is
// that of the files, 253 at most.
func numbers(files []*os.File, do func(fds []int) error) error {
	var within func(fds []int) error
	within = func(fds []int) error {
		if len(fds) == len(files) {
			return do(fds)
		}
		conn, err := files[len(fds)].SyscallConn()
		if err != nil {
			return err
		}
		closed := conn.Control(func(fd uintptr) { err = within(append(fds, int(fd))) })
		return errors.Join(closed, err)
	}
	return within(make([]int, 0, len(files)))
}

// unseal hands out duplicates and leaves parcel as it is. PID and Start are asked of the
// process descriptor, as numbers in the list would be old.
func unseal(parcel *os.File) (ports.Held, error) {
	text, files, err := look(parcel)
	var held ports.Held
	if err == nil {
		held, err = unpack(text, files)
	}
	if err == nil {
		held.PID, held.Start, err = identify(held.Process)
	}
	if err != nil {
		return ports.Held{}, errors.Join(err, closeAll(files))
	}
	return held, nil
}

// look takes text and descriptors out of the message, which stays (MSG_PEEK of recv(2)):
// the next daemon may need it as well. Descriptors come also with an error; the caller
// closes them. A message that was cut is an error: what was cut off is gone.
func look(parcel *os.File) (text []byte, files []*os.File, err error) {
	conn, err := parcel.SyscallConn()
	if err != nil {
		return nil, nil, fault.Wrap(err, fault.Internal, "cannot look into a parcel")
	}
	text, rights := make([]byte, longestList), make([]byte, unix.CmsgSpace(4*mostFiles))
	var size, more, flags int
	closed := conn.Control(func(fd uintptr) {
		size, more, flags, _, err = unix.Recvmsg(int(fd), text, rights, unix.MSG_PEEK|unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
	})
	if err = errors.Join(closed, err); err != nil {
		return nil, nil, fault.Wrap(err, fault.Failed, "cannot look into a parcel")
	}
	// Descriptors first: also those of a bad message have to be closed.
	if files, err = received(rights[:more]); err == nil && flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		err = fault.New(fault.Failed, fault.Host, "a parcel is larger than any should be")
	}
	return text[:size], files, err
}

// received are the descriptors that came with a message, as files that close on exec.
func received(rights []byte) (files []*os.File, err error) {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return nil, fault.Wrap(err, fault.Failed, "cannot look into a parcel")
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue // no descriptors; those that lack will be noticed
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "kept "+strconv.Itoa(fd)))
		}
	}
	return files, nil
}

// unpack is the inverse of pack, and to pack again what it made is how it checks: what
// differs in any way was not made by this version. On failure the files stay the caller's.
func unpack(list []byte, files []*os.File) (held ports.Held, err error) {
	rest := files
	for _, letter := range list {
		var file *os.File
		if letter != noGuestLetter && letter != noHostLetter && len(rest) > 0 {
			file, rest = rest[0], rest[1:]
		}
		switch {
		case letter == processLetter && held.Process == nil:
			held.Process = file
		case letter == networkLetter && held.Network == nil:
			held.Network = file
		case letter == planLetter && held.Plan == nil:
			held.Plan = file
		case letter == guestLetter, letter == noGuestLetter:
			held.Terminals = append(held.Terminals, file)
		case letter == hostLetter, letter == noHostLetter:
			held.Hosts = append(held.Hosts, file)
		default:
			return ports.Held{}, fault.New(fault.Failed, fault.Host, "a parcel lists '%c'", letter)
		}
	}
	again, used := pack(held)
	if held.Process == nil || len(used) != len(files) || !bytes.Equal(again, list) {
		return ports.Held{}, fault.New(fault.Failed, fault.Host, "a parcel lists others than its %d descriptors", len(files))
	}
	return held, nil
}

// closeAll closes what came with a parcel that is of no use. All are closed, whatever
// each says.
func closeAll(files []*os.File) error {
	var errs []error
	for _, file := range files {
		errs = append(errs, file.Close())
	}
	return errors.Join(errs...)
}
