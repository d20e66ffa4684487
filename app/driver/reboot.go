package driver

import (
	"context"
	"os"
	"strings"
	"time"

	"virtlxcd/domain/container"
	"virtlxcd/domain/device"
	"virtlxcd/domain/lifecycle"
	"virtlxcd/ports"
)

// restarted takes over the new init of a container that rebooted from inside.
// It keeps its id, links, consoles, definition and owner. The controller has
// seen to that: here only what the daemon knows of init is brought up to date.
// Called with the gate held, by drain.
func (d *Driver) restarted(ctx context.Context, e *entry, r *run, n note) {
	if stopsOnReboot(e.Snapshot().Live) {
		d.stopInstead(ctx, e, r, n)
		return
	}
	d.adoptInit(ctx, e, r, n.report.Held)
	d.rebooted(e, r, n)
}

// rebooted tells everybody, and the controller last: from then on nobody tells
// a successor of this daemon. Clients get a reboot event and none of the life
// cycle, since the state is the same.
func (d *Driver) rebooted(e *entry, r *run, n note) {
	d.auditReboot(e, r)
	d.feed.Publish(ports.Event{Kind: ports.RebootEvent, Container: e.Snapshot().Identity})
	d.acknowledge(n)
}

// stopsOnReboot reads on_reboot: an action without "restart" in it is an end.
// None at all is the default, which restarts. "destroy" and "preserve" are such
// actions.
func stopsOnReboot(live *container.Definition) bool {
	return live.OnReboot != "" && !strings.Contains(live.OnReboot, "restart")
}

// stopInstead ends a container whose definition does not let it reboot. The
// controller has started it again already. To clients it ended by itself:
// reason and event are those of a shutdown. If it cannot be killed it runs on,
// and the report is done with.
func (d *Driver) stopInstead(ctx context.Context, e *entry, r *run, n note) {
	d.adoptInit(ctx, e, r, n.report.Held)
	n.report.Held = ports.Held{}
	step, _ := lifecycle.Next(e.Snapshot().State, lifecycle.Exit)
	if err := d.kill(ctx, e, r, false); err != nil {
		d.log.Error("cannot stop a container that rebooted", "container", e.Name, "error", err)
		d.acknowledge(n)
		return
	}
	d.finish(ctx, e, r, step, n)
}

// adoptInit replaces what is known of init. One that is gone already is
// reported next, so the old knowledge is kept until then. Errors are logged and
// the container runs on, as it does anyway: a status that names the old init is
// put right by the next daemon, which asks the controller. Takes held over.
func (d *Driver) adoptInit(ctx context.Context, e *entry, r *run, held ports.Held) {
	if held.PID == 0 {
		closeHeld(held)
		return
	}
	r.exchange(held)
	r.started = time.Now()
	process, err := d.ports.Processes.Open(ctx, held.PID, held.Start)
	if err != nil {
		d.log.Warn("cannot watch the new init", "container", e.Name, "error", err)
	} else {
		_ = r.process.Close()
		r.process = process
	}
	status := r.status
	status.InitPID, status.InitStart = held.PID, held.Start
	if err := d.saveStatus(ctx, r, status); err != nil {
		d.log.Error("cannot record the new init", "container", e.Name, "error", err)
	}
	d.publish(e, func(s *container.Snapshot) { s.InitPID = held.PID })
	d.keep(e, r)
	d.register(ctx, e, r)
}

// relink makes the links of a container anew that rebooted and lost them with
// its network namespace, and lets it go on. So it is with an id map: the
// network namespace belongs to the user namespace, which dies with init
// (user_namespaces(7)). What escrow keeps of the old one would keep its links
// alive, and their names taken; hence Drop first. Called with the gate held, by
// drain.
func (d *Driver) relink(ctx context.Context, e *entry, r *run, n note) {
	if stopsOnReboot(e.Snapshot().Live) {
		r.ending = time.Now()
		d.abandonRestart(ctx, e, n)
		step, _ := lifecycle.Next(e.Snapshot().State, lifecycle.Exit)
		d.finish(ctx, e, r, step, n)
		return
	}
	closeFiles(r.held.Network) // lets go of the old namespace, and so of the old links
	r.held.Network = nil
	d.insist(ctx, e, "drop kept descriptors", func(context.Context) error { return d.ports.Escrow.Drop(e.UUID) })
	err := d.linkAgain(ctx, e, r, n)
	n.report.Held = ports.Held{}
	switch {
	case err == nil:
		d.rebooted(e, r, n)
		return
	case ctx.Err() != nil:
		// The daemon ends, which is no reason to stop a container. Its controller
		// tells the next daemon again, since nothing is acknowledged.
		d.log.Warn("leaving a restart to the next daemon", "container", e.Name, "error", err)
		return
	}
	d.log.Error("cannot restart a container", "container", e.Name, "error", err)
	d.abandonRestart(ctx, e, n)
	n.report.Kind = ports.ReportRestartFailed
	d.ended(ctx, e, r, n, lifecycle.Exit)
}

// abandonRestart kills a new init that waits for its links. It is not reported.
// It is done as well after a Proceed that failed, to be sure.
func (d *Driver) abandonRestart(ctx context.Context, e *entry, n note) {
	if err := n.holder.controller.Abandon(ctx, e.UUID); err != nil {
		d.log.Warn("cannot abandon a restart", "container", e.Name, "error", err)
	}
}

// linkAgain takes over what the note brought. The new init is recorded before
// it is let go, as at a start: a daemon that finds its number in the status
// knows that the links are there, and only says Proceed again. Where the report
// brought no namespace, Reclaim does. If init cannot go on, its links are
// removed, unless its number was recorded.
func (d *Driver) linkAgain(ctx context.Context, e *entry, r *run, n note) error {
	ctx, cancel := context.WithTimeout(ctx, d.options.StartLimit)
	defer cancel()
	held := n.report.Held
	if held.Network == nil {
		closeHeld(held)
		var err error
		if held, err = n.holder.controller.Reclaim(ctx, e.UUID); err != nil {
			return err
		}
	}
	fresh := firstPID{held.PID, held.Start}
	if fresh != r.linked {
		links, err := d.connectAll(ctx, e.Snapshot().Live.Links, held.Network)
		if err != nil {
			closeHeld(held)
			return err
		}
		r.links = links
	}
	d.adoptInit(ctx, e, r, held)
	err := n.holder.controller.Proceed(ctx, e.UUID)
	if recorded := (firstPID{r.status.InitPID, r.status.InitStart}); err != nil && recorded != fresh {
		d.disconnectAll(ctx, e.Snapshot().Live.Links, r.links)
	}
	return err
}

// connectAll makes links into a network namespace, all or none. The order is
// that of the definition, and so is that of indexes.
func (d *Driver) connectAll(ctx context.Context, links []device.Link, netns *os.File) (indexes []int, err error) {
	for _, link := range links {
		index, err := d.ports.Links.Connect(ctx, link, netns)
		if err != nil {
			d.disconnectAll(ctx, links, indexes)
			return nil, err
		}
		indexes = append(indexes, index)
	}
	return indexes, nil
}

// disconnectAll removes the links that have an index. They would go with their
// namespace, but that may live on until the next daemon makes them again.
func (d *Driver) disconnectAll(ctx context.Context, links []device.Link, indexes []int) {
	ctx, cancel := d.lasting(ctx)
	defer cancel()
	for i, index := range indexes {
		if err := d.ports.Links.Disconnect(ctx, links[i].HostName, index); err != nil {
			d.log.Warn("cannot remove a link", "link", links[i].HostName, "error", err)
		}
	}
}
