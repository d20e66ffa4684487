package control

import (
	"os"

	"golang.org/x/sys/unix"

	"virtlxcd/ports"
	"virtlxcd/ports/hold"
)

// number is the descriptor of a file that may be absent.
// The file must stay open until the message was sent.
func number(file *os.File) hold.FD {
	if file == nil {
		return hold.None
	}
	return hold.FD(descriptor(file))
}

// descriptor is file.Fd without its side effect: Fd makes the open file
// blocking, also for everybody it is shared with.
func descriptor(file *os.File) (fd int) {
	raw, err := file.SyscallConn()
	if err != nil {
		return -1
	}
	if err := raw.Control(func(number uintptr) { fd = int(number) }); err != nil {
		return -1
	}
	return fd
}

// numbers are the descriptors of files that are all there. They stay the files'.
func numbers(files []*os.File) []hold.FD {
	list := make([]hold.FD, 0, len(files))
	for _, file := range files {
		list = append(list, number(file))
	}
	return list
}

// file takes a received descriptor over; nil for none. name is what errors show.
// Whoever gets the file closes it; a received descriptor has no other owner.
func file(fd hold.FD, name string) *os.File {
	if fd == hold.None {
		return nil
	}
	return os.NewFile(uintptr(fd), name)
}

// files takes a list over, in its order.
func files(fds []hold.FD, name string) []*os.File {
	list := make([]*os.File, 0, len(fds))
	for _, fd := range fds {
		list = append(list, file(fd, name))
	}
	return list
}

// held takes the descriptors of a message over, those that Begun, Reclaimed and the
// reports of restarts bring. The receiver closes them.
func held(m *hold.Message) ports.Held {
	return ports.Held{
		PID: m.PID, Start: m.Start, Process: file(m.Files.Process, "pidfd"), Network: file(m.Files.Network, "net"),
		Terminals: files(m.Files.Terminals, "guest terminal"), Hosts: files(m.Files.Hosts, "host terminal"),
		Plan: file(m.Files.Plan, "plan"),
	}
}

// closeHeld closes all of them; some may be missing.
// Nobody else may have got any of them.
func closeHeld(h *ports.Held) {
	closeFiles([]*os.File{h.Process, h.Network, h.Plan})
	closeFiles(h.Terminals)
	closeFiles(h.Hosts)
}

// closeFiles closes those that are there.
func closeFiles(list []*os.File) {
	for _, file := range list {
		if file != nil {
			file.Close()
		}
	}
}

// release closes the descriptors of a message nobody wants.
func release(m *hold.Message) {
	m.Files.Each(func(fd hold.FD) { unix.Close(int(fd)) })
}

// duplicates copies descriptors; on failure none is left. The copies share their
// open files (dup(2)) and close on exec.
// Host terminals are copied because an order's files stay the caller's, and what is
// held is the receiver's.
func duplicates(list []*os.File) ([]*os.File, error) {
	copies := make([]*os.File, 0, len(list))
	for _, original := range list {
		fd, err := unix.FcntlInt(uintptr(descriptor(original)), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			closeFiles(copies)
			return nil, err
		}
		copies = append(copies, os.NewFile(uintptr(fd), original.Name()))
	}
	return copies, nil
}
