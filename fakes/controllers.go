package fakes

import (
	"context"
	"fmt"
	"slices"

	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// Controllers starts and finds controller processes of the Host.
type Controllers struct{ host *Host }

// NewControllers returns the port. Another one over the same Host finds what
// this one left.
func NewControllers(host *Host) *Controllers { return &Controllers{host} }

// Launch starts a process and connects to it. When a fault strikes after that, the
// connection is closed, and the process ends for want of anything to do.
func (c *Controllers) Launch(ctx context.Context, identity container.Identity) (made ports.Controller, err error) {
	err = c.host.do(ctx, "Controllers.Launch", func() error {
		made = c.host.connect(c.host.newKeeper(identity))
		return nil
	})
	return kept(made, err)
}

// Adopt connects to a process that runs, and cuts an older connection. The reference
// must fit in all its parts: at the same socket there may be another process.
func (c *Controllers) Adopt(ctx context.Context, ref container.Controller) (found ports.Controller, err error) {
	err = c.host.do(ctx, "Controllers.Adopt", func() error {
		k := c.host.keepers[ref.Socket]
		if k == nil || k.ref() != ref {
			return notFound("no controller at '%s'", ref.Socket)
		}
		found = c.host.connect(k)
		return nil
	})
	return kept(found, err)
}

// Sweep looks at all processes that no daemon is connected to. Mine is called without
// the lock. Reports that wait there keep none of them alive: no status leads to it, so
// nobody will ask.
func (c *Controllers) Sweep(ctx context.Context, mine func(socket string) bool) (ended []string, err error) {
	var idle []*keeper
	err = c.host.do(ctx, "Controllers.Sweep", func() error {
		for _, socket := range sorted(c.host.keepers) {
			if k := c.host.keepers[socket]; len(k.guests) == 0 && k.daemon == nil {
				idle = append(idle, k)
			}
		}
		return nil
	})
	for _, k := range idle {
		if mine(k.socket) {
			continue
		}
		c.host.look(func() { c.host.die(k.process, Exited(0)) })
		ended = append(ended, k.socket)
	}
	return ended, err
}

// backlog is how many reports may wait for a daemon that does not read them. Telling
// happens with the host locked, so a full channel could only be waited for in vain; it
// panics instead.
const backlog = 1024

// Controller is a daemon's connection to a controller process. Its fields are guarded
// by the Host's lock, but ref and the channel itself never change.
type Controller struct {
	host    *Host
	keeper  *keeper
	ref     container.Controller
	reports chan ports.Report
	use     *use
	closed  bool
}

// connect makes the connection and repeats what was not acknowledged. There is one
// daemon at a time: an older connection is cut first, and with it what it had begun and
// not let go on.
func (h *Host) connect(k *keeper) *Controller {
	if k.daemon != nil {
		k.daemon.cut()
	}
	c := &Controller{host: h, keeper: k, ref: k.ref(), reports: make(chan ports.Report, backlog)}
	c.use = &use{what: fmt.Sprintf("connection to controller %d", c.ref.PID), end: c.cut}
	h.uses[c.use] = true
	k.daemon = c
	for _, report := range k.filed {
		c.tell(report)
	}
	return c
}

// cut ends the connection; the process goes on. It is called with the host locked: by
// Close, by the death of either side, by the next connection. The second time does
// nothing. Reports that wait in the channel can still be received.
func (c *Controller) cut() {
	if c.closed {
		return
	}
	c.closed = true
	delete(c.host.uses, c.use)
	close(c.reports)
	if c.keeper.daemon == c {
		c.keeper.daemon = nil
		c.keeper.daemonLost()
		c.keeper.endIfIdle()
	}
}

// tell sends a report with fresh descriptors of what runs again. Each telling has its
// own, as each receiver closes them. A guest that has ended since has none.
func (c *Controller) tell(report ports.Report) {
	again := report.Kind == ports.ReportRestarted || report.Kind == ports.ReportRestartNeedsLinks
	if g := c.keeper.guests[report.Container]; again && g != nil {
		report.Held = c.host.give(g)
	}
	select {
	case c.reports <- report:
	default:
		panic("fakes: nobody reads the reports of a controller")
	}
}

// Ref names the process.
func (c *Controller) Ref() container.Controller { return c.ref }

// Reports is closed when the process is gone and by Close.
func (c *Controller) Reports() <-chan ports.Report { return c.reports }

// Close closes the descriptors in reports that nobody took. It may be called twice.
func (c *Controller) Close() error {
	c.host.look(c.cut)
	for report := range c.reports {
		closeHeld(report.Held)
	}
	return nil
}

// keptHeld is kept for a set of descriptors. With an error the caller gets none, so
// nobody else would close them.
func keptHeld(held ports.Held, err error) (ports.Held, error) {
	if err != nil {
		closeHeld(held)
		return ports.Held{}, err
	}
	return held, nil
}

// closeHeld closes all that is there. Files that were closed before do not matter.
func closeHeld(held ports.Held) {
	for _, file := range slices.Concat(held.Terminals, held.Hosts) {
		_ = file.Close()
	}
	for _, file := range []interface{ Close() error }{held.Process, held.Network, held.Plan} {
		_ = file.Close() // a nil file says that it is invalid
	}
}

// call runs effect if the process lives and listens. Kind Failed if not, as when the
// other end of a socket is gone. Effect is called with the host locked.
func (c *Controller) call(ctx context.Context, op string, effect func(k *keeper) error) error {
	return c.host.do(ctx, op, func() error {
		if c.closed || c.keeper.dead() {
			return fault.New(fault.Failed, fault.Host, "the controller is gone")
		}
		return effect(c.keeper)
	})
}

// Begin performs Prepare and makes a process that waits. Nothing is made before Prepare
// has succeeded, so a failure leaves nothing. A container may be held only once on the
// host, whichever controller holds it.
func (c *Controller) Begin(ctx context.Context, order ports.Order) (held ports.Held, err error) {
	err = c.call(ctx, "Controller.Begin", func(k *keeper) error {
		if c.host.guests[order.Identity.UUID] != nil {
			return fault.New(fault.Busy, fault.Host, "'%s' is held already", order.Identity.Name)
		}
		g, err := c.host.newGuest(order)
		if err != nil {
			return err
		}
		if _, failure := c.host.prepare(g); failure != nil {
			return failure
		}
		g.child = true
		c.host.birth(g)
		c.host.guests[order.Identity.UUID] = g
		k.hold(g)
		held = c.host.give(g)
		return nil
	})
	return keptHeld(held, err)
}

// newGuest checks what an order carries. It takes nothing over: the caller closes its
// files whatever becomes of the start. Masters must be of this host's terminals.
func (h *Host) newGuest(order ports.Order) (*guest, error) {
	g := &guest{host: h, order: order, group: h.inGroup(&order)}
	if order.Cgroup != nil && g.group == nil {
		return nil, notFound("no control group '%s'", order.Cgroup.Path())
	}
	for _, file := range order.Files {
		if _, err := file.Stat(); err != nil {
			return nil, fault.Wrap(err, fault.System, "cannot pass a file to init")
		}
	}
	var err error
	g.consoles, err = h.terminalsBehind(order.HostTerminals)
	return g, err
}

// Proceed performs Enter. A frozen process cannot go on, so it waits. One that runs
// already has nothing to do. While it waits the host is not locked, so the guest may be
// abandoned or die: that is looked at again. A context that ends leaves it waiting, for
// Abandon. A failure of Enter leaves nothing.
func (c *Controller) Proceed(ctx context.Context, uuid container.UUID) error {
	return c.call(ctx, "Controller.Proceed", func(k *keeper) error {
		g := k.guests[uuid]
		switch {
		case g == nil:
			return notFound("the controller has not begun %s", uuid)
		case !g.waits:
			return nil
		}
		thawed := func() bool { return g.group == nil || !g.group.frozen || g.init.dead() }
		if err := c.host.wait(ctx, thawed); err != nil {
			return err
		}
		if k.guests[uuid] != g || !g.waits {
			return fault.New(fault.Failed, fault.Host, "the process has died")
		}
		if failure := c.host.enter(g); failure != nil {
			c.host.abandon(g)
			return failure
		}
		c.host.run(g)
		return nil
	})
}

// Abandon kills without a report, whether or not init was executed. A guest that
// another controller holds is none of its business.
func (c *Controller) Abandon(ctx context.Context, uuid container.UUID) error {
	return c.call(ctx, "Controller.Abandon", func(k *keeper) error {
		if g := k.guests[uuid]; g != nil {
			c.host.abandon(g)
		}
		return nil
	})
}

// Reclaim hands out descriptors of everything. They are new each time and the caller's.
// A guest that waits for Proceed can be reclaimed as well.
func (c *Controller) Reclaim(ctx context.Context, uuid container.UUID) (held ports.Held, err error) {
	err = c.call(ctx, "Controller.Reclaim", func(k *keeper) error {
		g := k.guests[uuid]
		if g == nil {
			return notFound("the controller does not hold %s", uuid)
		}
		held = c.host.giveAll(g)
		return nil
	})
	return keptHeld(held, err)
}

// Restore takes over a guest whose controller is dead. Consoles whose two masters are
// not both handed over are dead from then on. The process must be the one that was
// handed over, by its descriptor and its number, or a container would be taken over
// that was started since. Its end is reported with status 0, as only a parent learns
// the real one; what was typed while nobody forwarded is read now.
func (c *Controller) Restore(ctx context.Context, order ports.Order, held ports.Held) error {
	return c.call(ctx, "Controller.Restore", func(k *keeper) error {
		g := c.host.guests[order.Identity.UUID]
		if g == nil || g.init.pid != held.PID || c.host.behind(held.Process) != g.init {
			return notFound("no process of %s is left", order.Identity.UUID)
		}
		if !g.keeper.dead() {
			return fault.New(fault.Busy, fault.Host, "'%s' is held by another controller", g.name())
		}
		consoles, err := c.host.terminalsBehind(held.Hosts)
		if err != nil {
			return err
		}
		g.order, g.consoles = order, consoles[:min(len(consoles), len(held.Terminals))]
		k.hold(g)
		c.host.readConsoles(g)
		return nil
	})
}

// Acknowledge may end the process. It has no context of a caller: nothing is waited
// for.
func (c *Controller) Acknowledge(number uint64) error {
	return c.call(context.Background(), "Controller.Acknowledge", func(k *keeper) error {
		k.acknowledged(number)
		return nil
	})
}
