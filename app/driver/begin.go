package driver

import (
	"context"
	"errors"

	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/host"
	"virtlxcd/domain/launch"
	"virtlxcd/ports"
)

// makePlan comes after the control group: the plan mounts the group's own
// directories. Where the group lies is certain only then, as makeGroup may fall
// back from a unit to the partition.
func (s *start) makePlan(context.Context) (err error) {
	s.plan, err = s.driver.planFor(s.live, s.facts, s.run.cgroup)
	return err
}

// planFor is pure but for the question where the group is. The same definition,
// facts and group give the same plan, so errors of a restart can be explained
// later, when only the index of an operation is known. A group that cannot hold
// real processes has no directories and the plan mounts none.
func (d *Driver) planFor(live *container.Definition, facts *host.Facts, cgroup ports.Cgroup) (launch.Plan, error) {
	request := launch.Request{Definition: live, Facts: facts}
	if entry, ok := cgroup.(ports.CgroupEntry); ok {
		for _, dir := range entry.Mounts() {
			request.Cgroups = append(request.Cgroups, launch.CgroupDir(dir))
		}
	}
	return d.options.Planner(request)
}

// begin hands the order to the controller. Its reverse is pushed before the
// call: an answer that got lost may have left a process. Undo runs backwards,
// so the process is abandoned first and the hook for stopped containers runs
// when nothing lives. The masters of host terminals then are in two hands, the
// controller's and the escrow's (run.held), and no longer in this start's.
// Where the controller sends no masters back, those of this start become the
// escrow's.
func (s *start) begin(ctx context.Context) error {
	order := orderOf(container.Identity{Name: s.entry.Name, UUID: s.entry.UUID, ID: s.run.id}, &s.plan, s.live, s.run.cgroup)
	order.HostTerminals, order.Files = s.masters, s.files
	s.undo.Push("stopped hook", s.stoppedHook) // when nothing lives any more
	s.push("abandon the container", func(ctx context.Context) error {
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
	s.run.held, s.begun = held, true
	return s.closeMasters(ctx)
}

// orderOf fills in what does not depend on who holds which descriptors. It
// serves starts and restoreOrder: a container that changed its controller
// restarts from inside as it was started.
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
// Errors that are no operation's, such as that of a lost connection, stay as
// they are.
func (s *start) explain(err error) error {
	var failed *ports.StepError
	if errors.As(err, &failed) {
		return s.plan.Explain(failed.Entered, failed.Index, failed.Err, failed.Interpreter)
	}
	return err
}

// observe takes hold of init while it still waits, so that its number is its
// own. One that is gone has failed on its way: the controller knows where. Pid
// and start time together name a process for good. Proceed is asked only for
// the operation that failed, which it returns; without one the error of Open
// stands.
func (s *start) observe(ctx context.Context) (err error) {
	s.run.process, err = s.driver.ports.Processes.Open(ctx, s.run.held.PID, s.run.held.Start)
	if errors.Is(err, fault.NotFound) {
		if cause := s.controller.Proceed(ctx, s.entry.UUID); cause != nil {
			return s.explain(cause)
		}
	}
	return err
}
