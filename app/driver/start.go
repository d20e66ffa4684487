package driver

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"virtlxcd/app/undo"
	"virtlxcd/domain/container"
	"virtlxcd/domain/device"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/host"
	"virtlxcd/domain/launch"
	"virtlxcd/domain/lifecycle"
	"virtlxcd/ports"
)

// starting is a container to be started. definition is shared and not changed;
// what runs is a copy (start.live).
type starting struct {
	definition *container.Definition
	owner      *connection // nil: nobody
	files      []*os.File  // for init; the caller closes them
	relapses   int         // see run
}

// start is a start under way. Every step leaves its reverse in undo. It belongs
// to one goroutine, but for enroll, which reads entry and run.
type start struct {
	starting
	driver *Driver
	entry  *entry
	facts  *host.Facts
	live   *container.Definition
	run    *run
	undo   undo.Stack
	course course // for the log

	controller ports.Controller
	masters    []*os.File // of the host terminals, by console; nil once they are in run.held
	partition  string     // the definition's, or the default
	scope      string     // group of the unit it is to live in; empty: none
	plan       launch.Plan
	enrolled   chan struct{} // closed when enroll has ended; nil: never begun
	stopped    bool          // the hook for that has run
	begun      bool          // a process of it existed
}

// start makes a container run. On failure the host is as before; a transient
// container is forgotten. Called with the gate held. A container that others
// can see already is shown as Starting meanwhile. halt comes first, so that
// StopAll waits for a start that was let in. The error is of the first step
// that failed; those of undo are logged.
func (d *Driver) start(ctx context.Context, e *entry, wanted starting) error {
	if !d.halt.enter() {
		return halting()
	}
	defer d.halt.leave()
	facts, err := d.knownFacts(ctx)
	if err != nil {
		return err
	}
	if e.Snapshot() != nil {
		d.publish(e, func(s *container.Snapshot) { s.State = lifecycle.Starting })
	}
	s := &start{starting: wanted, driver: d, entry: e, facts: facts, run: newRun()}
	s.course.begin()
	if err := s.perform(ctx); err != nil {
		s.auditFailure()
		s.course.logFailure(d.log, s, err)
		d.startFailed(e)
		return err
	}
	s.show()
	s.auditSuccess()
	s.course.logSuccess(d.log, s)
	return nil
}

// startFailed shows a persistent container as off, with the reason; a transient
// one is gone. No event is sent: nobody was told of a beginning. Its claims on
// the host are gone by then. Updated cannot be set, as nothing runs.
func (d *Driver) startFailed(e *entry) {
	if s := e.Snapshot(); s == nil || !s.Persistent {
		d.registry.Drop(e)
		return
	}
	d.publish(e, func(s *container.Snapshot) {
		s.State, s.Reason, s.Live, s.InitPID, s.ID = lifecycle.Off, lifecycle.FailedReason, nil, 0, container.NoID
	})
}

// perform is the whole start. The controller loads while the daemon goes on, so
// it comes early; the status is on disk before anything is made that a daemon
// killed now would leave behind. StartLimit is for all steps together. A step
// that needs a reverse pushes it, before the call if a failed call may leave
// traces. Undo runs on a context that is not limited, as the limit may be what
// failed.
func (s *start) perform(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, s.driver.options.StartLimit)
	defer cancel()
	steps := [...]struct {
		name string
		do   func(*start, context.Context) error
	}{
		{"check", (*start).check},
		{"prepare-hook", (*start).prepareHook},
		{"controller", (*start).launchController},
		{"link-names", (*start).nameLinks},
		{"terminals", (*start).openTerminals},
		{"start-hook", (*start).startHook},
		{"status", (*start).remember},
		{"control-group", (*start).makeGroup},
		{"plan", (*start).makePlan},
		{"begin", (*start).begin},
		{"limits", (*start).limit}, // init is not executed before proceed
		{"observe", (*start).observe},
		{"links", (*start).connectLinks},
		{"record", (*start).record},
		{"enroll", (*start).enroll},
		{"proceed", (*start).proceed},
		{"enrolled", (*start).awaitEnrolled},
		{"started-hook", (*start).startedHook},
	}
	for _, step := range steps {
		err := step.do(s, limited)
		s.course.did(step.name)
		if err != nil {
			_ = s.undo.Run(context.WithoutCancel(ctx), s.driver.log) // logged there; the cause counts
			return err
		}
	}
	s.undo.Release()
	return nil
}

// push adds the reverse of a step, with a time limit of its own. Undo itself
// sets no limit, so reverses that may hang go through here.
func (s *start) push(name string, back func(context.Context) error) {
	s.undo.Push(name, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, s.driver.options.UndoLimit)
		defer cancel()
		return back(ctx)
	})
}

// check refuses what this host cannot run, before a hook is run for it, and
// makes the live definition: a copy, since start fills in names. Validated
// again, as the definition may be from a time when the host was another.
func (s *start) check(context.Context) error {
	if err := validateNow(s.definition, s.facts); err != nil {
		return err
	}
	s.live = s.definition.Clone()
	if s.live.Partition == "" {
		s.live.Partition = s.driver.options.DefaultPartition
	}
	s.partition = s.live.Partition
	return nil
}

// shareRoot makes visible to clients that the container shares the host's root.
// It comes first, before what is mounted on it.
func (s *start) shareRoot() {
	if s.live.Root() == nil {
		hostRoot := device.Filesystem{Kind: device.HostDir, Source: "/", Target: "/"}
		s.live.Filesystems = slices.Insert(s.live.Filesystems, 0, hostRoot)
	}
}

// launchController only starts the process: it loads while links and terminals
// are chosen. From here on its reports reach the run's inbox, which a failed
// start empties again. The id is the controller's pid, or the next number that
// is free. attach comes before watch, and both before there is anything to
// report. In undo the controller goes after all that it may hold, and its
// process ends by itself.
func (s *start) launchController(ctx context.Context) error {
	d, e := s.driver, s.entry
	identity := container.Identity{Name: e.Name, UUID: e.UUID, ID: container.NoID}
	controller, err := d.ports.Controllers.Launch(ctx, identity)
	if err != nil {
		return err
	}
	s.controller = controller
	s.run.holder = d.holders.attach(controller, e, s.run)
	if s.run.holder == nil {
		hangUp(controller, d.log)
		return fault.New(fault.Aborted, fault.Driver, "the daemon is shutting down")
	}
	s.push("let the controller go", func(context.Context) error {
		for _, n := range s.run.inbox.close() {
			d.discard(n)
		}
		d.holders.detach(s.run.holder, s.run, e.UUID, d.log)
		return nil
	})
	d.watch(s.run.holder)
	s.run.id = d.registry.ReserveID(e, controller.Ref().PID)
	s.push("free the id", func(context.Context) error {
		d.registry.ReleaseID(e, s.run.id)
		return nil
	})
	return nil
}

// nameLinks reserves host names, so that no other start chooses them before the
// links exist. Guest names that were left open are filled in as well. The
// reverse is only for those that no Connect has used.
func (s *start) nameLinks(ctx context.Context) error {
	if len(s.live.Links) == 0 {
		return nil
	}
	named, err := s.driver.ports.Links.Name(ctx, s.live.Links)
	if err != nil {
		return err
	}
	s.live.Links = named
	s.push("release link names", func(context.Context) error {
		s.driver.ports.Links.Release(named)
		return nil
	})
	return nil
}

// openTerminals makes one host terminal per console and puts path and alias
// into the live definition, where clients and hooks find them. Those that were
// opened before one fails are closed by the reverse. "console0" and so on are
// the names by which OpenConsole finds them.
func (s *start) openTerminals(ctx context.Context) error {
	s.push("close terminals", s.closeMasters)
	for i := range s.live.Consoles {
		terminal, err := s.driver.ports.Terminals.Open(ctx)
		if err != nil {
			return err
		}
		s.masters = append(s.masters, terminal.Master)
		console := &s.live.Consoles[i]
		console.TTY, console.Alias = terminal.Path, fmt.Sprintf("console%d", i)
	}
	return nil
}

// closeMasters closes what no controller was given. Twice is harmless.
func (s *start) closeMasters(context.Context) error {
	closeFiles(s.masters...)
	s.masters = nil
	return nil
}

// remember stores that a start is under way and where its traces are. Starting
// in it tells a successor to take back what it finds (undoStart). The reverse
// is pushed first, as a write that failed may have left a file.
func (s *start) remember(ctx context.Context) error {
	d := s.driver
	where, err := s.chooseGroup(ctx)
	if err != nil {
		return err
	}
	snapshot := s.entry.Snapshot()
	s.push("remove the status", func(ctx context.Context) error {
		return d.ports.Store.RemoveStatus(ctx, s.entry.Name)
	})
	return d.saveStatus(ctx, s.run, container.Status{
		ID:         s.run.id,
		State:      lifecycle.Starting,
		Definition: s.live,
		Persistent: snapshot != nil && snapshot.Persistent,
		BootID:     s.facts.BootID,
		CgroupPath: where,
		Controller: s.controller.Ref(),
	})
}

// connectLinks moves guest ends into the network namespace of the waiting init,
// one after the other: each failure undoes exactly those before. Init waits and
// cannot see a namespace that is half done. Names that were reserved are free
// again by then, as Connect uses them.
func (s *start) connectLinks(ctx context.Context) error {
	for _, link := range s.live.Links {
		index, err := s.driver.ports.Links.Connect(ctx, link, s.run.held.Network)
		if err != nil {
			return err
		}
		s.run.links = append(s.run.links, index)
		s.push("disconnect "+link.HostName, func(ctx context.Context) error {
			return s.driver.ports.Links.Disconnect(ctx, link.HostName, index)
		})
	}
	return nil
}

// proceed returns when init has been executed, or with what was in its way. The
// clock of relapses starts here (see restart). From here on an init that ends
// is reported to the run's inbox, even before the start is shown: the job of
// that report waits for the gate.
func (s *start) proceed(ctx context.Context) error {
	if err := s.controller.Proceed(ctx, s.entry.UUID); err != nil {
		return s.explain(err)
	}
	s.run.started = time.Now()
	return nil
}

// record stores that the container runs, a moment before it does and while init
// is still being prepared: a daemon that dies in between takes a waiting init
// along, and its successor finds nothing alive and clears up. It is the last
// status that a start saves.
func (s *start) record(ctx context.Context) error {
	status := s.run.status
	status.State, status.Reason = lifecycle.Running, lifecycle.Booted
	status.CgroupPath = s.run.cgroup.Path()
	status.Controller = s.controller.Ref()
	status.InitPID, status.InitStart = s.run.held.PID, s.run.held.Start
	return s.driver.saveStatus(ctx, s.run, status)
}

// show makes the running container visible. Nothing in it can fail. The order
// counts: the run is in its slot before the state says so, and clients are told
// after both. A transient container's Config was only there to be shown during
// the start.
func (s *start) show() {
	d, r := s.driver, s.run
	r.owner, r.origin, r.relapses = s.owner, s.definition, s.relapses
	s.entry.Data.run.Store(r)
	d.options.Occupied(1)
	step, _ := lifecycle.Next(lifecycle.Starting, lifecycle.Started)
	shown := d.publish(s.entry, func(snapshot *container.Snapshot) {
		snapshot.ID, snapshot.State, snapshot.Reason = r.id, step.State, step.Reason
		snapshot.Live, snapshot.InitPID, snapshot.Updated = s.live, r.held.PID, false
		if !snapshot.Persistent {
			snapshot.Config = nil
		}
	})
	d.announce(shown.Identity, step.Event, step.Reason)
}
