package driver

import (
	"sync"

	"virtlxcd/ports"
)

// note is one thing that a controller told about a container, or its loss.
// holder is who sent it and gets the acknowledgement: after a rehousing not the
// one that the run has now.
type note struct {
	report ports.Report
	holder *holder
	lost   bool // no report: the controller is gone
}

// final says that the container has ended. A loss is not final: init may run on
// without its controller.
func (n *note) final() bool {
	return n.report.Kind == ports.ReportExited || n.report.Kind == ports.ReportRestartFailed
}

// inbox keeps what happened to a container until a job deals with it. Reports
// wait here and not in the controller's channel, so that one container with a
// long job holds up no other. Its mutex is a leaf.
type inbox struct {
	// ended is closed by the first final note.
	ended chan struct{}
	// stir holds a token after any other note, for a job that waits for the
	// end. One token is enough: whoever takes it asks condition for the rest.
	stir chan struct{}

	mu      sync.Mutex
	notes   []note // oldest first
	working bool   // somebody empties it or is about to
	// Set by close, once and for all: the run is over or the daemon is.
	shut    bool
	over    bool // ended is closed
	lost    bool // the present controller is gone
	linking bool // a restart waits for its links
}

// newInbox is open and empty.
func newInbox() inbox {
	return inbox{ended: make(chan struct{}), stir: make(chan struct{}, 1)}
}

// push adds n. Worker: the caller must see to it that the inbox is emptied. A
// shut inbox does not accept. lost and linking describe the newest note alone:
// it outdates what came before.
func (b *inbox) push(n note) (accepted, worker bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shut {
		return false, false
	}
	b.notes = append(b.notes, n)
	b.lost = n.lost
	b.linking = n.report.Kind == ports.ReportRestartNeedsLinks
	switch {
	case n.final() && !b.over:
		b.over = true
		close(b.ended)
	case !n.final():
		select {
		case b.stir <- struct{}{}:
		default:
		}
	}
	worker = !b.working
	b.working = true
	return true, worker
}

// next takes the oldest note; without one the worker is released. working falls
// here, under the same lock under which push looks at it: a note that comes now
// has a worker of its own.
func (b *inbox) next() (n note, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.notes) == 0 {
		b.working = false
		return note{}, false
	}
	n = b.notes[0]
	b.notes = b.notes[1:]
	if len(b.notes) == 0 {
		select { // whoever waits next waits for news
		case <-b.stir:
		default:
		}
	}
	return n, true
}

// close refuses further notes and returns those that nobody dealt with. The
// caller gives them up with discard, or only closes their files where the next
// daemon is to hear of them.
func (b *inbox) close() []note {
	b.mu.Lock()
	defer b.mu.Unlock()
	rest := b.notes
	b.notes, b.shut = nil, true
	return rest
}

// condition tells a job that waits for the end what else there is to know.
// Asked by killed after a token of stir, with the gate held.
func (b *inbox) condition() (lost, linking bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lost, b.linking
}

// orphan says whether the container is without a living controller. Set by
// Recover for a container that was found so, and cleared by rehouse.
func (b *inbox) orphan(lost bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lost = lost
}
