package domxml

import (
	"slices"
	"strconv"
	"strings"

	"virtlxcd/domain/device"
)

// backends are what a character device may be connected to; targets are what it
// may be inside. Of both a container can have one only, the others are stored.
var (
	backends = strings.Fields(`null vc pty dev file pipe stdio udp tcp unix spicevmc spiceport nmdm qemu-vdagent dbus`)
	targets  = strings.Fields("none serial xen uml virtio lxc openvz sclp sclplm")
)

// defaultBackend is the only one that a container is started with.
const defaultBackend = "pty"

// backend checks what a character device is connected to, and fills in a
// terminal. The attribute comes first, where readers look for it.
// Whether the kind can be started is not asked here: what is stored may be more.
func backend(n *node) error {
	kind, written := n.attr("type")
	switch {
	case !written:
		n.attrs = append([]attr{{name: "type", value: defaultBackend}}, n.attrs...)
	case !slices.Contains(backends, kind):
		return unsupported("unknown type presented to host for character device: %s", kind)
	}
	return nil
}

// console reads one <console>. Its port is checked and forgotten: it is printed as
// the place among the consoles.
// Without a target it is of type lxc. A console of a kind that cannot be started is
// refused by start, not here.
// A second console of target type serial is refused: the first alone may stand for a port.
func (r *reader) console(n *node) error {
	n.taken = true
	if err := backend(n); err != nil {
		return err
	}
	c := device.Console{Kind: n.pick("type"), TargetKind: "lxc"}
	r.terminal(n, &c)
	target := n.one("target")
	if kind, written := target.take("type"); written {
		c.TargetKind = kind
	}
	port, written := target.take("port")
	if _, err := strconv.ParseUint(port, 10, 32); written && err != nil {
		return bad("Invalid port number: %s", port)
	}
	switch {
	case !slices.Contains(targets, c.TargetKind):
		return unsupported("unknown target type '%s' specified for character device", c.TargetKind)
	case c.TargetKind == "serial" && len(r.def.Consoles) > 0:
		return unsupported("Only the first console can be a serial port")
	}
	n.arrange("domain/devices/console")
	c.Leftovers = leftovers(n)
	r.def.Consoles = append(r.def.Consoles, c)
	return nil
}

// terminal takes what is known of a console while it runs.
// The source wins over the attribute tty, which is the older spelling. In a document
// that is not live both are taken and forgotten: a terminal has another name each time.
func (r *reader) terminal(n *node, c *device.Console) {
	tty := n.pick("tty")
	alias := n.one("alias").pick("name")
	if c.Kind == defaultBackend {
		if path := n.one("source").pick("path"); path != "" {
			tty = path
		}
	}
	if r.live {
		c.TTY, c.Alias = tty, alias
	}
}

// character is a serial or parallel port: carried along. Its port number is
// filled in when all are known.
// Without a target it gets one there.
func (r *reader) character(n *node) error { return backend(n) }

// channel needs to say what it is inside; nothing here does anything with it.
// The backend is checked after the target, since of two mistakes that is the first.
func (r *reader) channel(n *node) error {
	if n.find("target").get("type") == "" {
		return bad("target type must be specified for channel device")
	}
	return backend(n)
}

// numberPorts gives every port of the name a number: the written one, else one
// more than the highest so far.
// The number is printed where it was left out, so that it stays the same when another
// port is removed.
func numberPorts(devices *node, name string) error {
	next := uint64(0)
	for _, n := range devices.each(name) {
		target := n.find("target")
		if target == nil {
			target = el("target")
			n.add(target)
		}
		setDefault(target, "port", number(next))
		port, err := strconv.ParseUint(target.get("port"), 10, 31)
		if err != nil {
			return bad("Invalid port number: %s", target.get("port"))
		}
		next = max(next, port+1)
	}
	return nil
}
