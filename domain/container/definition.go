package container

import (
	"virtlxcd/domain/device"
	"virtlxcd/domain/policy"
)

// Definition is the configuration of one container, persistent or live.
// Treat it as immutable once shared: change a Clone.
type Definition struct {
	Name        string
	UUID        UUID
	Title       string
	Description string
	Metadata    []Metadata

	Memory        uint64 // KiB, the size clients see as maximum and current
	CurrentMemory uint64 // KiB, reported only
	VCPUs         uint   // reported only
	CPUSet        string // list format, "0-3,8"; empty: all
	Limits        policy.Limits
	Partition     string // absolute path of the parent cgroup; empty: the default

	Arch         string
	Init         Init
	IDMap        policy.IDMap
	Capabilities policy.Capabilities
	PrivateNet   bool
	OnPoweroff   string
	OnReboot     string
	OnCrash      string

	Emulator    string
	Filesystems []device.Filesystem
	Links       []device.Link
	Consoles    []device.Console

	// Unserved names what the definition asks for and this daemon cannot do
	// yet ("disk vda", "hostdev misc"): stored, shown, but start refuses.
	Unserved []string
	// Leftovers is what no field stands for, owned by the codec.
	Leftovers []device.Leftover
}

// Init is the first process.
type Init struct {
	Path        string
	Args        []string // without argv[0]
	Env         []EnvVar
	Dir         string
	User, Group string // name or number, resolved inside the container
	CommandLine string // handed over as LIBVIRT_LXC_CMDLINE
}

// EnvVar is one variable of init's environment.
type EnvVar struct{ Name, Value string }

// Metadata is one namespaced element that a client attached. Text is the whole
// element with its namespace declaration, verbatim.
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

// NeedsNet says whether the container gets a network namespace of its own.
func (d *Definition) NeedsNet() bool { return d.PrivateNet || len(d.Links) > 0 }

// Root returns the filesystem mounted on "/", nil if the host's root is shared.
// Of several the first counts.
func (d *Definition) Root() *device.Filesystem {
	for i := range d.Filesystems {
		if d.Filesystems[i].Target == "/" {
			return &d.Filesystems[i]
		}
	}
	return nil
}
