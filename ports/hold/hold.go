// Package hold holds the ports of the controller process. It stands apart from
// package ports because a controller is kept small: what is linked into it must
// not pull in os, fmt or net. Descriptors are plain numbers here, owned as said.
package hold

import "virtlxcd/domain/launch/step"

// FD is a descriptor of this process; None is no descriptor.
type FD int

// None stands for a descriptor that is not there.
const None FD = -1

// Failure is an operation of a script that failed. The zero Errno is success.
type Failure struct {
	Errno       uint32
	Index       uint32 // in its list
	Entered     bool   // of Enter, else of Prepare
	Interpreter bool   // Exec: the program is there, its interpreter is not
}

// Failed says whether it is a failure at all.
func (f Failure) Failed() bool { return f.Errno != 0 }

// Files are the descriptors that travel with a message. The receiver owns them.
type Files struct {
	Plan    FD // the encoded script, sealed memory
	Image   FD // what the stage is executed from, sealed memory
	Unified FD // directory of the v2 cgroup
	Process FD // pidfd of init
	Network FD // init's network namespace
	Log     FD // where complaints about the container go

	Tasks     []FD // tasks files of v1 cgroups
	Hosts     []FD // masters of host terminals, by console
	Passed    []FD // for init, from descriptor 3 on
	Terminals []FD // masters of guest terminals, by console
}

// NoFiles is the empty set.
func NoFiles() Files {
	return Files{Plan: None, Image: None, Unified: None, Process: None, Network: None, Log: None}
}

// Each calls do for every descriptor, in the order in which they travel.
func (f *Files) Each(do func(FD)) {
	for _, fd := range [...]FD{f.Plan, f.Image, f.Unified, f.Process, f.Network, f.Log} {
		if fd != None {
			do(fd)
		}
	}
	for _, list := range [...][]FD{f.Tasks, f.Hosts, f.Passed, f.Terminals} {
		for _, fd := range list {
			do(fd)
		}
	}
}

// Kind says what a Message is about.
type Kind uint32

// Requests of the daemon, each answered by one reply about the same container,
// but for Acknowledge.
const (
	Begin       Kind = iota + 1 // Files: Plan Image Unified Log Tasks Hosts Passed; Network to be joined
	Proceed                     // let init be executed
	Abandon                     // kill and forget what was begun
	Reclaim                     // send the descriptors again
	Restore                     // hold what another controller held; Files as Begun plus Begin's
	Acknowledge                 // reports up to Number are dealt with
)

// Replies of the controller.
const (
	Begun     Kind = iota + 32 // PID, Start; Files: Process Network Terminals
	Running                    // init has been executed
	NotBegun                   // Failure
	NotRun                     // Failure; nothing is left
	Abandoned                  //
	Reclaimed                  // PID, Start; Files: Plan Process Network Hosts Terminals
	Restored                   //
	Unknown                    // no such container here
)

// Reports of the controller, numbered and repeated until acknowledged.
const (
	Exited        Kind = iota + 64 // Exit
	Restarted                      // PID, Start; Files: Process Network Terminals
	NeedsLinks                     // as Restarted; the daemon makes links, then Proceed
	RestartFailed                  // Failure
)

// Message is what daemon and controller say to each other.
type Message struct {
	Kind    Kind
	UUID    [16]byte
	Number  uint64 // of a report
	PID     int
	Start   uint64 // of PID in clock ticks since boot
	Exit    int    // wait status of init
	Failure Failure
	Files   Files
}

// Daemon is the daemon as the controller sees it, while one is connected.
type Daemon interface {
	// Send passes a message on. Its descriptors stay the caller's. False if no
	// daemon is connected: reports are then sent again to the next one.
	Send(message *Message) bool
}

// Born is a first process that waits for Release.
type Born struct {
	PID       int
	Start     uint64
	Process   FD // pidfd
	Network   FD // its network namespace; None if shared with the host
	Release   FD // for Kernel.Release
	Outcome   FD // readable when init has been executed or something failed
	Terminals []FD
}

// Progress is what is known of a process on its way to becoming init.
type Progress uint8

// The pieces of news. Gone after Executing means that init has been executed;
// without it, that the process died on the way.
const (
	NoNews Progress = iota
	Executing
	Stuck // an operation failed
	Gone  // nothing more will come
)

// Kernel starts and watches first processes. What Begin returns is the caller's
// to close.
type Kernel interface {
	// Begin runs script.Prepare and makes the process. network joins it to a
	// kept namespace instead of a new one; None otherwise.
	Begin(script *step.Script, files *Files, network FD) (Born, Failure)
	// Release lets the process go on and closes release.
	Release(release FD)
	// Outcome reads the next piece of news once outcome is readable.
	Outcome(outcome FD) (Progress, Failure)
	// Reap takes the wait status of a dead child; with pid not our child, what
	// the kernel remembers about process, else 0. ended is false if it lives.
	Reap(pid int, process FD) (status int, ended bool)
	// Kill kills the process and with it its namespace.
	Kill(process FD)
	// Introduce makes the name of a held container part of what tools see of
	// this process's command line.
	Introduce(name string)
}

// Descriptors reads, writes and watches. Events come to Controller.Ready.
type Descriptors interface {
	// Read returns what is there: n 0 with again for "nothing now", n 0 without
	// for the end or a hang-up.
	Read(fd FD, into []byte) (n int, again bool)
	// Write writes what fits. again: nothing fits now.
	Write(fd FD, from []byte) (n int, again bool)
	// Watch asks for events on fd, replacing what was asked before. Edge: only
	// changes are told.
	Watch(fd FD, want Interest)
	// WatchOpens tells, as Happening.Opened of the master, when the slave of a
	// host terminal is opened.
	WatchOpens(master FD)
	// Attached says whether somebody has the slave of a master open.
	Attached(master FD) bool
	// Forget stops watching.
	Forget(fd FD)
	// Close closes fd; None is fine.
	Close(fd FD)
	// Load reads a script back from sealed memory.
	Load(plan FD) (*step.Script, bool)
}

// Interest says what to be told about a descriptor.
type Interest struct {
	Read, Write bool
	Edge        bool
}

// Happening is what a descriptor is ready for.
type Happening struct {
	Readable, Writable bool
	HungUp             bool
	Opened             bool
}
