package domxml

import (
	"slices"
	"strconv"
	"strings"

	"virtlxcd/domain/container"
	"virtlxcd/domain/device"
	"virtlxcd/domain/fault"
)

// reader fills a definition from a tree. Its methods take from the tree what
// has a field and bring the rest into normal form.
// It is made for one document and used once.
type reader struct {
	codec *Codec
	def   *container.Definition
	root  *node
	// live keeps what is known only of a running container.
	live bool
	// bareMetadata: the element is there, with nothing to keep in it.
	bareMetadata bool
	noted        map[string]bool // in Unserved
	hypervisor   string          // the type of the document: who should run it
}

// read makes a definition of a document's root. The steps are in the order in which
// others check, since of several faults clients expect to hear of the first.
// Metadata comes after everything that may still look at the tree by name.
// The tree is changed and belongs to the definition's reader from here on. With an
// error there is no definition, however far reading came.
//
// Parse calls it with live false, so that a document taken from a running container
// defines one that is off; ParseStatus calls it with live true.
func (c *Codec) read(root *node, live bool) (*container.Definition, error) {
	if err := checkRoot(root.name); err != nil {
		return nil, brief(err)
	}
	r := &reader{codec: c, def: &container.Definition{}, root: root, live: live, noted: map[string]bool{}}
	for _, step := range []func() error{
		r.identity, r.kind, r.os, r.memory, r.processors, r.tuning, r.resource, r.idMap,
		r.features, r.clock, r.actions, r.devices, r.labels, r.sharing, r.metadata, r.texts, r.check,
	} {
		if err := step(); err != nil {
			return nil, brief(err)
		}
	}
	slices.Sort(r.def.Unserved)
	root.arrange("domain")
	r.def.Leftovers = leftovers(root)
	if r.bareMetadata {
		r.def.Leftovers = append(r.def.Leftovers, device.Leftover{Place: "metadata"})
	}
	return r.def, nil
}

// unserved notes what start cannot do yet.
// Each kind of thing is named once, however often it stands in the document.
func (r *reader) unserved(what string) {
	if !r.noted[what] {
		r.noted[what] = true
		r.def.Unserved = append(r.def.Unserved, what)
	}
}

// identity reads <name> and <uuid>; whether the name can be used is checked last.
// A uuid that is left out is drawn even if the document is refused later.
func (r *reader) identity() error {
	r.def.Name = r.root.word("name")
	if r.def.Name == "" {
		return nameless()
	}
	uuid, has, err := readUUID(r.root.word("uuid"))
	if err == nil && !has {
		uuid, err = r.codec.entropy.NewUUID()
	}
	r.def.UUID = uuid
	return err
}

// kinds are the hypervisors that a document may name at all. Which of them runs
// here is decided with the architecture.
// They are libvirt's (virDomainVirtType). Another name is a mistake, one of these but
// lxc a document for somebody else.
var kinds = strings.Fields("qemu kqemu kvm xen lxc uml openvz test vmware hyperv vbox phyp parallels bhyve vz hvf")

// The id is taken and forgotten: ParseStatus, which alone needs it, reads it itself.
func (r *reader) kind() error {
	kind, written := r.root.take("type")
	r.root.take("id")
	switch {
	case !written:
		return internal("missing domain type attribute")
	case !slices.Contains(kinds, kind):
		return unsupported("invalid domain type %s", kind)
	}
	r.hypervisor = kind
	return nil
}

// memory reads the sizes (formatdomain, "Memory Allocation"). The current one is
// at most the maximum, and the maximum where it is 0 or not there.
// dumpCore is only checked: it stays where it is, as a leftover. Hotplug, which
// <maxMemory> asks for, has no meaning for a container.
func (r *reader) memory() error {
	top := r.root
	if m := top.find("maxMemory"); m != nil {
		if m.get("slots") == "" {
			return bad("both maximum memory size and memory slot count must be specified")
		}
		return unsupported("memory hotplug tunables <maxMemory> are not supported by this hypervisor driver")
	}
	var err error
	if n := top.one("memory"); n.content() != "" {
		if r.def.Memory, err = memory(n, "./memory[1]", maxMemory); err != nil {
			return err
		}
		if value, written := n.attr("dumpCore"); written && value != "on" && value != "off" {
			return badAttr(n, "dumpCore", value)
		}
	}
	if n := top.one("currentMemory"); n.content() != "" {
		if r.def.CurrentMemory, err = memory(n, "./currentMemory[1]", maxMemory); err != nil {
			return err
		}
	}
	if r.def.CurrentMemory == 0 || r.def.CurrentMemory > r.def.Memory {
		r.def.CurrentMemory = r.def.Memory
	}
	return nil
}

// processors reads <vcpu> ("CPU Allocation"). The number is shown and nothing
// else; the set of processors is what takes effect.
// Without the element there is one. 0 is refused after everything else here, with the
// text that clients know for it.
func (r *reader) processors() error {
	r.def.VCPUs, r.def.OnlineVCPUs = 1, 1
	n := r.root.one("vcpu")
	if n == nil {
		return nil
	}
	count, err := strconv.ParseUint(n.content(), 10, 32)
	if err != nil {
		return bad("maximum vcpus count must be an integer")
	}
	online, err := current(n, count)
	if err != nil {
		return err
	}
	r.def.VCPUs, r.def.OnlineVCPUs = uint(count), uint(online)
	if count == 0 {
		return internal("CPU IDs in <numa> exceed the <vcpu> count")
	}
	return r.placement(n)
}

// current is how many of count processors are there: all, unless the attribute
// says otherwise.
// A count of 0 is not compared with, as it is refused anyway.
func current(n *node, count uint64) (uint64, error) {
	written, ok := n.take("current")
	if !ok {
		return count, nil
	}
	online, err := strconv.ParseUint(written, 10, 32)
	switch {
	case err != nil:
		return 0, badNumber(n, "current", written)
	case count > 0 && online > count:
		return 0, unsupported("maximum vCPU count must not be less than current vCPU count")
	}
	return online, nil
}

// placement reads on which processors it may run. "auto" leaves that to a service
// that nobody asks here, so a set beside it means nothing.
// "static" is what is printed where nothing is written, so it is not kept.
func (r *reader) placement(n *node) error {
	switch placement := n.get("placement"); placement {
	case "", "static":
		n.take("placement")
	case "auto":
		n.take("cpuset")
		r.unserved("vcpu placement 'auto'")
		return nil
	default:
		return badAttr(n, "placement", placement)
	}
	list, written := n.take("cpuset")
	if !written {
		return nil
	}
	set, err := cpuList(list)
	r.def.CPUSet = set
	return err
}

// resource reads the parent cgroup. Other children of <resource> are carried along.
// Whether the path can be one of a control group is looked at when it is started.
func (r *reader) resource() error {
	n := r.root.one("resource")
	if n == nil {
		return nil
	}
	r.def.Partition = n.word("partition")
	if r.def.Partition == "" {
		return bad("missing <partition> in <resource>")
	}
	return nil
}

// texts reads what is there for people only; empty is as good as absent.
// Line ends in the title are refused by check, in the description they are fine.
func (r *reader) texts() error {
	r.def.Title = r.root.word("title")
	r.def.Description = r.root.word("description")
	return nil
}

// check holds what is refused only in a document that is sound otherwise.
// A name with a slash would be a path where files and control groups are named by it.
func (r *reader) check() error {
	def := r.def
	switch {
	case strings.Contains(def.Name, "/"):
		return bad("name %s cannot contain '/'", def.Name)
	case strings.Contains(def.Name, "\n"):
		return fault.New(fault.Malformed, fault.Document, "invalid char in name: \n")
	case strings.Contains(def.Title, "\n"):
		return bad("Domain title can't contain newlines")
	case def.Init.Path == "":
		return bad("init binary must be specified")
	case def.Memory == 0:
		return bad("Memory size must be specified via <memory> or in the <numa> configuration")
	}
	return nil
}
