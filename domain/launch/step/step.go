// Package step is the language in which a container's start is planned: flat
// lists of operations on numbered descriptor slots. A list is a pure value; it
// travels from the daemon through the controller to the stage that becomes
// init, and whoever executes it reports the index of the operation that failed.
//
// Two lists make a start. Prepare runs in the controller, in the host's
// namespaces, and fills slots with detached mounts and terminals. Enter runs in
// the new namespaces, as the container's first process, and ends with Exec.
//
// The package is linked into the controller and therefore imports next to nothing.
package step

// Code is what an Op does. Which fields it uses is said with each. The numbers
// travel: they change only with version. An executor that meets one it does not
// know fails with ENOSYS.
type Code uint8

// Operations of Prepare. They leave a descriptor in Slot or work on it.
const (
	Invalid Code = iota
	// OpenTree clones the mount at Path into Slot, detached (open_tree(2));
	// Flags: Recursive.
	OpenTree
	// NewMount makes a filesystem of type Source with options Data
	// ("key=value,flag") and leaves it in Slot, detached (fsopen(2), fsmount(2));
	// Flags: attributes.
	NewMount
	// SetAttributes sets the attributes in Flags on the detached mount in Slot
	// (mount_setattr(2)); Flags: attributes, Recursive.
	SetAttributes
	// MakeNode makes the device node Path below Slot: Mode with its type bits,
	// Major, Minor, owned by UID and GID.
	MakeNode
	// MakeLink makes the symbolic link Path -> Source below Slot.
	MakeLink
	// MakeDir makes the directory Path below Slot with Mode, UID and GID.
	MakeDir
	// OpenTerminal opens a new terminal of the devpts in slot Value, leaves its
	// master in Slot, and gives the slave to UID and GID with Mode.
	OpenTerminal
	// Owner gives the root of the mount in Slot, and the entries of it named in
	// Words as far as they exist, to UID and GID.
	Owner
)

// Operations of Enter.
const (
	// Join puts the stage into every cgroup whose tasks file it was handed.
	Join Code = iota + 32
	// NewCgroupView makes the current cgroups the roots of what is seen inside.
	NewCgroupView
	// MakePrivate stops mounts from propagating in or out.
	MakePrivate
	// Pivot makes the mount in Slot, a directory, the root. The old root stays
	// until Forget: in a user namespace the kernel lets proc and sysfs be mounted
	// only where others are visible already. It lies on top of the new one, where
	// "/.." leads: until Forget, Attach, Mount and Bind refuse a Path that is a
	// symbolic link (ELOOP).
	Pivot
	// Forget detaches the old root with all below it.
	Forget
	// Attach puts the mount in Slot at Path. Like Mount and Bind it makes a
	// missing Path: a directory, or an empty file for a mount that is one;
	// parents with mode 0755. A Path that is of the other kind is ENOTDIR or
	// EISDIR. Links in Path are followed, inside.
	Attach
	// Mount mounts type Source with Data at Path; Flags: attributes. Optional: a
	// kernel without that type is no error.
	Mount
	// Bind binds Source, a path inside, at Path; Flags: attributes, Recursive,
	// Writable. Optional: a missing Source is no error.
	Bind
	// Protect sets the attributes in Flags on the mount at Path.
	Protect
	// Unmount detaches everything at Path. A Path that is no mount point is fine.
	Unmount
	// Link makes the symbolic link Path -> Source.
	Link
	// LoopbackUp brings "lo" up.
	LoopbackUp
	// Hostname sets Path as the host name.
	Hostname
	// Wait reads the go-ahead of the controller: links are there.
	Wait
	// Limit sets resource limit Value to Major (soft) and Minor (hard); setrlimit(2).
	Limit
	// Persona sets the execution domain Value (personality(2)).
	Persona
	// Session starts a session with the terminal Path as its controlling
	// terminal and as descriptors 0, 1 and 2. The terminal is given to the user
	// of a following Become by that operation.
	Session
	// Become takes the identity of Path (user) and Source (group), names or
	// numbers, looked up inside; empty: 0. ENOENT: it is not there; EINVAL: the
	// container's files give it no number. Value: capabilities to keep, bit per
	// number; Value2: inheritable ones; Major: the last number that exists. The
	// terminal Data becomes the user's.
	Become
	// Directory changes to Path.
	Directory
	// Files moves the handed-over files to 3, 4, ... and marks all others to
	// close on exec.
	Files
	// Exec runs Path with Words as arguments (argv[0] included) and Env.
	Exec
)

// Mount attributes and modifiers of Op.Flags. The first four are those of mount(2)
// and mount_setattr(2), bit for bit.
const (
	ReadOnly uint64 = 1 << iota
	NoSUID
	NoDev
	NoExec
	Recursive
	Writable // clears ReadOnly
	Optional
)

// Op is one operation. Unused fields are zero. Subject is what an error names:
// the object as the user wrote it; it does not travel.
type Op struct {
	Code         Code
	Slot         int
	Flags        uint64
	Path         string
	Source       string
	Data         string
	Mode         uint32
	Major, Minor uint64
	UID, GID     uint32
	Value        uint64
	Value2       uint64
	Words        []string
	Env          []string

	Subject string
}

var names = map[Code]string{
	OpenTree: "open tree", NewMount: "make mount", SetAttributes: "set attributes", MakeNode: "make node",
	MakeLink: "make link", MakeDir: "make directory", OpenTerminal: "open terminal", Owner: "set owner",
	Join: "join cgroups", NewCgroupView: "new cgroup namespace",
	MakePrivate: "make mounts private", Pivot: "change root", Forget: "detach old root", Attach: "attach mount",
	Mount: "mount", Bind: "bind", Protect: "protect mount", Unmount: "unmount", Link: "make link", LoopbackUp: "bring loopback up",
	Hostname: "set host name", Wait: "wait for links", Limit: "set limit", Persona: "set personality",
	Session: "open console", Become: "take user", Directory: "change directory", Files: "pass files", Exec: "execute",
}

// String names the code as errors do.
func (c Code) String() string {
	if name, ok := names[c]; ok {
		return name
	}
	return "unknown operation"
}
