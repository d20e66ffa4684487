package domxml

import (
	"strconv"

	"virtlxcd/domain/container"
	"virtlxcd/domain/device"
	"virtlxcd/domain/policy"
	"virtlxcd/ports"
)

// tree is the document of a definition: what has fields, then the leftovers,
// then whatever is printed even where nobody wrote it, all in printing order.
// The order of these matters: leftovers count among what fields print, and a
// default gives way to a leftover. The tree shares nothing with def.
// It is made anew for each printing. What only a running container has is left out
// where how.Inactive says so, and the id where it is negative.
func (c *Codec) tree(def *container.Definition, how ports.Format) *node {
	w := writer{codec: c, def: def, how: how, root: el("domain", "type", "lxc")}
	if how.ID >= 0 {
		w.root.set("id", strconv.Itoa(how.ID))
	}
	w.general()
	w.metadata()
	w.memory()
	w.processors()
	w.os()
	w.idMap()
	w.features()
	w.devices()
	restore(w.root, def.Leftovers)
	w.defaults()
	w.root.arrange("domain")
	return w.root
}

// writer puts one definition into a tree.
// It is used once. Its methods may come in any order but for what tree says.
type writer struct {
	codec *Codec
	def   *container.Definition
	how   ports.Format
	root  *node
}

// optional adds a leaf unless its content is empty.
// Texts of blanks are content and are written.
func (n *node) optional(name, content string) {
	if content != "" {
		n.add(leaf(name, content))
	}
}

// unlessEmpty adds an element unless nothing is in it.
func (n *node) unlessEmpty(kid *node) {
	if len(kid.kids) > 0 {
		n.add(kid)
	}
}

// either fills in a default for a definition that was not read from a document.
// Definitions that were read have their defaults already.
func either(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}

// general writes what stands directly below the root and is no group of its own.
// Empty texts are left out: that is how a title is taken away.
// The three actions are always printed, as clients expect them.
func (w *writer) general() {
	w.root.add(leaf("name", w.def.Name), leaf("uuid", w.def.UUID.String()))
	w.root.optional("title", w.def.Title)
	w.root.optional("description", w.def.Description)
	w.root.add(
		leaf("on_poweroff", either(w.def.OnPoweroff, "destroy")),
		leaf("on_reboot", either(w.def.OnReboot, "restart")),
		leaf("on_crash", either(w.def.OnCrash, "destroy")),
	)
	if w.def.Partition != "" {
		w.root.add(el("resource").add(leaf("partition", w.def.Partition)))
	}
}

// metadata is kept as text and printed as part of the document, in its quotes.
// A text that is not well formed, which Metadata never makes, is left out.
func (w *writer) metadata() {
	all := el("metadata")
	for _, m := range w.def.Metadata {
		if kid, err := parseFragment(m.Text); err == nil {
			kid.tidy().double = true
			all.add(kid)
		}
	}
	w.root.unlessEmpty(all)
}

// size is an element with a size in KiB, the only unit that is ever printed.
func size(name string, value uint64) *node { return leaf(name, number(value), "unit", "KiB") }

// memory writes sizes and the limits that limit anything.
// The current size is put right in the same way as by the reader. A limit of 2^53-1 KiB
// and more is none and is not printed.
// <blkiotune> is written here since it is a limit too; arrange gives it its place.
func (w *writer) memory() {
	current := w.def.CurrentMemory
	if current == 0 || current > w.def.Memory {
		current = w.def.Memory
	}
	w.root.add(size("memory", w.def.Memory), size("currentMemory", current))
	limits := &w.def.Limits
	if limits.BlockWeight != nil {
		w.root.add(el("blkiotune").add(leaf("weight", number(uint64(*limits.BlockWeight)))))
	}
	tune := el("memtune")
	for _, limit := range []struct {
		name  string
		value *uint64
	}{{"hard_limit", limits.MemoryHard}, {"soft_limit", limits.MemorySoft}, {"swap_hard_limit", limits.SwapHard}} {
		if limit.value != nil && *limit.value < policy.Unlimited {
			tune.add(size(limit.name, *limit.value))
		}
	}
	w.root.unlessEmpty(tune)
}

// processors writes <vcpu> and <cputune>.
// A definition that did not come from a document may have 0 processors: one is printed,
// as 0 would be refused. placement comes with the other defaults.
func (w *writer) processors() {
	vcpu := leaf("vcpu", strconv.FormatUint(uint64(max(w.def.VCPUs, 1)), 10))
	if w.def.CPUSet != "" {
		vcpu.set("cpuset", w.def.CPUSet)
	}
	if w.def.OnlineVCPUs != w.def.VCPUs {
		vcpu.set("current", strconv.FormatUint(uint64(w.def.OnlineVCPUs), 10))
	}
	w.root.add(vcpu)
	limits, tune := &w.def.Limits, el("cputune")
	if limits.CPUShares != nil {
		tune.add(leaf("shares", number(*limits.CPUShares)))
	}
	if limits.CPUPeriod != nil {
		tune.add(leaf("period", number(*limits.CPUPeriod)))
	}
	if limits.CPUQuota != nil {
		tune.add(leaf("quota", strconv.FormatInt(*limits.CPUQuota, 10)))
	}
	w.root.unlessEmpty(tune)
}

// os writes <os>; its type is always exe, as nothing else is accepted.
// An argument keeps the order and the blanks it was written with.
func (w *writer) os() {
	def := &w.def.Init
	os := el("os").add(leaf("type", "exe", "arch", either(w.def.Arch, w.codec.options.Arch)), leaf("init", def.Path))
	for _, arg := range def.Args {
		os.add(leaf("initarg", arg))
	}
	for _, env := range def.Env {
		os.add(leaf("initenv", env.Value, "name", env.Name))
	}
	os.optional("initdir", def.Dir)
	os.optional("inituser", def.User)
	os.optional("initgroup", def.Group)
	os.optional("cmdline", def.CommandLine)
	w.root.add(os)
}

// idMap writes users before groups, as they are read.
// Without ranges there is no element: the container has no user namespace.
func (w *writer) idMap() {
	n := el("idmap")
	add := func(name string, ranges []policy.IDRange) {
		for _, r := range ranges {
			n.add(el(name, "start", number(uint64(r.Start)), "target", number(uint64(r.Target)), "count", number(uint64(r.Count))))
		}
	}
	add("uid", w.def.IDMap.Users)
	add("gid", w.def.IDMap.Groups)
	w.root.unlessEmpty(n)
}

// features leaves out capabilities that say no more than the default.
// Ranging over a map is no harm here: arrange sorts the names.
// Without anything in it the element is left out.
func (w *writer) features() {
	n := el("features")
	if w.def.PrivateNet {
		n.add(el("privnet"))
	}
	caps := el("capabilities", "policy", w.def.Capabilities.Policy.String())
	for name, on := range w.def.Capabilities.States {
		state := "off"
		if on {
			state = "on"
		}
		caps.add(el(name, "state", state)) // put in order with everything else
	}
	if len(caps.kids) > 0 || w.def.Capabilities.Policy != policy.CapDefault {
		n.add(caps)
	}
	w.root.unlessEmpty(n)
}

// devices writes those with fields; the others are leftovers of the definition.
// The emulator is printed for a definition without devices as well.
func (w *writer) devices() {
	n := el("devices")
	n.add(leaf("emulator", either(w.def.Emulator, w.codec.options.Emulator)))
	for i := range w.def.Filesystems {
		n.add(filesystem(&w.def.Filesystems[i]))
	}
	for i := range w.def.Links {
		n.add(w.link(&w.def.Links[i]))
	}
	for i := range w.def.Consoles {
		n.add(w.console(&w.def.Consoles[i], i))
	}
	w.root.add(n)
}

// defaults adds what is printed although the definition says nothing of it.
// The prefix lxc is declared on the root only for documents that use it, as others do.
func (w *writer) defaults() {
	setDefault(w.root.find("vcpu"), "placement", "static")
	if w.root.find("clock") == nil {
		w.root.add(defaultClock())
	}
	for _, kid := range w.root.kids {
		if !kid.sharing() {
			continue
		}
		if bound, declared := w.root.attr("xmlns:lxc"); declared && bound != lxcSpace {
			kid.set("xmlns:lxc", lxcSpace) // an unknown attribute has the prefix
		} else {
			w.root.set("xmlns:lxc", lxcSpace)
		}
	}
}

// filesystem writes the source by its kind. That of a volume is a leftover.
// A kind that is not in sourceNames and not RAM has a source that is a leftover.
func filesystem(fs *device.Filesystem) *node {
	n := el("filesystem", "type", string(fs.Kind))
	if fs.AccessMode != "" {
		n.set("accessmode", fs.AccessMode)
	}
	switch name := sourceNames[fs.Kind]; {
	case fs.Kind == device.Memory:
		n.add(el("source", "usage", number(fs.Usage), "units", "KiB"))
	case name != "":
		n.add(el("source", name, fs.Source))
	}
	n.add(el("target", "dir", fs.Target))
	if fs.ReadOnly {
		n.add(el("readonly"))
	}
	restore(n, fs.Leftovers)
	return n
}

// console writes the terminal only for what runs. The attribute tty is an older
// spelling of the source, kept for the first console alone.
// Its port is its place among the consoles, whatever the document had.
func (w *writer) console(c *device.Console, port int) *node {
	n := el("console", "type", c.Kind)
	live := !w.how.Inactive && c.TTY != ""
	if live && port == 0 {
		n.set("tty", c.TTY)
	}
	if live {
		n.add(el("source", "path", c.TTY))
	}
	n.add(el("target", "type", c.TargetKind, "port", strconv.Itoa(port)))
	if !w.how.Inactive && c.Alias != "" {
		n.add(el("alias", "name", c.Alias))
	}
	restore(n, c.Leftovers)
	return n
}
