package domxml

import (
	"strconv"
	"strings"

	"virtlxcd/domain/device"
)

// link writes one interface. A name of the host end that was chosen is shown only
// while it runs; that of the end inside also in what is stored, if it was written.
// A link whose kind has no source attribute prints what it has as a leftover. An MTU
// of 0 is none.
// The address is always printed: the reader draws one where none was.
func (w *writer) link(link *device.Link) *node {
	n := el("interface", "type", string(link.Kind)).add(el("mac", "address", formatMAC(link.MAC)))
	if name, has := linkSources[link.Kind]; has {
		n.add(el("source", name, link.Source))
	}
	if link.Kind == device.Ethernet {
		source := el("source")
		source.layer3(link.HostSide.Addresses, link.HostSide.Routes)
		n.unlessEmpty(source)
	}
	if link.Isolated {
		n.add(el("port", "isolated", "yes"))
	}
	n.layer3(link.Addresses, link.Routes)
	if link.HostName != "" && (!w.how.Inactive || !strings.HasPrefix(link.HostName, automaticName)) {
		n.add(el("target", "dev", link.HostName))
	}
	if link.GuestName != "" {
		n.add(el("guest", "dev", link.GuestName))
	}
	if link.LinkState != "" {
		n.add(el("link", "state", link.LinkState))
	}
	if link.MTU != 0 {
		n.add(el("mtu", "size", strconv.FormatUint(uint64(link.MTU), 10)))
	}
	restore(n, link.Leftovers)
	return n
}

// layer3 writes addresses, always with their family, then routes.
// n is the interface, or its source for the host's side.
func (n *node) layer3(addresses []device.Address, routes []device.Route) {
	for _, address := range addresses {
		ip := el("ip", "address", address.IP.String(), "family", family(address.IP))
		if address.Prefix > 0 {
			ip.set("prefix", strconv.Itoa(address.Prefix))
		}
		if address.Peer.IsValid() {
			ip.set("peer", address.Peer.String())
		}
		n.add(ip)
	}
	for i := range routes {
		n.add(route(&routes[i]))
	}
}

// route writes the family only where it was written.
// A prefix of 0 was written and is printed; below 0 there was none.
// Its attributes are in the order in which libvirt prints them.
func route(r *device.Route) *node {
	n := el("route")
	if r.Family != "" {
		n.set("family", r.Family)
	}
	n.set("address", r.To.String())
	if r.Netmask.IsValid() {
		n.set("netmask", r.Netmask.String())
	}
	if r.Prefix >= 0 {
		n.set("prefix", strconv.Itoa(r.Prefix))
	}
	n.set("gateway", r.Gateway.String())
	if r.Metric != 0 {
		n.set("metric", strconv.FormatUint(uint64(r.Metric), 10))
	}
	return n
}
