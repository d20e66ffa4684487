package domxml

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"virtlxcd/domain/device"
)

var (
	linkKinds = strings.Fields("ethernet user vhostuser server client mcast network bridge internal direct hostdev udp vdpa")
	// linkSources are the attributes that hold the source, by kind.
	linkSources = map[device.LinkKind]string{
		device.Bridge: "bridge", device.Network: "network", device.Direct: "dev",
	}
	directModes = strings.Fields("vepa private bridge passthrough")
	// unservedParts are children that would change what the link does: to start it
	// without them would be worse than not to start it.
	unservedParts = strings.Fields("vlan virtualport bandwidth script filterref")
)

// automaticName starts the names that are chosen at start: such a name in a
// document comes from one that was printed while the container ran.
const automaticName = "vnet"

// link reads one <interface> (formatdomain, "Network interfaces"). Without a type
// it is of one that is never started here, as ever.
// Everything is read also of a kind that is not served, so that what is stored is in
// normal form and its mistakes are found now.
// The steps are in the order in which others check, as in read: the source, the
// address, names, options, and then addresses and routes inside.
func (r *reader) link(n *node) error {
	n.taken = true
	link := device.Link{Kind: "user"}
	if kind, written := n.take("type"); written {
		if !slices.Contains(linkKinds, kind) {
			return badAttr(n, "type", kind)
		}
		link.Kind = device.LinkKind(kind)
	}
	if link.Kind != device.Bridge && link.Kind != device.Ethernet {
		r.unserved("interface type '" + string(link.Kind) + "'")
	}
	for _, name := range unservedParts {
		if n.find(name) != nil {
			r.unserved(name + " of an interface")
		}
	}
	for _, step := range []func(*node, *device.Link) error{r.linkSource, r.mac, r.linkNames, r.linkOptions} {
		if err := step(n, &link); err != nil {
			return err
		}
	}
	var err error
	if link.Addresses, link.Routes, err = layer3(n); err != nil {
		return err
	}
	n.arrange("domain/devices/interface")
	link.Leftovers = leftovers(n)
	r.def.Links = append(r.def.Links, link)
	return nil
}

// linkSource reads what the host end is connected to. An Ethernet link has there
// the addresses of the host end instead.
// Kinds that are not in linkSources keep their source as a leftover.
// A direct link without a mode is of mode vepa. Its mode has no field and stays there.
func (r *reader) linkSource(n *node, link *device.Link) error {
	name, needed := linkSources[link.Kind]
	if !needed {
		if link.Kind == device.Ethernet {
			return hostSide(n.one("source"), link)
		}
		return nil
	}
	source := n.one("source")
	if source == nil {
		return bad("interface type='%s' requires a 'source' element", link.Kind)
	}
	value, written := source.take(name)
	if !written {
		return missingAttr(source, name)
	}
	link.Source = value
	if link.Kind == device.Direct {
		setDefault(source, "mode", "vepa")
		if mode := source.get("mode"); !slices.Contains(directModes, mode) {
			return badAttr(source, "mode", mode)
		}
	}
	return nil
}

// They are read as those inside are, with the same refusals.
func hostSide(source *node, link *device.Link) (err error) {
	link.HostSide.Addresses, link.HostSide.Routes, err = layer3(source)
	return err
}

// mac draws an address where none is written. It is stored then, so the next start
// has the same.
// Multicast addresses, with bit 0 of the first byte set, cannot be a link's own.
func (r *reader) mac(n *node, link *device.Link) error {
	written := n.one("mac").pick("address")
	if written == "" {
		address, err := r.codec.entropy.NewMAC()
		link.MAC = address
		return err
	}
	mac, err := parseMAC(written)
	switch {
	case err != nil:
		return bad("unable to parse mac address '%s'", written)
	case mac[0]&1 != 0:
		return bad("expected unicast mac address, found multicast '%s'", written)
	}
	link.MAC = mac
	return nil
}

// parseMAC reads six bytes of one or two digits.
// "52:54:0:a:b:c" is fine and printed as "52:54:00:0a:0b:0c".
func parseMAC(text string) (mac device.MAC, err error) {
	parts := strings.Split(text, ":")
	if len(parts) != len(mac) {
		return mac, strconv.ErrSyntax
	}
	for i, part := range parts {
		value, err := strconv.ParseUint(part, 16, 8)
		if err != nil || len(part) > 2 {
			return mac, strconv.ErrSyntax
		}
		mac[i] = byte(value)
	}
	return mac, nil
}

// formatMAC writes two lower-case digits for each byte.
// That is how clients compare addresses.
func formatMAC(mac device.MAC) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5])
}

// linkNames forgets a chosen name of the host end unless the document is of what
// runs: two containers defined from one document would fight for it.
// A name that was written by hand and begins like that is lost as well.
func (r *reader) linkNames(n *node, link *device.Link) error {
	link.HostName = n.one("target").pick("dev")
	if !r.live && strings.HasPrefix(link.HostName, automaticName) {
		link.HostName = ""
	}
	link.GuestName = n.one("guest").pick("dev")
	return nil
}

// linkOptions reads what has a default: state, isolation, MTU. What says no more
// than the default is not kept, but for port isolated='no'.
// An MTU of 0 is none. Whether the kernel takes the number is known at start.
func (r *reader) linkOptions(n *node, link *device.Link) error {
	link.LinkState = n.one("link").pick("state")
	if link.LinkState != "" && link.LinkState != "up" && link.LinkState != "down" {
		return unsupported("unknown interface link state '%s'", link.LinkState)
	}
	if port := n.one("port"); port != nil {
		switch isolated, written := port.attr("isolated"); {
		case isolated == "yes":
			port.take("isolated")
			link.Isolated = true
		case written && isolated != "no":
			return badAttr(port, "isolated", isolated)
		}
	}
	if size, written := n.one("mtu").take("size"); written {
		value, err := strconv.ParseUint(size, 10, 32)
		if err != nil {
			return bad("malformed mtu size")
		}
		link.MTU = uint(value)
	}
	return nil
}

// layer3 takes the addresses and routes inside n.
// Their order is kept, also in what is printed.
func layer3(n *node) (addresses []device.Address, routes []device.Route, err error) {
	for _, ip := range n.all("ip") {
		address, err := parseAddress(ip)
		if err != nil {
			return nil, nil, err
		}
		addresses = append(addresses, address)
	}
	for _, r := range n.all("route") {
		route, err := parseRoute(r)
		if err != nil {
			return nil, nil, err
		}
		routes = append(routes, route)
	}
	return addresses, routes, nil
}
