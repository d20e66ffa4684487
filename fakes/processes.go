package fakes

import (
	"context"
	"fmt"
	"os"
	"slices"

	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// process is one process of the host.
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
	got       []int // signals, as sent
	pending   []int // while frozen
	requests  [][]byte
}

// spawn makes a process in a group (nil: none that matters).
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

// isInit says whether the end of p is the end of its container.
func (p *process) isInit() bool { return p.guest != nil && p.guest.init == p }

// signal delivers, or keeps for later what a frozen process would handle. What
// a signal does by default happens to the frozen, too, as with cgroups v2.
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
// is left has its default, which an init is spared (pid_namespaces(7)).
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

// harmless signals do nothing by default: CHLD, CONT, URG, WINCH.
func harmless(signum int) bool { return slices.Contains([]int{17, 18, 23, 28}, signum) }

// die ends a process, and with an init its container.
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

// Open returns a handle that counts as an open file.
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

// Process is a handle on one process.
type Process struct {
	host    *Host
	process *process
	use     *use
}

// PID is valid for the dead too.
func (p *Process) PID() int { return p.process.pid }

// Start is in made-up ticks.
func (p *Process) Start() uint64 { return p.process.start }

// Done is one channel for all handles of the process.
func (p *Process) Done() <-chan struct{} { return p.process.done }

// Close may be called twice.
func (p *Process) Close() error {
	p.host.look(func() { delete(p.host.uses, p.use) })
	return nil
}

// living runs effect if the process has not ended.
func (p *Process) living(op string, effect func() error) error {
	return p.host.do(context.Background(), op, func() error {
		if p.process.dead() {
			return notFound("process %d has ended", p.process.pid)
		}
		return effect()
	})
}

// Signal is recorded: see Host.Signals.
func (p *Process) Signal(signum int) error {
	return p.living("Process.Signal", func() error {
		p.host.signal(p.process, signum)
		return nil
	})
}

// Catches looks at the behaviour.
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

// RequestRunlevel works with a behaviour that has Control.
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

// runlevelRequest is struct init_request of initctl(4), little endian.
func runlevelRequest(level byte) []byte {
	request := make([]byte, 384)
	copy(request, []byte{0x69, 0x19, 0x09, 0x03, 1, 0, 0, 0, level})
	return request
}

// Namespaces returns six files: user, ipc, uts, net, pid, mnt.
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
