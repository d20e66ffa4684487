package container

import (
	"virtlxcd/domain/device"
	"virtlxcd/domain/policy"
)

// Definition is the configuration of one container, persistent or live: the
// elements of a document (formatdomain) as values, with defaults filled in. A
// live one has what the start chose besides: partition, names of links,
// terminals, the root. Treat it as immutable once shared: change a Clone.
type Definition struct {
	Name        string
	UUID        UUID
	Title       string // one line; empty: none
	Description string // any text; empty: none
	Metadata    []Metadata

	Memory        uint64 // KiB, the size clients see as maximum and current
	CurrentMemory uint64 // KiB, reported only
	VCPUs         uint   // reported only
	OnlineVCPUs   uint   // as VCPUs, and at most as many: the number that clients see as current
	CPUSet        string // list format, "0-3,8"; empty: all
	Limits        policy.Limits
	Partition     string // absolute path of the parent cgroup; empty: the default

	Arch         string // the host's or its 32-bit sibling's: sets the personality(2)
	Init         Init
	IDMap        policy.IDMap
	Capabilities policy.Capabilities
	PrivateNet   bool // a network namespace even without links
	// What becomes of it when it ends: "destroy", "restart", "rename-restart" or
	// "preserve"; a crash may also begin with "coredump-".
	OnPoweroff string
	OnReboot   string
	OnCrash    string

	Emulator    string // path of the program that holds it; shown, not run
	Filesystems []device.Filesystem
	Links       []device.Link
	Consoles    []device.Console

	// Unserved names what the definition asks for and this daemon cannot do
	// yet ("disk 'vda'", "hostdev 'misc'"), sorted, each once: stored, shown, but
	// start refuses and repeats these words.
	Unserved []string
	// Leftovers is what no field stands for, owned by the codec. Whoever changes
	// a definition leaves them as they are.
	Leftovers []device.Leftover
}

// Init is the first process: process 1 inside (pid_namespaces(7)).
type Init struct {
	Path        string   // inside the container; argv[0] as well
	Args        []string // without argv[0]
	Env         []EnvVar // after the variables every container gets; of two with one name init decides
	Dir         string   // where it starts; empty: "/"
	User, Group string   // name or number, resolved inside the container; empty: root
	CommandLine string   // handed over as LIBVIRT_LXC_CMDLINE; empty: not set
}

// EnvVar is one variable of init's environment. Neither is empty.
type EnvVar struct{ Name, Value string }

// Metadata is one namespaced element that a client attached: of each namespace
// there is one at most. Text is the whole element with its namespace
// declaration, laid out anew, as the client gets it back.
type Metadata struct {
	Namespace string
	Text      string
}

// Clone returns a copy whose lists and maps can be changed without touching d.
// What single devices and limits point to is shared: replace it.
func (d *Definition) Clone() *Definition {
	c := *d
	c.Metadata = append([]Metadata(nil), d.Metadata...)
	c.Init.Args = append([]string(nil), d.Init.Args...)
	c.Init.Env = append([]EnvVar(nil), d.Init.Env...)
	c.IDMap.Users = append([]policy.IDRange(nil), d.IDMap.Users...)
	c.IDMap.Groups = append([]policy.IDRange(nil), d.IDMap.Groups...)
	c.Capabilities = d.Capabilities.Clone()
	c.Filesystems = append([]device.Filesystem(nil), d.Filesystems...)
	c.Links = append([]device.Link(nil), d.Links...)
	c.Consoles = append([]device.Console(nil), d.Consoles...)
	c.Unserved = append([]string(nil), d.Unserved...)
	c.Leftovers = append([]device.Leftover(nil), d.Leftovers...)
	return &c
}

// NeedsNet says whether the container gets a network namespace of its own; else
// it shares the host's, with all its devices and ports.
func (d *Definition) NeedsNet() bool { return d.PrivateNet || len(d.Links) > 0 }

// Root returns the filesystem mounted on "/", nil if the host's root is shared.
// Of several the first counts. Only "/" itself is the root, no other spelling.
// The result points into d.
func (d *Definition) Root() *device.Filesystem {
	for i := range d.Filesystems {
		if d.Filesystems[i].Target == "/" {
			return &d.Filesystems[i]
		}
	}
	return nil
}
