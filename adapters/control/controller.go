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

	mu      sync.Mutex // guards what follows
	network *os.File   // a namespace made ahead for the first container; nil: none
	held    map[container.UUID]bool
	waiting map[container.UUID]chan *hold.Message
	closed  bool
}

// pendingReports is how many reports may lie unread before replies wait too.
// A controller reports a container's end once, so this is never reached.
const pendingReports = 1024

func newController(ref container.Controller, conn *net.UnixConn, parent *Controllers) *Controller {
	c := &Controller{
		ref: ref, conn: conn, parent: parent, log: parent.log.With("controller", ref.PID),
		reports: make(chan ports.Report, pendingReports), done: make(chan struct{}),
		waiting: map[container.UUID]chan *hold.Message{}, held: map[container.UUID]bool{},
	}
	go c.receive()
	return c
}

// Ref implements ports.Controller.
func (c *Controller) Ref() container.Controller { return c.ref }

// Reports implements ports.Controller.
func (c *Controller) Reports() <-chan ports.Report { return c.reports }

// Close implements ports.Controller. It waits for the reader.
func (c *Controller) Close() error {
	c.mu.Lock()
	c.closed = true
	network := c.network
	c.network = nil
	if len(c.held) == 0 {
		c.parent.young.leave(c.ref.PID)
	}
	c.mu.Unlock()
	err := c.conn.Close()
	<-c.done
	closeFiles([]*os.File{c.complaints, network})
	c.parent.spare.refill()
	return err
}

// isGone says whether the connection has ended.
func (c *Controller) isGone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// receive passes messages on until the connection ends.
func (c *Controller) receive() {
	defer close(c.done)
	defer c.ended()
	packet, rights := make([]byte, wire.Size+1), make([]byte, unix.CmsgSpace(4*wire.MaxFiles))
	for {
		n, rightsLength, _, _, err := c.conn.ReadMsgUnix(packet, rights)
		if err != nil || n == 0 {
			return
		}
		fds := descriptors(rights[:rightsLength])
		m, err := wire.Decode(packet[:n], fds)
		if err != nil {
			closeAll(fds)
			c.log.Error("the controller sent a damaged message; hanging up", "error", err)
			return
		}
		c.dispatch(m)
	}
}

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
func (c *Controller) dispatch(m *hold.Message) {
	c.count(m)
	if kind, isReport := reportKinds[m.Kind]; isReport {
		report := ports.Report{Number: m.Number, Container: m.UUID, Kind: kind, Exit: m.Exit, Held: held(m)}
		if m.Failure.Failed() {
			report.Failure = stepError(m.Failure)
		}
		c.reports <- report
		return
	}
	c.mu.Lock()
	waiter := c.waiting[m.UUID]
	delete(c.waiting, m.UUID)
	c.mu.Unlock()
	if waiter == nil {
		release(m) // whoever asked has given up
		return
	}
	waiter <- m
}

var reportKinds = map[hold.Kind]ports.ReportKind{
	hold.Exited: ports.ReportExited, hold.Restarted: ports.ReportRestarted,
	hold.NeedsLinks: ports.ReportRestartNeedsLinks, hold.RestartFailed: ports.ReportRestartFailed,
}

// count keeps track of what the controller holds.
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

// ended tells everybody who waits and removes the socket of a controller that
// hung up.
func (c *Controller) ended() {
	c.mu.Lock()
	ours := c.closed
	c.closed = true
	for uuid, waiter := range c.waiting {
		close(waiter)
		delete(c.waiting, uuid)
	}
	c.mu.Unlock()
	close(c.reports)
	if ours {
		return
	}
	c.conn.Close()
	os.Remove(c.ref.Socket)
}

// ask sends a request and waits for the answer. The descriptors stay ours.
func (c *Controller) ask(ctx context.Context, m *hold.Message) (*hold.Message, error) {
	waiter := make(chan *hold.Message, 1)
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, c.gone()
	}
	c.waiting[m.UUID] = waiter
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
		return nil, fault.Wrap(ctx.Err(), fault.Aborted, "controller %d did not answer", c.ref.PID)
	}
}

func (c *Controller) forget(uuid container.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, uuid)
}

func (c *Controller) gone() error {
	return fault.New(fault.NotFound, fault.Driver, "controller %d is gone", c.ref.PID)
}

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
	case errors.Is(err, unix.EPIPE), errors.Is(err, unix.ECONNRESET):
		return c.gone()
	case err != nil:
		return fault.Wrap(err, fault.System, "cannot reach controller %d", c.ref.PID)
	}
	return nil
}
