package fakes

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"syscall"

	"virtlxcd/ports"
)

// terminal is a host terminal. Until a controller holds its master, bytes go through a
// socket pair between the master and Attach; from then on, in memory. It is there while
// a controller holds it or a descriptor of its master is open. Once a controller has
// held it, it stays in memory, also between two controllers.
type terminal struct {
	host    *Host
	path    string
	slave   *os.File // other end of the master
	taken   bool     // a controller has held it
	over    bool     // its container has ended: streams end when they are empty
	holder  *guest   // nil: nobody forwards
	console int      // number in the holder
	ring    []byte   // written by the guest, read by nobody yet
	stuck   []byte   // written by the guest while nobody forwards
	typed   []byte   // written by clients, not read by the guest yet
}

// Sizes as real terminals and controllers have them. A pseudoterminal takes 4 KiB
// (N_TTY_BUF_SIZE of the kernel).
const (
	ringSize  = 64 << 10 // the tail of what nobody read
	stuckSize = 4 << 10  // then the guest would block; here the tail is kept too
	typedSize = 4 << 10  // then a writing client blocks
)

// Terminals opens host terminals.
type Terminals struct{ host *Host }

// NewTerminals returns the port.
func NewTerminals(host *Host) *Terminals { return &Terminals{host} }

// Open makes a terminal whose path is /dev/pts/N, the lowest free N. Numbers are used
// again as those of devpts are, after the terminal is gone.
func (s *Terminals) Open(ctx context.Context) (made ports.Terminal, err error) {
	h := s.host
	err = h.do(ctx, "Terminals.Open", func() error {
		h.forgetTerminals()
		master, slave, err := pair()
		if err != nil {
			return refused(syscall.EMFILE, "cannot open a terminal")
		}
		n := 0
		for h.terms[ptsPath(n)] != nil {
			n++
		}
		t := &terminal{host: h, path: ptsPath(n), slave: slave}
		h.terms[t.path] = t
		made = ports.Terminal{Path: t.path, Master: h.record(master, "master of "+t.path, t)}
		return nil
	})
	if made.Master, err = kept(made.Master, err); err != nil {
		made.Path = ""
	}
	return made, err
}

// ptsPath is like that of devpts.
func ptsPath(n int) string { return fmt.Sprintf("/dev/pts/%d", n) }

// forgetTerminals drops those that nobody has any more. Nobody tells the Host of a
// master that was closed, so each look at the terminals begins with this. Streams that
// read from it have ended with the master.
func (h *Host) forgetTerminals() {
	for path, t := range h.terms {
		if t.holder == nil && !h.isOpen(t) {
			_ = t.slave.Close()
			delete(h.terms, path)
		}
	}
}

// Attach returns a stream; several share the bytes. Before a controller held it each is
// a duplicate of the slave, afterwards one in memory. ENOENT if it is gone.
func (s *Terminals) Attach(ctx context.Context, path string) (stream io.ReadWriteCloser, err error) {
	h := s.host
	err = h.do(ctx, "Terminals.Attach", func() error {
		h.forgetTerminals()
		t := h.terms[path]
		if t == nil {
			return refused(syscall.ENOENT, "cannot open '%s'", path)
		}
		if t.taken {
			stream = h.newStream(t)
			return nil
		}
		file, err := duplicate(t.slave)
		if err != nil {
			return refused(syscall.EMFILE, "cannot open '%s'", path)
		}
		stream = h.record(file, "stream on "+path, nil)
		return nil
	})
	return kept(stream, err)
}

// hold makes the terminal the console of a guest. What the guest wrote while nobody
// forwarded comes now, as from a buffer that is emptied.
func (t *terminal) hold(g *guest, console int) {
	t.taken, t.over, t.holder, t.console = true, false, g, console
	stuck := t.stuck
	t.stuck = nil
	t.fromGuest(string(stuck))
}

// fromGuest takes what the guest wrote; the oldest of too much is lost. It never
// blocks: the host is locked.
func (t *terminal) fromGuest(text string) {
	if t.holder == nil {
		t.stuck = tail(append(t.stuck, text...), stuckSize)
		return
	}
	t.ring = tail(append(t.ring, text...), ringSize)
	t.host.wake()
}

// tail keeps the last bytes.
func tail(text []byte, size int) []byte { return text[max(0, len(text)-size):] }

// line takes a whole line of what was typed. Both ends of line count. So "\r\n" gives
// an empty line after the other, which hear ignores.
func (t *terminal) line() (line string, ok bool) {
	end := bytes.IndexAny(t.typed, "\r\n")
	if end < 0 {
		return "", false
	}
	line = string(t.typed[:end])
	t.typed = t.typed[end+1:]
	return line, true
}

// stream is a client's end of a terminal in memory. Its fields are guarded by the
// Host's lock.
type stream struct {
	terminal *terminal
	use      *use
	closed   bool
}

// newStream counts as open until it is closed or the daemon dies.
func (h *Host) newStream(t *terminal) *stream {
	s := &stream{terminal: t}
	s.use = &use{what: "stream on " + t.path, end: func() { s.closed = true }}
	h.uses[s.use] = true
	return s
}

// Read waits for output. After the end of the container it returns what is left, then
// io.EOF. Bytes go to whichever stream reads first, as with two readers of one
// terminal. It has no context: Close ends it.
func (s *stream) Read(into []byte) (n int, err error) {
	t, h := s.terminal, s.terminal.host
	h.mu.Lock()
	defer h.mu.Unlock()
	_ = h.wait(context.Background(), func() bool { return s.closed || t.over || len(t.ring) > 0 })
	switch {
	case s.closed:
		return 0, os.ErrClosed
	case len(t.ring) == 0:
		return 0, io.EOF
	}
	n = copy(into, t.ring)
	t.ring = t.ring[n:]
	return n, nil
}

// Write waits while the guest has not read what was typed before. It writes all or says
// how much went, os.ErrClosed after Close and io.ErrClosedPipe after the end of the
// container. A guest that can read does so within the call.
func (s *stream) Write(from []byte) (n int, err error) {
	t, h := s.terminal, s.terminal.host
	h.mu.Lock()
	defer h.mu.Unlock()
	for n < len(from) {
		_ = h.wait(context.Background(), func() bool { return s.closed || t.over || len(t.typed) < typedSize })
		if s.closed {
			return n, os.ErrClosed
		}
		if t.over {
			return n, io.ErrClosedPipe
		}
		room := min(len(from)-n, typedSize-len(t.typed))
		t.typed = append(t.typed, from[n:n+room]...)
		n += room
		if t.holder != nil {
			h.readConsoles(t.holder)
		}
	}
	return n, nil
}

// Close unblocks readers and writers. It may be called twice. The terminal and its
// other streams stay.
func (s *stream) Close() error {
	h := s.terminal.host
	h.look(func() {
		s.closed = true
		delete(h.uses, s.use)
		h.wake()
	})
	return nil
}
