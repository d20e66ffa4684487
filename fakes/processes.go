package fakes

import (
	"context"
	"fmt"
	"os"
	"slices"

	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// process is one process of the host. It is on the host's list while it lives; the dead
// are known by their handles and guests only, so there is none that was not reaped.
type process struct {
	pid       int
	start     uint64
	program   string
	behaviour Init // Catches and Control count for every process
	group     *group
	guest     *guest  // it lives in this container's pid namespace
	keeper    *keeper // it is this controller
	done      chan struct{}
	status    int
	// What came to it, for tests: got has all signals, pending those to be delivered at
	// the thaw, requests what was written to its fifo.
	got      []int // signals, as sent
	pending  []int // while frozen
	requests [][]byte
}

// spawn makes a process in a group (nil: none that matters). Pid and start time both
// count, so each pair is unique for a boot.
func (h *Host) spawn(program string, behaviour Init, in *group) *process {
	h.lastPID++
	h.ticks++
	p := &process{
		pid: h.lastPID, start: h.ticks, program: program, behaviour: behaviour,
		group: in, done: make(chan struct{}),
	}
	h.procs[p.pid] = p
	if in != nil {
		in.members[p.pid] = p
	}
	return p
}

// dead says whether the process has ended.
func (p *process) dead() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// isInit says whether the end of p is the end of its container. A process that waits
// for Proceed counts as init already.
func (p *process) isInit() bool { return p.guest != nil && p.guest.init == p }

// signal delivers, or keeps for later what a frozen process would handle. What a signal
// does by default happens to the frozen, too, as with cgroups v2. Signal 0 is only a
// question and leaves no trace. SIGKILL cannot be caught, so it never waits.
func (h *Host) signal(p *process, signum int) {
	if signum == 0 || p.dead() {
		return
	}
	p.got = append(p.got, signum)
	if _, caught := p.behaviour.Catches[signum]; caught && p.group != nil && p.group.frozen {
		p.pending = append(p.pending, signum)
		return
	}
	h.deliver(p, signum)
}

// deliver acts as the kernel does: SIGKILL ends everything, a handler handles, and what
// is left has its default, which an init is spared (pid_namespaces(7)). The reaction
// happens within the call: a container that halts is gone when it returns.
func (h *Host) deliver(p *process, signum int) {
	reaction, caught := p.behaviour.Catches[signum]
	switch {
	case signum == sigKILL:
		h.die(p, Killed(signum))
	case caught:
		h.react(p, reaction)
	case p.isInit() || harmless(signum):
	default:
		h.die(p, Killed(signum))
	}
}

// harmless signals do nothing by default: CHLD, CONT, URG, WINCH. STOP and its like,
// which stop a real process, end it here.
func harmless(signum int) bool { return slices.Contains([]int{17, 18, 23, 28}, signum) }

// die ends a process, and with an init its container. The order counts: the process
// leaves its group, and Done is closed, before its container or its controller learns
// of it, so what these look at is as it is afterwards. The second time does nothing. It
// is called with the host locked.
func (h *Host) die(p *process, status int) {
	if p.dead() {
		return
	}
	p.status = status
	delete(h.procs, p.pid)
	h.leaveGroup(p)
	close(p.done)
	if p.isInit() {
		h.initDied(p.guest)
	}
	if p.keeper != nil {
		h.keeperDied(p.keeper)
	}
	h.wake()
}

// Processes finds processes of the Host.
type Processes struct{ host *Host }

// NewProcesses returns the port.
func NewProcesses(host *Host) *Processes { return &Processes{host} }

// Open returns a handle that counts as an open file. A start time of 0 fits any. The
// dead are not found, as they have been reaped.
func (s *Processes) Open(ctx context.Context, pid int, start uint64) (found ports.Process, err error) {
	h := s.host
	err = h.do(ctx, "Processes.Open", func() error {
		p := h.procs[pid]
		if p == nil || start != 0 && start != p.start {
			return notFound("no process %d", pid)
		}
		u := &use{what: fmt.Sprintf("process %s", p.program), end: func() {}}
		h.uses[u] = true
		found = &Process{host: h, process: p, use: u}
		return nil
	})
	return kept(found, err)
}

// Process is a handle on one process. It goes on answering for its process when another
// has taken the number.
type Process struct {
	host    *Host
	process *process
	use     *use
}

// PID is valid for the dead too.
func (p *Process) PID() int { return p.process.pid }

// Start is in made-up ticks.
func (p *Process) Start() uint64 { return p.process.start }

// Done is one channel for all handles of the process. It is closed with the host
// locked, so who waits for it sees the host after that.
func (p *Process) Done() <-chan struct{} { return p.process.done }

// Close may be called twice. The process does not notice, and the handle goes on
// working: that it is not used any more is the driver's to keep.
func (p *Process) Close() error {
	p.host.look(func() { delete(p.host.uses, p.use) })
	return nil
}

// living runs effect if the process has not ended. NotFound if it has. These are ops
// although they take no context, so faults can strike; telling one to hang is a
// mistake.
func (p *Process) living(op string, effect func() error) error {
	return p.host.do(context.Background(), op, func() error {
		if p.process.dead() {
			return notFound("process %d has ended", p.process.pid)
		}
		return effect()
	})
}

// Signal is recorded: see Host.Signals. Of a frozen process it succeeds and may be
// delivered later.
func (p *Process) Signal(signum int) error {
	return p.living("Process.Signal", func() error {
		p.host.signal(p.process, signum)
		return nil
	})
}

// Catches looks at the behaviour. A signal with the reaction GoesOn is caught as well.
func (p *Process) Catches(signum int) (catches bool, err error) {
	err = p.living("Process.Catches", func() error {
		_, catches = p.process.behaviour.Catches[signum]
		return nil
	})
	return catches, err
}

// Program is the behaviour's, or the path that was executed.
func (p *Process) Program() (program string, err error) {
	err = p.living("Process.Program", func() error {
		program = p.process.program
		return nil
	})
	return program, err
}

// PIDNamespace is a number made from the pid of init. No use case fails without
// it, so it is no op.
func (p *Process) PIDNamespace() (uint64, error) {
	if p.process.dead() {
		return 0, notFound("process %d has ended", p.process.pid)
	}
	return 4026530000 + uint64(p.process.pid), nil
}

// RequestRunlevel works with a behaviour that has Control. Init reacts within the call.
// Other levels are only recorded.
func (p *Process) RequestRunlevel(level byte) error {
	return p.living("Process.RequestRunlevel", func() error {
		if !p.process.behaviour.Control {
			return fault.New(fault.UnsupportedOperation, fault.Host, "no init control fifo")
		}
		p.process.requests = append(p.process.requests, runlevelRequest(level))
		switch level {
		case '0':
			p.host.react(p.process, Halts)
		case '6':
			p.host.react(p.process, Reboots)
		}
		return nil
	})
}

// runlevelRequest is struct init_request of initctl(4), little endian. The magic number
// 0x03091969, then command 1 and the level; the length is fixed.
func runlevelRequest(level byte) []byte {
	request := make([]byte, 384)
	copy(request, []byte{0x69, 0x19, 0x09, 0x03, 1, 0, 0, 0, level})
	return request
}

// Namespaces returns six files: user, ipc, uts, net, pid, mnt. They are descriptors of
// nothing, except for the network, which must be one that links can be put into.
func (p *Process) Namespaces() (files []*os.File, err error) {
	err = p.living("Process.Namespaces", func() error {
		for _, kind := range []string{"user", "ipc", "uts", "net", "pid", "mnt"} {
			var of any
			if kind == "net" && p.process.guest != nil && p.process.guest.net != nil {
				of = p.process.guest.net
			}
			files = append(files, p.host.hand(kind+" namespace of "+p.process.program, of))
		}
		return nil
	})
	if err != nil {
		closeHeld(ports.Held{Terminals: files})
		return nil, err
	}
	return files, nil
}
