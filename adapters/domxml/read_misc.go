package domxml

import (
	"slices"
	"strings"

	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/policy"
)

var knownFeatures = strings.Fields(featureNames)

// features reads <features>. Only the network namespace and the capabilities mean
// anything to a container. That <privnet> stands there is enough: its state is
// not looked at, as it never was.
// Names that do not exist are refused; of those that do, the others stay leftovers. hap
// is the one that gets a state where none is written.
func (r *reader) features() error {
	n := r.root.one("features")
	if n == nil {
		return nil
	}
	for _, kid := range n.kids {
		if kid.kind == element && (kid.space != "" || !slices.Contains(knownFeatures, kid.name)) {
			return unsupported("unexpected feature '%s'", kid.local)
		}
	}
	if private := n.one("privnet"); private != nil {
		private.take("state")
		r.def.PrivateNet = true
	}
	if hap := n.find("hap"); hap != nil && hap.get("state") == "" {
		hap.set("state", "on")
	}
	return r.capabilities(n.one("capabilities"))
}

// capabilities reads which of capabilities(7) are kept, by names without CAP_. A name
// that is not known is refused: to ignore it could leave a right with the container.
// The elements are removed then: those with a field are printed from it.
func (r *reader) capabilities(n *node) error {
	if n == nil {
		return nil
	}
	caps := &r.def.Capabilities
	switch wanted, written := n.take("policy"); {
	case !written, wanted == "default":
	case wanted == "allow":
		caps.Policy = policy.CapAllow
	case wanted == "deny":
		caps.Policy = policy.CapDeny
	default:
		return badAttr(n, "policy", wanted)
	}
	for _, kid := range n.kids {
		if kid.kind != element {
			continue
		}
		if _, known := policy.CapNumbers[kid.name]; !known || kid.space != "" {
			return unsupported("unexpected capability feature '%s'", kid.local)
		}
		if err := r.capability(kid); err != nil {
			return err
		}
	}
	n.remove(func(kid *node) bool { return kid.kind == element && !kid.taken })
	return nil
}

// capability counts the last of several of one name; the earlier ones go.
// Standing there without a state means on.
func (r *reader) capability(n *node) error {
	state, written := n.take("state")
	if written && state != "on" && state != "off" {
		return badAttr(n, "state", state)
	}
	caps := &r.def.Capabilities
	if caps.States == nil {
		caps.States = map[string]bool{}
	}
	_, again := caps.States[n.name]
	caps.States[n.name] = state != "off"
	n.taken = !again
	return nil
}

// timers are the clocks that may be named; rtc and hpet are devices of the host.
var timers = strings.Fields("platform pit rtc hpet tsc kvmclock hypervclock armvtimer")

// clock has no field. It is stored in normal form, or not at all where it
// says only what is printed anyway.
// The offset alone never changes what a container does: its clock is the host's. The
// comparison with the default is by the printed form, which finds timers as well.
func (r *reader) clock() error {
	n := r.root.one("clock")
	if n == nil {
		return nil
	}
	n.taken = false
	switch offset := n.get("offset"); offset {
	case "", "utc":
		n.set("offset", "utc")
	case "localtime", "absolute":
	case "variable":
		setDefault(n, "adjustment", "0")
		setDefault(n, "basis", "utc")
	case "timezone":
		if n.get("timezone") == "" {
			return internal("missing 'timezone' attribute for clock with offset='timezone'")
		}
	default:
		return unsupported("unknown clock offset '%s'", offset)
	}
	if err := r.timers(n); err != nil {
		return err
	}
	if fragment(n.tidy()) == fragment(defaultClock()) {
		n.taken = true // with nothing left over
		n.take("offset")
	}
	return nil
}

// defaultClock is what a document without <clock> shows.
func defaultClock() *node { return el("clock", "offset", "utc") }

// setDefault takes an empty attribute for a missing one.
func setDefault(n *node, name, value string) {
	if n.get(name) == "" {
		n.set(name, value)
	}
}

// timers notes the ones that would give the container a device.
// Under the original, rtc and hpet become device nodes inside with this offset, and
// other timers stop the start.
func (r *reader) timers(clock *node) error {
	for _, timer := range clock.each("timer") {
		name, written := timer.attr("name")
		switch {
		case !written:
			return missingAttr(timer, "name")
		case !slices.Contains(timers, name):
			return badAttr(timer, "name", name)
		case clock.get("offset") == "localtime" && timer.get("present") != "no":
			r.unserved("timer '" + name + "'")
		}
	}
	return nil
}

// labels brings the security labels, which have no field, into normal form.
// Only those of type none let a container start.
func (r *reader) labels() error {
	seen := map[string]bool{}
	for _, n := range r.root.each("seclabel") {
		if err := r.label(n); err != nil {
			return err
		}
		model := n.get("model")
		if model != "" && seen[model] {
			return fault.New(fault.Malformed, fault.API, "seclabel for model %s is already provided", model)
		}
		seen[model] = true
	}
	return nil
}

// label fills in what depends on the type. Without a security driver no label
// takes effect: type none asks for none, everything else stops a start.
// What stands in a label of type none means nothing and is dropped.
func (r *reader) label(n *node) error {
	kind, written := n.attr("type")
	model := n.get("model")
	switch {
	case !written && model == "":
		return bad("missing security model in domain seclabel")
	case written && !slices.Contains([]string{"dynamic", "static", "none", "default"}, kind):
		return badAttr(n, "type", kind)
	case kind == "none" || model == "" || model == "none":
		n.set("type", "none")
		setDefault(n, "model", "none")
		n.kids = nil
		return nil
	case kind == "static" && n.find("label").content() == "":
		return bad("security label is missing")
	case kind == "static":
		setDefault(n, "relabel", "no")
	case kind == "dynamic":
		setDefault(n, "relabel", "yes")
	}
	r.unserved("seclabel '" + model + "'")
	return nil
}

// sharing reads the element that borrows namespaces of other processes. It has
// no field: it is stored under the one prefix it is printed with.
// Of several such elements the children count together, and of two with one name the
// last. Its order of children is fixed, so that printing it again changes nothing.
func (r *reader) sharing() error {
	var shared *node
	found := map[string]*node{}
	for _, n := range r.root.kids {
		if n.kind != element || n.space != lxcSpace || n.local != "namespace" {
			continue
		}
		shared = n
		for _, kid := range n.kids {
			if kid.kind != element {
				continue
			}
			clean, err := share(kid)
			if err != nil {
				return err
			}
			found[kid.local] = clean
		}
	}
	r.root.remove(func(n *node) bool { return n.kind == element && n.space == lxcSpace && n.local == "namespace" })
	if shared == nil || len(found) == 0 {
		return nil
	}
	r.unserved("lxc:namespace sharing")
	whole := el(sharingName)
	for _, name := range sharedNames {
		if clean := found[name]; clean != nil {
			whole.add(clean)
		}
	}
	r.root.add(foreign(whole))
	return nil
}

// sharingName is what the element is printed as, whatever prefix it came with.
const sharingName = "lxc:namespace"

// sharing says whether n is that element.
// One that came with another prefix is it only after it was made anew.
func (n *node) sharing() bool { return n.space == lxcSpace && n.name == sharingName }

// sharedNames are its children, in printing order: net, ipc and uts namespaces.
var sharedNames = []string{"sharenet", "shareipc", "shareuts"}

// share checks one child and makes it anew with nothing but its two attributes.
// Its prefix is not looked at: <sharenet> inside of <lxc:namespace> is meant.
// Whether the process or namespace exists is for the start to find out.
func share(n *node) (*node, error) {
	kind, hasKind := n.attr("type")
	value, hasValue := n.attr("value")
	switch {
	case !slices.Contains(sharedNames, n.local):
		return nil, fault.New(fault.UnsupportedConfig, fault.Driver, "unsupported Namespace feature: %s", n.local)
	case !hasKind || !hasValue:
		return nil, fault.New(fault.Internal, fault.Driver, "No lxc environment type specified")
	case kind != "netns" && kind != "name" && kind != "pid":
		return nil, fault.New(fault.Internal, fault.Driver, "Unknown LXC namespace source '%s'", kind)
	}
	return el("lxc:"+n.local, "type", kind, "value", value), nil
}

// foreign marks n and its children as declared on the root.
// So they print without a declaration of their own.
func foreign(n *node) *node {
	n.space, n.local = lxcSpace, strings.TrimPrefix(n.name, "lxc:")
	for _, kid := range n.kids {
		foreign(kid)
	}
	return n
}

// metadata keeps the first element of each namespace, as a text of its own.
// What has no namespace is dropped: clients ask for metadata by namespace alone. An
// element with nothing to keep is still printed, since somebody wrote it.
func (r *reader) metadata() error {
	n := r.root.one("metadata")
	if n == nil {
		return nil
	}
	seen := map[string]bool{}
	for _, kid := range n.kids {
		if kid.kind != element || kid.space == "" || seen[kid.space] {
			continue
		}
		seen[kid.space] = true
		r.def.Metadata = append(r.def.Metadata, attached(kid))
	}
	n.kids = nil
	r.bareMetadata = len(seen) == 0
	return nil
}

// attached prints an element so that it stands alone.
// The text is what Definition.Metadata holds and clients are given when they ask.
func attached(n *node) container.Metadata {
	n.double = true
	return container.Metadata{Namespace: n.space, Text: fragment(n.tidy().contain())}
}
