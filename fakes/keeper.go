package fakes

import (
	"fmt"
	"maps"
	"slices"

	"virtlxcd/domain/container"
	"virtlxcd/ports"
)

// keeper is a controller process: it holds guests and outlives daemons. Named apart
// from Controller, which is a connection to it.
type keeper struct {
	host    *Host
	process *process
	socket  string
	guests  map[container.UUID]*guest
	number  uint64
	filed   []ports.Report // not acknowledged; their Held is empty
	used    bool           // it held something once
	daemon  *Controller    // who is connected, nil: nobody
}

func (k *keeper) dead() bool { return k.process.dead() }

// ref is unique for the life of the host: the start time tells processes of one number
// apart.
func (k *keeper) ref() container.Controller {
	return container.Controller{PID: k.process.pid, Start: k.process.start, Socket: k.socket}
}

// newKeeper starts a controller process outside all groups. It belongs to no
// container's group, or it would be frozen and killed along. The socket has the pid in
// it, so two for one container differ.
func (h *Host) newKeeper(identity container.Identity) *keeper {
	p := h.spawn("controller", Init{}, nil)
	k := &keeper{
		host: h, process: p, socket: fmt.Sprintf("/run/fake/%s.%d.sock", identity.UUID, p.pid),
		guests: map[container.UUID]*guest{},
	}
	p.keeper = k
	h.keepers[k.socket] = k
	return k
}

// keeperDied cuts what hung on a controller. Its guests live on, orphaned. They have
// another parent now, so nobody learns their exit status. Masters are gone, so nobody
// forwards. What waits for a go-ahead is abandoned. It is called from die, with the
// host locked.
func (h *Host) keeperDied(k *keeper) {
	delete(h.keepers, k.socket)
	if k.daemon != nil {
		k.daemon.cut()
	}
	for _, g := range k.guests {
		g.child = false
		for _, t := range g.consoles {
			t.holder = nil
		}
		if g.waits { // its go-ahead can never come
			h.abandon(g)
		}
	}
}

// report numbers a report, files it and tells a connected daemon. It is filed until it
// is acknowledged, whether or not a daemon is told. A dead controller reports nothing.
func (k *keeper) report(report ports.Report) {
	if k.dead() {
		return
	}
	k.number++
	report.Number = k.number
	k.filed = append(k.filed, report)
	if k.daemon != nil {
		k.daemon.tell(report)
	}
	k.host.wake()
}

// acknowledged drops reports, and ends the process if nothing is left to do. A number
// that was acknowledged before finds nothing to drop.
func (k *keeper) acknowledged(number uint64) {
	k.filed = slices.DeleteFunc(k.filed, func(r ports.Report) bool { return r.Number <= number })
	k.endIfIdle()
}

// endIfIdle ends a controller that holds and owes nothing. One that was not used yet
// goes on while its daemon is connected. It is asked whenever one of these may have
// changed by a word of the daemon or by its end. A report keeps the process until the
// next daemon has taken it.
func (k *keeper) endIfIdle() {
	waiting := !k.used && k.daemon != nil
	if len(k.guests) == 0 && len(k.filed) == 0 && !waiting && !k.dead() {
		k.host.die(k.process, Exited(0))
	}
}

// daemonLost gives up first starts that nobody will let go on. A container that ran
// before and waits for links is kept: the next daemon makes them. The list is copied
// since abandoning takes from it.
func (k *keeper) daemonLost() {
	for _, g := range slices.Collect(maps.Values(k.guests)) {
		if g.waits && !g.ran && !k.dead() {
			k.host.abandon(g)
		}
	}
}

// hold begins to serve a guest's consoles. Terminals are its from then on: bytes no
// longer go through the descriptors.
func (k *keeper) hold(g *guest) {
	k.used = true
	g.keeper = k
	k.guests[g.order.Identity.UUID] = g
	for i, t := range g.consoles {
		t.hold(g, i)
	}
}
