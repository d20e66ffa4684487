package control

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"virtlxcd/adapters/control/wire"
	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
	"virtlxcd/ports/hold"
)

// Controller implements ports.Controller over one connection.
type Controller struct {
	ref    container.Controller
	conn   *net.UnixConn
	parent *Controllers
	log    *slog.Logger
	// complaints is the log of the container it was launched for; set before
	// anybody else knows the controller. Nil for an adopted one.
	complaints *os.File
	reports    chan ports.Report
	done       chan struct{} // closed when the connection has ended
	quit       func()        // closes quitting; may be called again
	quitting   chan struct{} // closed by Close: nobody reads reports any more

	mu      sync.Mutex              // guards what follows
	network *os.File                // a namespace made ahead for the first container; nil: none
	held    map[container.UUID]bool // by what it said, see count
	waiting map[container.UUID]question
	closed  bool
}

// pendingReports is how many reports may lie unread before replies wait too. A
// container that restarts without end can fill it; the controller then keeps the
// others until there is room.
// Reports are repeated until acknowledged, so that a full channel loses none of them.
const pendingReports = 1024

// It takes conn over and starts the reader, which Close waits for.
func newController(ref container.Controller, conn *net.UnixConn, parent *Controllers) *Controller {
	c := &Controller{
		ref: ref, conn: conn, parent: parent, log: parent.log.With("controller", ref.PID),
		reports: make(chan ports.Report, pendingReports), done: make(chan struct{}),
		waiting: map[container.UUID]question{}, held: map[container.UUID]bool{},
	}
	c.quitting = make(chan struct{})
	c.quit = sync.OnceFunc(func() { close(c.quitting) })
	go c.receive()
	return c
}

// Ref implements ports.Controller.
func (c *Controller) Ref() container.Controller { return c.ref }

// Reports implements ports.Controller.
func (c *Controller) Reports() <-chan ports.Report { return c.reports }

// Close implements ports.Controller. It waits for the reader. Requests that wait
// get NotFound, reports that nobody has read are lost here and kept there.
// A second call is fine. The controller sees the hang-up: one that holds containers
// waits for the next daemon, one that holds none ends.
func (c *Controller) Close() error {
	c.mu.Lock()
	c.closed = true
	network := c.network
	c.network = nil
	if len(c.held) == 0 {
		c.parent.young.leave(c.ref.PID)
	}
	c.mu.Unlock()
	c.quit()
	err := c.conn.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil // it hung up first, or this is the second time
	}
	<-c.done
	closeFiles([]*os.File{c.complaints, network})
	c.parent.spare.refill()
	return err
}

// isGone says whether the connection has ended, from either side.
// A process that died is not known to be gone before the reader has seen the end.
func (c *Controller) isGone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// receive passes messages on until the connection ends.
// One byte more than a message has room for makes a longer packet visible: it does not
// decode. Nothing that follows a damaged message can be trusted, so it hangs up.
func (c *Controller) receive() {
	defer close(c.done)
	defer c.ended()
	packet, rights := make([]byte, wire.Size+1), make([]byte, unix.CmsgSpace(4*wire.MaxFiles))
	for {
		n, rightsLength, _, _, err := c.conn.ReadMsgUnix(packet, rights)
		fds := descriptors(rights[:rightsLength])
		if err != nil || n == 0 {
			closeAll(fds) // an empty packet looks like the end and may bring some
			return
		}
		m, err := wire.Decode(packet[:n], fds)
		if err != nil {
			closeAll(fds)
			c.log.Error("the controller sent a damaged message; hanging up", "error", err)
			return
		}
		c.dispatch(m)
	}
}

// descriptors finds those that came with a packet.
// What cannot be parsed has no descriptors that could be closed.
func descriptors(rights []byte) (fds []int) {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return nil
	}
	for i := range messages {
		if some, err := unix.ParseUnixRights(&messages[i]); err == nil {
			fds = append(fds, some...)
		}
	}
	return fds
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// dispatch hands a reply to who waits for it and queues a report.
// It runs in the reader alone, so reports keep their order. It waits only for room in
// the channel of reports, and not after Close has begun.
func (c *Controller) dispatch(m *hold.Message) {
	c.count(m)
	if kind, isReport := reportKinds[m.Kind]; isReport {
		report := ports.Report{Number: m.Number, Container: m.UUID, Kind: kind, Exit: m.Exit, Held: held(m)}
		if m.Failure.Failed() {
			report.Failure = stepError(m.Failure)
		}
		select {
		case c.reports <- report:
		case <-c.quitting:
			closeHeld(&report.Held)
		}
		return
	}
	c.mu.Lock()
	asked, waits := c.waiting[m.UUID]
	if waits = waits && asked.takes(m.Kind); waits {
		delete(c.waiting, m.UUID)
		asked.reply <- m // has room; with the lock held, so that who gives up finds it
	}
	c.mu.Unlock()
	if !waits {
		release(m) // whoever asked has given up
	}
}

// question is a request that waits for its answer.
// There is one for each container at most, as reply has room for one message.
type question struct {
	kind  hold.Kind
	reply chan *hold.Message // closed if the connection ends first
}

// answers says which request a reply is for. Unknown is for all.
// A reply that is not in it can be given to any request, since only Unknown is left.
var answers = map[hold.Kind]hold.Kind{
	hold.Begun: hold.Begin, hold.NotBegun: hold.Begin, hold.Running: hold.Proceed, hold.NotRun: hold.Proceed,
	hold.Abandoned: hold.Abandon, hold.Reclaimed: hold.Reclaim, hold.Restored: hold.Restore,
}

// takes is false for the late answer to an earlier request about the container that
// was given up: a start that took too long is abandoned at once.
func (q question) takes(reply hold.Kind) bool {
	request, known := answers[reply]
	return !known || request == q.kind
}

// Messages of the other kinds are replies.
var reportKinds = map[hold.Kind]ports.ReportKind{
	hold.Exited: ports.ReportExited, hold.Restarted: ports.ReportRestarted,
	hold.NeedsLinks: ports.ReportRestartNeedsLinks, hold.RestartFailed: ports.ReportRestartFailed,
}

// count keeps track of what the controller holds.
// What counts is what the controller says, not what was asked of it: a request whose
// answer never came may have been carried out. It decides only whether Close expects
// the process to end.
func (c *Controller) count(m *hold.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch m.Kind {
	case hold.Begun, hold.Reclaimed, hold.Restored:
		c.held[m.UUID] = true
	case hold.NotRun, hold.Abandoned, hold.Exited, hold.RestartFailed:
		delete(c.held, m.UUID)
	}
}

// ended tells everybody who waits and removes the socket of a controller that died.
// One that hung up on us, or sent what we could not read, may hold containers still,
// and another daemon may have taken our place.
// It runs in the reader, last. The channel of reports is closed in any case: that is
// how the use cases learn that a controller is gone.
func (c *Controller) ended() {
	c.mu.Lock()
	ours := c.closed
	c.closed = true
	for uuid, asked := range c.waiting {
		close(asked.reply)
		delete(c.waiting, uuid)
	}
	c.mu.Unlock()
	defer close(c.reports)
	if ours {
		return
	}
	c.conn.Close()
	if isEnding(c.ref.PID, c.ref.Start) {
		os.Remove(c.ref.Socket)
	}
}

// ask sends a request and waits for the answer. The descriptors stay ours. Of
// two requests about one container only the later gets an answer: the job gate
// lets but one through. NotFound: the controller is gone; Aborted: ctx ended, and
// what the controller does with the request is not known.
// The descriptors of the answer are the caller's. With an error there are none.
func (c *Controller) ask(ctx context.Context, m *hold.Message) (*hold.Message, error) {
	waiter := make(chan *hold.Message, 1)
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, c.gone()
	}
	c.waiting[m.UUID] = question{m.Kind, waiter}
	c.mu.Unlock()
	if err := c.send(m); err != nil {
		c.forget(m.UUID)
		return nil, err
	}
	select {
	case reply, ok := <-waiter:
		if !ok {
			return nil, c.gone()
		}
		return reply, nil
	case <-ctx.Done():
		c.forget(m.UUID)
		select {
		case reply, ok := <-waiter: // it came in the same moment
			if ok {
				release(reply)
			}
		default:
		}
		return nil, fault.Wrap(ctx.Err(), fault.Aborted, "controller %d did not answer", c.ref.PID)
	}
}

// An answer that comes later finds nobody, and its descriptors are closed.
func (c *Controller) forget(uuid container.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, uuid)
}

// gone is the error of every request once the connection has ended.
func (c *Controller) gone() error {
	return fault.New(fault.NotFound, fault.Driver, "controller %d is gone", c.ref.PID)
}

// send writes one packet. It waits in Go's poller while the controller does not read.
// It may be called by several goroutines: a packet is written whole or not at all.
func (c *Controller) send(m *hold.Message) error {
	packet, fds := wire.Append(make([]byte, 0, wire.Size), nil, m)
	if len(fds) > wire.MaxFiles {
		return fault.New(fault.UnsupportedConfig, fault.Driver,
			"the container needs %d descriptors and at most %d can be handed over: it has too many consoles or files", len(fds), wire.MaxFiles)
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	_, _, err := c.conn.WriteMsgUnix(packet, rights, nil)
	switch {
	case errors.Is(err, unix.EPIPE), errors.Is(err, unix.ECONNRESET), errors.Is(err, net.ErrClosed):
		return c.gone()
	case err != nil:
		return fault.Wrap(err, fault.System, "cannot reach controller %d", c.ref.PID)
	}
	return nil
}
