package ports

import (
	"context"
	"io"
	"os"

	"virtlxcd/domain/access"
	"virtlxcd/domain/audit"
	"virtlxcd/domain/device"
	"virtlxcd/domain/host"
	"virtlxcd/domain/policy"
	"virtlxcd/domain/usage"
)

// HostInfo reads facts about the machine.
type HostInfo interface {
	// Facts gathers them anew. What cannot be read is left zero.
	Facts(ctx context.Context) (*host.Facts, error)
}

// Access decides what callers may do.
type Access interface {
	// Check answers nil or a fault of kind AccessDenied. object names the
	// container; empty for rights on the connection.
	Check(ctx context.Context, caller access.Caller, permission access.Permission, object AccessObject) error
}

// Gatekeeper decides who may use a connection at all. Only callers that their
// socket's authentication does not let in by itself are asked about.
type Gatekeeper interface {
	// Admit answers nil, or a fault of kind AuthFailed, AuthCancelled or
	// AuthUnavailable. It may wait for a person; ctx ends when the client goes.
	// The caller's ReadOnly says which of the two sockets it came by.
	Admit(ctx context.Context, caller access.Caller) error
}

// AccessObject is what a permission is asked for.
type AccessObject struct {
	Name string
	UUID [16]byte
}

// Cgroups makes and finds the control groups of containers.
type Cgroups interface {
	// Create makes the group of a container below partition ("/machine"; parents
	// are made), empty and without limits, in every hierarchy. A leftover of the
	// same name is removed first if nothing lives in it; Busy otherwise.
	Create(ctx context.Context, partition, name string) (Cgroup, error)
	// Open finds the group at a path that Cgroup.Path gave. NotFound.
	Open(ctx context.Context, path string) (Cgroup, error)
	// Sweep removes groups below this daemon's partitions in which nothing
	// lives and which keep does not know; it returns their paths.
	Sweep(ctx context.Context, keep func(path string) bool) ([]string, error)
}

// Cgroup is one container's group across all hierarchies. Methods that change
// it are called with the container's job held; Usage is safe from any goroutine.
type Cgroup interface {
	// Path names it in status files.
	Path() string
	// Apply brings the limits to the wished state; nil wishes are left alone.
	// UnsupportedConfig names a controller that is missing. On failure, also when
	// the kernel refuses the last of several, the limits are as before.
	Apply(ctx context.Context, limits policy.Limits) error
	// AllowDevices replaces the device list.
	AllowDevices(ctx context.Context, rules []policy.DeviceRule) error
	// Usage reads counters. It is on the path of the most frequent call.
	Usage(ctx context.Context) (usage.Usage, error)
	// Freeze and Thaw return when every process is. Failed: Freeze thaws again.
	Freeze(ctx context.Context) error
	// Thaw is the inverse; thawing what runs does nothing.
	Thaw(ctx context.Context) error
	// Signal sends signum to every process in the group and below. It is kept for
	// frozen ones that handle it. A group that is empty or gone is fine.
	Signal(ctx context.Context, signum int) error
	// Kill kills every process, frozen or not, and returns when none is left. A
	// group that is empty or gone is fine.
	Kill(ctx context.Context) error
	// Remove removes the group once empty, waiting for the last process to be
	// reaped as long as ctx lasts. Removing what is gone is fine.
	Remove(ctx context.Context) error
}

// CgroupNamer is implemented by Cgroups whose groups are not simply at the
// partition's path: where Create would make one, as Cgroup.Path would give it.
type CgroupNamer interface {
	PathOf(partition, name string) (string, error)
}

// CgroupEntry is how a new process gets into a group. Cgroup implementations
// that can hold real processes implement it too; the controllers port asks.
type CgroupEntry interface {
	// Entry opens the directory of the v2 group (nil if there is none) for
	// CLONE_INTO_CGROUP, and the tasks file of each v1 group. Caller closes.
	Entry() (unified *os.File, tasks []*os.File, err error)
	// Mounts lists what the container sees below /sys/fs/cgroup: its own
	// directory of every hierarchy.
	Mounts() []CgroupDir
}

// CgroupDir is a container's own directory in one hierarchy.
type CgroupDir struct {
	Name string // below /sys/fs/cgroup inside; empty: /sys/fs/cgroup itself (pure v2)
	Path string // on the host
	// Links are further names for Name, for co-mounted controllers.
	Links []string
}

// Links makes network interfaces.
type Links interface {
	// Name fills in host and guest names that were left open: host "vnetN"
	// unused on the host, guest "ethN" counting unnamed ones. A host name with
	// one %d is expanded, never to one that is given elsewhere in links. Names stay
	// reserved until Release or Connect. The argument is not changed.
	Name(ctx context.Context, links []device.Link) ([]device.Link, error)
	// Connect makes a veth pair with the guest end, its MAC, addresses and
	// routes inside netns and the host end up and enslaved to the bridge. It
	// waits for a dying link of the same name. On failure nothing is left.
	Connect(ctx context.Context, link device.Link, netns *os.File) (index int, err error)
	// Index is that of a link of the host, as Connect gave it. NotFound.
	Index(ctx context.Context, name string) (int, error)
	// Disconnect removes the host end, and with it the pair; gone is fine. It
	// is by index and name, so a successor of the same name is not touched.
	Disconnect(ctx context.Context, name string, index int) error
	// Release gives reserved names back; those that are not reserved are fine.
	Release(links []device.Link)
}

// Terminals opens host terminals, the ends that clients use.
type Terminals interface {
	// Open makes one: raw, the master non-blocking.
	Open(ctx context.Context) (Terminal, error)
	// Attach opens the slave at path (Terminal.Path) as a stream. It must not
	// become the daemon's controlling terminal. Close unblocks Read.
	Attach(ctx context.Context, path string) (io.ReadWriteCloser, error)
}

// Terminal is a host terminal. The receiver owns Master and closes it.
type Terminal struct {
	Master *os.File
	Path   string // of the slave: /dev/pts/N
}

// Processes looks at processes of the host through pidfds.
type Processes interface {
	// Open finds the process that has this pid and start time (0: any).
	// NotFound if it is gone or another has taken the number.
	Open(ctx context.Context, pid int, start uint64) (Process, error)
}

// Process is one process, immune to reuse of its number (pidfd_open(2)). Close it;
// the process does not mind. Of one that has ended PID and Start still tell, and the
// rest fails: Signal and Namespaces with NotFound.
type Process interface {
	// PID is its number on the host, which another may have by now.
	PID() int
	// Start is the start time in clock ticks since boot.
	Start() uint64
	// Signal sends a signal; a dead process is NotFound.
	Signal(signum int) error
	// Catches says whether it handles the signal: one that does not is not
	// worth being asked, as pid 1 of a namespace.
	Catches(signum int) (bool, error)
	// Program is the path of what it executes, as seen inside.
	Program() (string, error)
	// RequestRunlevel writes an init control request for level '0' or '6' into
	// the first fifo found inside. UnsupportedOperation if there is none.
	RequestRunlevel(level byte) error
	// Namespaces: see Handles.OpenNamespaces.
	Namespaces() ([]*os.File, error)
	// Done is closed when the process has ended, reaped or not. After Close it may
	// stay open.
	Done() <-chan struct{}
	// Close lets go of the handle; the process goes on.
	Close() error
}

// PIDNamespaced is implemented by Processes that can tell which PID namespace
// they are process 1 of, by its inode: the audit trail names it.
type PIDNamespaced interface {
	PIDNamespace() (inode uint64, err error)
}

// Notifier tells the service manager how the daemon is. Without one it does nothing.
type Notifier interface {
	// Ready says that clients are served, at the start and after Reloading.
	Ready() error
	// Reloading says that the configuration is being read again.
	Reloading() error
	Stopping() error
	// Status shows one line to administrators.
	Status(text string) error
}

// Auditor writes the host's audit trail. It never blocks and never fails a use
// case: what cannot be written is logged.
type Auditor interface {
	Record(record audit.Record)
}

// Hooks runs the site's programs around what happens to containers.
type Hooks interface {
	// Present says whether Run would run anything; documents need not be printed
	// for nobody. It is cheap and may be some time old.
	Present() bool
	// Run runs them one after the other and waits for all. The first that fails
	// ends it: HookFailed with what it wrote to standard error.
	Run(ctx context.Context, call HookCall) error
}

// HookCall is one occasion.
type HookCall struct {
	Container string // its name; "-" for occasions of the daemon
	Operation string // "prepare", "start", "started", "stopped", "release", "reconnect"
	Phase     string // "begin" or "end"
	Extra     string // "-" if there is none
	Document  string // for standard input
}
