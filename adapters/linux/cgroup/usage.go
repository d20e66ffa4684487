package cgroup

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/usage"
)

// The files that Usage reads. A version has one or the other of some; a controller
// that is missing leaves its numbers 0.
const (
	cpuStat = iota // version 2: all of the processor time
	cpuTotal
	cpuSplit
	memoryNow
	memoryTotal // version 1: memory plus swap
	swapNow     // version 2: swap alone
	memoryKills
	processCount
	events
	freezerState
	counterFiles
)

// nanosecondsPerTick is the unit of cpuacct.stat: USER_HZ, 100 ticks per second on
// every architecture in use, whatever the kernel counts in itself (time(7)).
const nanosecondsPerTick = 10_000_000

// counters are the open files of a group's counters. They are opened by the
// first reading, and read under the shared lock so that a number that close
// has given back is never read. That is the one lock held over I/O here: the kernel
// makes up what is read, and nobody waits for a disk.
type counters struct {
	mu     sync.RWMutex
	fds    [counterFiles]int32 // 0: not there
	opened bool
	closed bool
}

// Usage: see ports.Cgroup. Safe from any goroutine. Times are in nanoseconds since the
// group was made, of all processes it ever had; memory and swap in bytes, as they are
// now, with the groups inside. HasSwap is false where swap is not counted. On version 2
// it allocates nothing. NotFound once the group is gone, also while it is being removed;
// it never waits. The context is not looked at.
func (g *Group) Usage(context.Context) (usage.Usage, error) {
	u, err := g.readCounters()
	if err != nil || g.unified() {
		return u, err
	}
	// Version 1 answers from an open list with what it was up to a second ago:
	// without events it has to be opened anew each time.
	u.Populated, err = populated(g.dirs[g.processes()])
	return u, err
}

// readCounters reads what is open, and opens at the first call. Two first calls at once
// open once.
func (g *Group) readCounters() (usage.Usage, error) {
	c := &g.counters
	c.mu.RLock()
	if !c.opened {
		c.mu.RUnlock()
		if err := g.openCounters(); err != nil {
			return usage.Usage{}, err
		}
		c.mu.RLock()
	}
	defer c.mu.RUnlock()
	if c.closed {
		return usage.Usage{}, gone(g.path)
	}
	u, err := c.read()
	// The group was removed under the open files.
	if errors.Is(err, unix.ENODEV) {
		return usage.Usage{}, gone(g.path)
	}
	if err != nil {
		return usage.Usage{}, failed(err, "unable to read the counters of '%s'", g.short())
	}
	return u, nil
}

// openCounters opens what this host has. A group without any file is gone. On failure
// nothing is open and the next call tries again.
func (g *Group) openCounters() error {
	c := &g.counters
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.opened || c.closed {
		c.opened = true
		return nil
	}
	found := false
	// Files of controllers that the group does not have are left out.
	for which, path := range g.counterPaths() {
		if path == "" {
			continue
		}
		fd, err := openAt(path, unix.O_RDONLY)
		switch {
		case err == nil:
			c.fds[which], found = int32(fd), true
		case !vanished(err):
			c.drop()
			return failed(err, "unable to open '%s'", path)
		}
	}
	if !found {
		return gone(g.path)
	}
	c.opened = true
	return nil
}

// counterPaths says where each number is on this host. Processor time comes
// from version 1 where that counts it. On version 2 cpu.stat is in every group, with
// the cpu controller or without; memory.* and pids.current come with theirs:
//
//	cpu.stat        usage_usec 12 / user_usec 8 / system_usec 4, microseconds
//	cpuacct.usage   123456789, nanoseconds
//	cpuacct.stat    user 3 / system 4, ticks
//	memory.events   low 0 / high 0 / max 0 / oom 3 / oom_kill 2
//	memory.oom_control  oom_kill_disable 0 / under_oom 0 / oom_kill 9
func (g *Group) counterPaths() (paths [counterFiles]string) {
	if dir, _, ok := g.dir("cpuacct"); ok {
		paths[cpuTotal], paths[cpuSplit] = dir+"/cpuacct.usage", dir+"/cpuacct.stat"
	} else if g.unified() {
		paths[cpuStat] = g.dirs[0] + "/cpu.stat"
	}
	switch dir, version, _ := g.dir("memory"); version {
	case 1:
		paths[memoryNow], paths[memoryTotal] = dir+"/memory.usage_in_bytes", dir+"/memory.memsw.usage_in_bytes"
		paths[memoryKills] = dir + "/memory.oom_control"
	case 2:
		paths[memoryNow], paths[swapNow] = dir+"/memory.current", dir+"/memory.swap.current"
		paths[memoryKills] = dir + "/memory.events"
	}
	if dir, _, ok := g.dir("pids"); ok {
		paths[processCount] = dir + "/pids.current"
	}
	if g.unified() {
		paths[events] = g.dirs[0] + "/cgroup.events"
		return paths
	}
	if dir, _, ok := g.dir("freezer"); ok {
		paths[freezerState] = dir + "/freezer.state"
	}
	return paths
}

// close ends all reading, for good. It waits for those who read, and may be called
// twice.
func (c *counters) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.drop()
}

// drop closes the files. The caller holds the lock. They may be opened again unless
// closed is set.
func (c *counters) drop() {
	for which, fd := range c.fds {
		if fd != 0 {
			_ = unix.Close(int(fd))
			c.fds[which] = 0
		}
	}
}

// read fills in what there is a file for. 512 bytes hold every line that is wanted:
// they come first. A file whose group is gone answers ENODEV, open or not.
func (c *counters) read() (usage.Usage, error) {
	var (
		u   usage.Usage
		buf [512]byte
	)
	for which, fd := range c.fds {
		if fd == 0 {
			continue
		}
		n, err := unix.Pread(int(fd), buf[:], 0)
		for err == unix.EINTR {
			n, err = unix.Pread(int(fd), buf[:], 0)
		}
		if err != nil {
			return u, err
		}
		note(&u, which, buf[:n])
	}
	return u, nil
}

// note puts the content of one file into u. Files come in the order of their
// constants, so memory is known when memory plus swap is. The two are read one after
// the other: the sum may be less by then, and swap is never below 0.
func note(u *usage.Usage, which int, text []byte) {
	switch which {
	case cpuStat:
		u.CPU = field(text, "usage_usec") * 1000
		u.CPUUser = field(text, "user_usec") * 1000
		u.CPUSystem = field(text, "system_usec") * 1000
	case cpuTotal:
		u.CPU = number(text)
	case cpuSplit:
		u.CPUUser = field(text, "user") * nanosecondsPerTick
		u.CPUSystem = field(text, "system") * nanosecondsPerTick
	case memoryNow:
		u.Memory = number(text)
	case memoryTotal:
		u.Swap, u.HasSwap = number(text)-min(u.Memory, number(text)), true
	case swapNow:
		u.Swap, u.HasSwap = number(text), true
	case memoryKills:
		u.OOMKills = field(text, "oom_kill")
	case processCount:
		u.PIDs = number(text)
	case events:
		u.Frozen, u.Populated = eventSet(text, "frozen"), eventSet(text, "populated")
	case freezerState:
		u.Frozen = len(text) >= 6 && string(text[:6]) == "FROZEN"
	}
}
