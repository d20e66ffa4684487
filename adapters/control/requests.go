package control

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/launch/step"
	"virtlxcd/domain/policy"
	"virtlxcd/ports"
	"virtlxcd/ports/hold"
)

// Begin implements ports.Controller. Kinds: a *ports.StepError for an operation,
// NotFound for a controller that is gone, UnsupportedConfig for more descriptors
// than a message carries, Aborted when ctx ends, System for the daemon's own
// descriptors. After any of them but the first, Abandon: the container may be begun.
// The plan is written into sealed memory: the controller keeps it for restarts from
// inside, and the daemon for a controller that dies.
func (c *Controller) Begin(ctx context.Context, order ports.Order) (ports.Held, error) {
	plan, err := sealedBytes("plan", script(&order).Append(nil))
	if err != nil {
		return ports.Held{}, fault.Wrap(err, fault.System, "cannot store the start plan")
	}
	reply, err := c.begin(ctx, &order, plan)
	if err != nil {
		plan.Close()
		return ports.Held{}, err
	}
	begun := held(reply)
	begun.Plan = plan
	if begun.Hosts, err = duplicates(order.HostTerminals); err != nil {
		closeHeld(&begun)
		return ports.Held{}, fault.Wrap(err, fault.System, "cannot keep the host terminals")
	}
	return begun, nil
}

// begin sends the order. What is opened for it is closed when the answer is there:
// the controller has its own descriptors by then.
// A descriptor in a message is duplicated by the kernel when it is sent.
func (c *Controller) begin(ctx context.Context, order *ports.Order, plan *os.File) (*hold.Message, error) {
	files, done, err := c.files(order, plan)
	if err != nil {
		return nil, err
	}
	defer done()
	network := c.networkFor(order)
	defer closeFiles([]*os.File{network})
	files.Network = number(network)
	reply, err := c.ask(ctx, &hold.Message{Kind: hold.Begin, UUID: order.Identity.UUID, Files: files})
	if err != nil {
		return nil, err
	}
	return reply, c.check(reply, hold.Begun)
}

// networkFor gives away the namespace that was made ahead, if the order can use
// it: with an id map it has to belong to the new user namespace.
// It is given once: the second container of a group makes its own.
func (c *Controller) networkFor(order *ports.Order) *os.File {
	if !order.Namespaces.Net || order.Namespaces.User {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	network := c.network
	c.network = nil
	return network
}

// files gathers what a start needs. done closes what was opened for it.
// A cgroup that has no directories to enter, that of fakes, gives none. With an error
// done is nil and nothing is open.
func (c *Controller) files(order *ports.Order, plan *os.File) (files hold.Files, done func(), err error) {
	files = hold.NoFiles()
	files.Plan, files.Image, files.Log = number(plan), number(c.parent.image), number(c.complaints)
	files.Hosts, files.Passed = numbers(order.HostTerminals), numbers(order.Files)
	entry, real := order.Cgroup.(ports.CgroupEntry)
	if !real {
		return files, func() {}, nil
	}
	unified, tasks, err := entry.Entry()
	if err != nil {
		return files, nil, err
	}
	files.Unified, files.Tasks = number(unified), numbers(tasks)
	return files, func() { closeFiles(append(tasks, unified)) }, nil
}

// Proceed implements ports.Controller. For one that runs already it is no error: a
// daemon may not know what its predecessor asked.
// It returns when init was executed. After a *ports.StepError nothing is left of the
// container; NotFound is also for one that the controller does not hold.
func (c *Controller) Proceed(ctx context.Context, uuid container.UUID) error {
	defer c.parent.spare.refill() // the start is over
	return c.request(ctx, hold.Proceed, uuid, hold.Running)
}

// Abandon implements ports.Controller. It kills a running one too.
// It returns when the kill was sent. A container that is not held is no error.
func (c *Controller) Abandon(ctx context.Context, uuid container.UUID) error {
	err := c.request(ctx, hold.Abandon, uuid, hold.Abandoned)
	if errors.Is(err, fault.NotFound) {
		return nil // the controller is gone, and what was begun with it
	}
	return err
}

// request is for those that carry nothing but the container.
// The descriptors of a reply of the wanted kind would be lost: these have none.
func (c *Controller) request(ctx context.Context, kind hold.Kind, uuid container.UUID, want hold.Kind) error {
	reply, err := c.ask(ctx, &hold.Message{Kind: kind, UUID: uuid, Files: hold.NoFiles()})
	if err != nil {
		return err
	}
	return c.check(reply, want)
}

// Reclaim implements ports.Controller. It may be asked again: each answer has
// descriptors of its own.
// NotFound is also for a container that it does not hold.
func (c *Controller) Reclaim(ctx context.Context, uuid container.UUID) (ports.Held, error) {
	reply, err := c.ask(ctx, &hold.Message{Kind: hold.Reclaim, UUID: uuid, Files: hold.NoFiles()})
	if err != nil {
		return ports.Held{}, err
	}
	if err := c.check(reply, hold.Reclaimed); err != nil {
		return ports.Held{}, err
	}
	return held(reply), nil
}

// Restore implements ports.Controller. The files in held stay the caller's. NotFound
// if the process is gone, or the controller is, or refuses. A held container whose plan was lost
// cannot be restarted from inside, but is held: the order makes a new plan.
// What is opened here, plan and pidfd, is closed when the answer is there.
func (c *Controller) Restore(ctx context.Context, order ports.Order, old ports.Held) error {
	plan := old.Plan
	if plan == nil {
		made, err := sealedBytes("plan", script(&order).Append(nil))
		if err != nil {
			return fault.Wrap(err, fault.System, "cannot store the start plan")
		}
		defer made.Close()
		plan = made
	}
	if old.Process == nil {
		found, err := open(old.PID, old.Start)
		if err != nil {
			return err
		}
		defer found.Close()
		old.Process = found
	}
	files, done, err := c.files(&order, plan)
	if err != nil {
		return err
	}
	defer done()
	files.Process, files.Network = number(old.Process), number(old.Network)
	files.Terminals = numbers(old.Terminals)
	if len(old.Hosts) > 0 {
		files.Hosts = numbers(old.Hosts)
	}
	reply, err := c.ask(ctx, &hold.Message{Kind: hold.Restore, UUID: order.Identity.UUID, PID: old.PID, Start: old.Start, Files: files})
	if err != nil {
		return err
	}
	return c.check(reply, hold.Restored)
}

// open finds a process again by its number and start time. The time is compared
// when the pidfd is there: from then on the number cannot go to another process
// unnoticed.
// The caller closes it.
func open(pid int, start uint64) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fault.Wrap(err, fault.NotFound, "process %d is gone", pid)
	}
	if startTime(pid) != start {
		unix.Close(fd)
		return nil, fault.New(fault.NotFound, fault.Driver, "process %d is another one now", pid)
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}

// Acknowledge implements ports.Controller. It has no answer; a controller that
// nothing keeps ends, which closes Reports.
// Number and all before it are dealt with; a number that was acknowledged is fine.
func (c *Controller) Acknowledge(number uint64) error {
	return c.send(&hold.Message{Kind: hold.Acknowledge, Number: number, Files: hold.NoFiles()})
}

// check turns an unwanted reply into an error and closes what it brought.
// What a controller refuses without a reason of the kernel's is Unknown.
func (c *Controller) check(reply *hold.Message, want hold.Kind) error {
	if reply.Kind == want {
		return nil
	}
	release(reply)
	switch reply.Kind {
	case hold.NotBegun, hold.NotRun:
		return stepError(reply.Failure)
	case hold.Unknown:
		return fault.New(fault.NotFound, fault.Driver, "controller %d does not hold the container", c.ref.PID)
	}
	return fault.New(fault.Internal, fault.Driver, "controller %d gave an answer of the wrong kind (%d)", c.ref.PID, reply.Kind)
}

// stepError keeps the errno, so that errors.Is finds it; the plan knows the names.
// The index is one of the plan's list that Entered names, or one that no list has.
func stepError(failure hold.Failure) *ports.StepError {
	errno := unix.Errno(failure.Errno)
	return &ports.StepError{
		Entered: failure.Entered, Index: int(failure.Index), Errno: int(errno),
		Interpreter: failure.Interpreter, Err: errno,
	}
}

// script is the part of an order that travels encoded.
func script(order *ports.Order) *step.Script {
	return &step.Script{
		Name: order.Identity.Name, UUID: order.Identity.UUID, Prepare: order.Prepare, Enter: order.Enter,
		Slots: order.Slots, Terminals: order.Terminals, Namespaces: order.Namespaces,
		Users: ranges(order.IDMap.Users), Groups: ranges(order.IDMap.Groups), WaitLinks: order.WaitLinks,
	}
}

// ranges are never nil on this side; on the other, both empty means no id map.
func ranges(list []policy.IDRange) []step.Range {
	out := make([]step.Range, 0, len(list))
	for _, r := range list {
		out = append(out, step.Range{Inside: r.Start, Outside: r.Target, Count: r.Count})
	}
	return out
}
