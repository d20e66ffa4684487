package fakes

import (
	"context"
	"fmt"
	"os"
	"slices"

	"virtlxcd/domain/container"
	"virtlxcd/ports"
)

// escrowed is what the service manager keeps of a container: the things behind the
// descriptors, which live as long as it does. It outlives daemons and controllers, but
// no boot.
type escrowed struct {
	pid                    int
	start                  uint64
	process, network, plan any
	terminals, hosts       []any
}

// Escrow keeps descriptors on the Host, once InstallKeeper was called. A new one over
// the same Host hands out what was kept before. What is kept needs no descriptor of its
// own: it counts as open by itself.
type Escrow struct {
	host *Host
	left map[container.UUID]bool // kept by an earlier daemon and not asked for
}

// NewEscrow returns the port. What is there by now was left by an earlier daemon, as
// the service manager hands it over at the start.
func NewEscrow(host *Host) *Escrow {
	e := &Escrow{host: host, left: map[container.UUID]bool{}}
	host.look(func() {
		for uuid := range host.kept {
			e.left[uuid] = true
		}
	})
	return e
}

// Keep remembers what stands behind the descriptors. From then on a namespace or a
// terminal stays although the caller closes its own.
func (e *Escrow) Keep(uuid container.UUID, held ports.Held) error {
	h := e.host
	return e.call("Escrow.Keep", func() {
		delete(e.left, uuid)
		h.kept[uuid] = escrowed{
			pid: held.PID, start: held.Start,
			process: h.behind(held.Process), network: h.behind(held.Network), plan: h.behind(held.Plan),
			terminals: h.allBehind(held.Terminals), hosts: h.allBehind(held.Hosts),
		}
	})
}

// call does nothing, and fails never, on a host without a keeper. So there is no op
// either: a fault that was injected for one stays pending.
func (e *Escrow) call(op string, effect func()) error {
	var keeps bool
	e.host.look(func() { keeps = e.host.keeps })
	if !keeps {
		return nil
	}
	return e.host.do(context.Background(), op, func() error {
		effect()
		return nil
	})
}

// allBehind keeps the order, which is that of the consoles.
func (h *Host) allBehind(files []*os.File) (things []any) {
	for _, file := range files {
		things = append(things, h.behind(file))
	}
	return things
}

// Drop forgets. What was kept by an earlier daemon goes as well, asked for or not.
func (e *Escrow) Drop(uuid container.UUID) error {
	return e.call("Escrow.Drop", func() {
		delete(e.left, uuid)
		delete(e.host.kept, uuid)
	})
}

// Kept goes on keeping what it hands out. Of a process that has died it does not know
// the number. Keeping must go on, or a second restart that comes before the next Keep
// would lose the container. Of a dead process a real keeper has a pidfd, which tells no
// number. Never an op: it cannot fail.
func (e *Escrow) Kept(uuid container.UUID) (held ports.Held, ok bool) {
	h := e.host
	h.look(func() {
		if ok = e.left[uuid]; !ok {
			return
		}
		delete(e.left, uuid)
		k := h.kept[uuid]
		held = ports.Held{
			PID: k.pid, Start: k.start,
			Process: h.handAgain("pidfd", k.process), Network: h.handAgain("network", k.network), Plan: h.handAgain("plan", k.plan),
		}
		if p, ok := k.process.(*process); ok && p.dead() {
			held.PID, held.Start = 0, 0
		}
		for _, thing := range k.terminals {
			held.Terminals = append(held.Terminals, h.handAgain("guest terminal", thing))
		}
		for _, thing := range k.hosts {
			held.Hosts = append(held.Hosts, h.handAgain("master", thing))
		}
	})
	return held, ok
}

// handAgain makes a new descriptor of a thing, nil of nothing. Its name in OpenFiles
// says where it came from.
func (h *Host) handAgain(what string, of any) *os.File {
	if of == nil {
		return nil
	}
	return h.hand(what+" from escrow", of)
}

// Close forgets what nobody asked for. What was handed out stays kept.
func (e *Escrow) Close() error {
	return e.call("Escrow.Close", func() {
		for uuid := range e.left {
			delete(e.host.kept, uuid)
		}
		clear(e.left)
	})
}

// escrows says whether a thing is kept open by the service manager. It is never asked
// for nil, which would be found with most containers.
func (h *Host) escrows(of any) bool {
	for _, k := range h.kept {
		if of == k.process || of == k.network || of == k.plan || slices.Contains(k.terminals, of) || slices.Contains(k.hosts, of) {
			return true
		}
	}
	return false
}

// InstallKeeper gives the host a service manager that keeps descriptors. It stays over
// Boot; what was kept does not.
func (h *Host) InstallKeeper() { h.look(func() { h.keeps = true }) }

// printEscrow leaves descriptors out: they are printed as open by whoever has them.
func (h *Host) printEscrow() (lines []string) {
	for uuid, k := range h.kept {
		lines = append(lines, fmt.Sprintf("escrow: %s consoles %d", uuid, len(k.hosts)))
	}
	slices.Sort(lines)
	return lines
}
