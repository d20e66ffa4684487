package fakes

import (
	"errors"
	"os"
	"slices"
)

// handed is a descriptor that was given away. The thing may be nil: a descriptor that
// stands for nothing but itself.
type handed struct {
	what string
	of   any // the thing behind it: *process, *netns, *terminal, *guest
}

// use is something else that must be closed: a stream, a process handle, a connection
// to a controller. It is no os.File whose state could be asked for, so its Close has to
// tell.
type use struct {
	what string
	end  func() // as the death of the daemon ends it; the host is locked
}

// hand makes a descriptor that stands for a thing. The read end of a pipe does: it is
// unique, it can be told when it is closed, and it reads as empty. The writing end is
// closed at once, so a Read that should never happen returns io.EOF instead of hanging.
// Ports that get it back, in an order or in a call, learn by behind what is meant.
func (h *Host) hand(what string, of any) *os.File {
	reader, writer, err := os.Pipe()
	if err != nil {
		panic("fakes: no descriptors left: " + err.Error())
	}
	_ = writer.Close()
	return h.record(reader, what, of)
}

// record remembers a descriptor until its owner closes it. It is listed by OpenFiles
// from then on. The finalizer of a file that was lost does not run, as the map holds
// it: so a leak is seen.
func (h *Host) record(file *os.File, what string, of any) *os.File {
	h.handed[file] = &handed{what: what, of: of}
	return file
}

// kept returns a result, unless an injected fault struck after it was made: then it is
// closed, since the caller will not do it. It must be called without the lock: closing
// takes it.
func kept[T interface{ Close() error }](made T, err error) (T, error) {
	if err == nil {
		return made, nil
	}
	if any(made) != nil {
		_ = made.Close()
	}
	var none T
	return none, err
}

// behind returns the thing that a descriptor stands for, nil if it is closed or none of
// ours. A duplicate counts as the original. Duplicates are found by device and inode,
// which pipes and socket pairs have of their own (pipe(7), socket(7)).
func (h *Host) behind(file *os.File) any {
	if file == nil {
		return nil
	}
	info, err := file.Stat()
	if err != nil {
		return nil
	}
	if known, ok := h.handed[file]; ok {
		return known.of
	}
	for other, known := range h.handed {
		if same, err := other.Stat(); err == nil && os.SameFile(info, same) {
			return known.of
		}
	}
	return nil
}

// forgetClosed drops descriptors that their owners have closed. It is called before
// every look at the map, since nobody tells the Host of a Close.
func (h *Host) forgetClosed() {
	for file := range h.handed {
		if _, err := file.Stat(); errors.Is(err, os.ErrClosed) {
			delete(h.handed, file)
		}
	}
}

// isOpen says whether some descriptor of the thing is still open. What is in escrow
// counts: its service manager has a duplicate. Namespaces and terminals live by this.
func (h *Host) isOpen(of any) bool {
	h.forgetClosed()
	for _, known := range h.handed {
		if known.of == of {
			return true
		}
	}
	return h.escrows(of)
}

// OpenFiles lists what was handed out and not closed: descriptors, streams, process
// handles, connections. Sorted. A test that compares it with the start finds what a use
// case forgot to close.
func (h *Host) OpenFiles() (open []string) {
	h.look(func() { open = h.openFiles() })
	return open
}

// openFiles is OpenFiles with the host locked.
func (h *Host) openFiles() (open []string) {
	h.forgetClosed()
	for _, known := range h.handed {
		open = append(open, known.what)
	}
	for u := range h.uses {
		open = append(open, u.what)
	}
	slices.Sort(open)
	return open
}

// KillDaemon closes all that was handed out, as the kernel does when the daemon dies.
// Make a new driver afterwards; nothing else on the host is changed. Starts that were
// not let go on are abandoned, as their controllers notice. Leave the old driver alone
// from then on: its connections are cut.
func (h *Host) KillDaemon() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hangUp()
}

// hangUp closes everything. What ends a use may not look at the map of uses, so each is
// taken out first. Names that were reserved are free: the reservation was the daemon's.
// Terminals and namespaces that hung on descriptors alone vanish at the next look.
func (h *Host) hangUp() {
	for file := range h.handed {
		_ = file.Close() // its owner may have closed it
	}
	h.forgetClosed()
	for u := range h.uses {
		delete(h.uses, u)
		u.end()
	}
	h.reserved = map[string]bool{}
	h.wake()
}
