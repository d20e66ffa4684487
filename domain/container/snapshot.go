package container

import "virtlxcd/domain/lifecycle"

// Snapshot is one container at one moment. It is never changed after it was
// published, so it may be read from any goroutine and kept.
type Snapshot struct {
	Identity
	State      lifecycle.State
	Reason     lifecycle.Reason
	Persistent bool // it has a stored definition and stays known when it is off
	Autostart  bool // it starts with the host; persistent ones only
	Updated    bool // the stored definition changed since the start; false while off

	// Config is the definition of the next start: equal to the stored one for
	// a persistent container, nil for a running transient one.
	Config *Definition
	// Live is what runs now; nil while off.
	Live *Definition
	// InitPID is init's pid on the host; 0 while off.
	InitPID int
}

// Current is the definition a client sees without further wishes: what runs,
// else what would run. Nil only for a snapshot that has neither.
func (s *Snapshot) Current() *Definition {
	if s.Live != nil {
		return s.Live
	}
	return s.Config
}

// Shown is the state as clients may see it: a container being started counts
// as running only once it does, since the wire has no state in between.
func (s *Snapshot) Shown() lifecycle.State {
	if s.State == lifecycle.Starting {
		return lifecycle.Off
	}
	return s.State
}

// Status is what is remembered about a running container on disk, so that a
// new daemon can pick it up. What a daemon of another make wrote lacks the
// fields from BootID on, apart from the pids: they are zero then.
type Status struct {
	ID         int
	State      lifecycle.State
	Reason     lifecycle.Reason
	Definition *Definition // live
	Persistent bool
	BootID     string // of the host (/proc/sys/kernel/random/boot_id); a status of another boot is void
	CgroupPath string // as the Cgroups port named it
	Controller Controller
	InitPID    int // on the host; 0: not known yet
	// InitStart is init's start time in clock ticks since boot (proc(5), stat
	// field 22): with the pid it names a process for good.
	InitStart uint64
}

// Controller names the process that holds a container and outlives the daemon.
type Controller struct {
	PID    int    // on the host
	Start  uint64 // as InitStart
	Socket string // path where it listens for the next daemon (unix(7))
}

// Filter picks containers in a list, as the flags of ConnectListAllDomains do
// (protocol, virConnectListAllDomainsFlags). Within a pair or group the wishes
// are OR-ed, between groups AND-ed; an empty group lets everything pass, and so
// does a pair with both. The zero Filter lets everything pass.
type Filter struct {
	Active, Inactive         bool
	Persistent, Transient    bool
	Running, Paused          bool
	Off, OtherState          bool // no container is ever in another state
	ManagedSave, NoManaged   bool // no container ever has a managed save image
	Autostart, NoAutostart   bool
	Snapshots, NoSnapshots   bool // no container ever has snapshots
	Checkpoint, NoCheckpoint bool // no container ever has checkpoints
}

// Match says whether s passes the filter. It goes by what clients may see: see
// Shown.
func (f *Filter) Match(s *Snapshot) bool {
	state := s.Shown()
	return pair(f.Active, f.Inactive, state.Active()) &&
		pair(f.Persistent, f.Transient, s.Persistent) &&
		f.matchState(state) &&
		pair(f.ManagedSave, f.NoManaged, false) &&
		pair(f.Autostart, f.NoAutostart, s.Autostart) &&
		pair(f.Snapshots, f.NoSnapshots, false) &&
		pair(f.Checkpoint, f.NoCheckpoint, false)
}

func (f *Filter) matchState(state lifecycle.State) bool {
	if !f.Running && !f.Paused && !f.Off && !f.OtherState {
		return true
	}
	return f.Running && state == lifecycle.Running ||
		f.Paused && state == lifecycle.Paused ||
		f.Off && state == lifecycle.Off
}

// pair is one group of two wishes that exclude each other.
func pair(yes, no, has bool) bool {
	return yes == no || yes == has
}
