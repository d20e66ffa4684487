package driver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
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

// starting is a container to be started.
type starting struct {
	definition *container.Definition
	owner      *connection // nil: nobody
	files      []*os.File  // for init; the caller closes them
	relapses   int         // see run
}

// start is a start under way. Every step leaves its reverse in undo.
type start struct {
	starting
	driver *Driver
	entry  *entry
	facts  *host.Facts
	live   *container.Definition
	run    *run
	undo   undo.Stack

	controller ports.Controller
	masters    []*os.File // of the host terminals, by console
	group      string     // name of the control group
	partition  string
	plan       launch.Plan
}

// start makes a container run. On failure the host is as before; a transient
// container is forgotten. Called with the gate held.
func (d *Driver) start(ctx context.Context, e *entry, wanted starting) error {
	facts, err := d.knownFacts(ctx)
	if err != nil {
		return err
	}
	if e.Snapshot() != nil {
		d.publish(e, func(s *container.Snapshot) { s.State = lifecycle.Starting })
	}
	s := &start{starting: wanted, driver: d, entry: e, facts: facts, run: newRun()}
	if err := s.perform(ctx); err != nil {
		d.startFailed(e)
		return err
	}
	s.show()
	return nil
}

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
// killed now would leave behind.
func (s *start) perform(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, s.driver.options.StartLimit)
	defer cancel()
	steps := [...]func(context.Context) error{
		s.check,
		s.launchController,
		s.nameLinks,
		s.openTerminals,
		s.remember,
		s.makeGroup,
		s.makePlan,
		s.begin,
		s.limit, // init is not executed before proceed
		s.observe,
		s.connectLinks,
		s.record,
		s.proceed,
	}
	for _, step := range steps {
		if err := step(limited); err != nil {
			back, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.driver.options.UndoLimit)
			defer cancel()
			_ = s.undo.Run(back, s.driver.log) // logged there; the cause counts
			return err
		}
	}
	s.undo.Release()
	return nil
}

func (s *start) check(context.Context) error {
	if err := validateNow(s.definition, s.facts); err != nil {
		return err
	}
	s.live = s.definition.Clone()
	if s.live.Partition == "" {
		s.live.Partition = s.driver.options.DefaultPartition
	}
	s.partition = s.live.Partition
	if s.live.Root() == nil { // clients are shown what is shared
		hostRoot := device.Filesystem{Kind: device.HostDir, Source: "/", Target: "/"}
		s.live.Filesystems = slices.Insert(s.live.Filesystems, 0, hostRoot)
	}
	return nil
}

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
	s.undo.Push("let the controller go", func(context.Context) error {
		for _, n := range s.run.inbox.close() {
			d.discard(n)
		}
		d.holders.detach(s.run.holder, s.run, e.UUID, d.log)
		return nil
	})
	d.watch(s.run.holder)
	s.run.id = d.registry.ReserveID(e, controller.Ref().PID)
	s.undo.Push("free the id", func(context.Context) error {
		d.registry.ReleaseID(e, s.run.id)
		return nil
	})
	return nil
}

func (s *start) nameLinks(ctx context.Context) error {
	if len(s.live.Links) == 0 {
		return nil
	}
	named, err := s.driver.ports.Links.Name(ctx, s.live.Links)
	if err != nil {
		return err
	}
	s.live.Links = named
	s.undo.Push("release link names", func(context.Context) error {
		s.driver.ports.Links.Release(named)
		return nil
	})
	return nil
}

func (s *start) openTerminals(ctx context.Context) error {
	s.undo.Push("close terminals", s.closeMasters)
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

func (s *start) closeMasters(context.Context) error {
	closeFiles(s.masters...)
	s.masters = nil
	return nil
}

// remember stores that a start is under way and where its traces are.
func (s *start) remember(ctx context.Context) error {
	d := s.driver
	s.group = launch.MachineName(s.run.id, s.entry.Name) + ".libvirt-lxc"
	where, err := s.driver.pathOfGroup(s.partition, s.group)
	if err != nil {
		return err
	}
	snapshot := s.entry.Snapshot()
	s.undo.Push("remove the status", func(ctx context.Context) error {
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

// pathOfGroup is where a group will be, known before it is made.
func (d *Driver) pathOfGroup(partition, name string) (string, error) {
	if namer, ok := d.ports.Cgroups.(ports.CgroupNamer); ok {
		return namer.PathOf(partition, name)
	}
	return path.Join(partition, name), nil
}

func (s *start) makeGroup(ctx context.Context) error {
	s.undo.Push("remove the control group", s.removeGroup)
	cgroup, err := s.driver.ports.Cgroups.Create(ctx, s.partition, s.group)
	if err == nil {
		s.run.cgroup = cgroup
	}
	return err
}

// removeGroup also finds a group that was made though Create failed.
func (s *start) removeGroup(ctx context.Context) error {
	group := s.run.cgroup
	if group == nil {
		var err error
		if group, err = s.driver.openGroup(ctx, s.run.status.CgroupPath); err != nil {
			return err
		}
	}
	return errors.Join(group.Kill(ctx), group.Remove(ctx))
}

func (s *start) makePlan(context.Context) (err error) {
	s.plan, err = s.driver.planFor(s.live, s.facts, s.run.cgroup, len(s.files))
	return err
}

func (d *Driver) planFor(live *container.Definition, facts *host.Facts, cgroup ports.Cgroup, files int) (launch.Plan, error) {
	request := launch.Request{Definition: live, Facts: facts, Files: files}
	if entry, ok := cgroup.(ports.CgroupEntry); ok {
		for _, dir := range entry.Mounts() {
			request.Cgroups = append(request.Cgroups, launch.CgroupDir(dir))
		}
	}
	return d.options.Planner(request)
}

func (s *start) limit(ctx context.Context) error {
	if err := s.run.cgroup.Apply(ctx, s.plan.Limits); err != nil {
		return err
	}
	return s.run.cgroup.AllowDevices(ctx, s.plan.Devices)
}

func (s *start) begin(ctx context.Context) error {
	order := orderOf(container.Identity{Name: s.entry.Name, UUID: s.entry.UUID, ID: s.run.id}, &s.plan, s.live, s.run.cgroup)
	order.HostTerminals, order.Files = s.masters, s.files
	s.undo.Push("abandon the container", func(ctx context.Context) error {
		s.run.closeHandles()
		return s.controller.Abandon(ctx, s.entry.UUID)
	})
	held, err := s.controller.Begin(ctx, order)
	if err != nil {
		return s.explain(err)
	}
	if held.Hosts == nil {
		held.Hosts, s.masters = s.masters, nil
	}
	s.run.held = held
	return s.closeMasters(ctx)
}

func orderOf(identity container.Identity, plan *launch.Plan, live *container.Definition, cgroup ports.Cgroup) ports.Order {
	return ports.Order{
		Identity:   identity,
		Prepare:    plan.Prepare,
		Enter:      plan.Enter,
		Slots:      plan.Slots,
		Terminals:  plan.Terminals,
		Namespaces: plan.Namespaces,
		IDMap:      live.IDMap,
		WaitLinks:  plan.WaitLinks,
		Cgroup:     cgroup,
	}
}

// explain says which part of the definition a failed operation stands for.
func (s *start) explain(err error) error {
	var failed *ports.StepError
	if errors.As(err, &failed) {
		return s.plan.Explain(failed.Entered, failed.Index, failed.Err, failed.Interpreter)
	}
	return err
}

// observe takes hold of init while it still waits, so that its number is its
// own. One that is gone has failed on its way: the controller knows where.
func (s *start) observe(ctx context.Context) (err error) {
	s.run.process, err = s.driver.ports.Processes.Open(ctx, s.run.held.PID, s.run.held.Start)
	if errors.Is(err, fault.NotFound) {
		if cause := s.controller.Proceed(ctx, s.entry.UUID); cause != nil {
			return s.explain(cause)
		}
	}
	return err
}

func (s *start) connectLinks(ctx context.Context) error {
	for _, link := range s.live.Links {
		index, err := s.driver.ports.Links.Connect(ctx, link, s.run.held.Network)
		if err != nil {
			return err
		}
		s.undo.Push("disconnect "+link.HostName, func(ctx context.Context) error {
			return s.driver.ports.Links.Disconnect(ctx, link.HostName, index)
		})
	}
	return nil
}

func (s *start) proceed(ctx context.Context) error {
	if err := s.controller.Proceed(ctx, s.entry.UUID); err != nil {
		return s.explain(err)
	}
	s.run.started = time.Now()
	return nil
}

// record stores that the container runs, a moment before it does and while init
// is still being prepared: a daemon that dies in between takes a waiting init
// along, and its successor finds nothing alive and clears up.
func (s *start) record(ctx context.Context) error {
	status := s.run.status
	status.State, status.Reason = lifecycle.Running, lifecycle.Booted
	status.CgroupPath = s.run.cgroup.Path()
	status.Controller = s.controller.Ref()
	status.InitPID, status.InitStart = s.run.held.PID, s.run.held.Start
	return s.driver.saveStatus(ctx, s.run, status)
}

// show makes the running container visible.
func (s *start) show() {
	d, r := s.driver, s.run
	r.owner, r.origin, r.relapses = s.owner, s.definition, s.relapses
	s.entry.Data.run.Store(r)
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
