package netlink

import (
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"

	"virtlxcd/domain/device"
)

// defaultMetric is that of routes written without one, as in the document (route's
// attribute metric); the kernel's own default would be 0 for IPv4 and 1024 for IPv6.
const defaultMetric = 1

// address gives a link its addresses and routes, in this order: gateways are
// reached through the networks of addresses. InvalidArgument for what no kernel would
// take, System with the errno for what this one refuses (ENETUNREACH: the gateway is in
// no network of the link). What was set before stays; the caller removes the link.
func address(handle *netlink.Handle, name string, index int, addresses []device.Address, routes []device.Route) error {
	link := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Name: name, Index: index}}
	for _, wish := range addresses {
		addr, err := toAddr(wish)
		if err != nil {
			return err
		}
		if err := handle.AddrAdd(link, addr); err != nil {
			return failed(err, "unable to add address %s to link '%s'", addr.IPNet, name)
		}
	}
	for _, wish := range routes {
		route, err := toRoute(wish)
		if err != nil {
			return err
		}
		route.LinkIndex = index
		if err := handle.RouteAdd(route); err != nil {
			return failed(err, "unable to add route %s via %s to link '%s'", route.Dst, route.Gw, name)
		}
	}
	return nil
}

// toAddr: the broadcast address of an IPv4 network is worked out by the
// library unless one is set; the zero address stands for none, as between two points.
// IPv4 written as IPv6 (::ffff:a.b.c.d) is IPv4. A zone is dropped.
func toAddr(wish device.Address) (*netlink.Addr, error) {
	ip := wish.IP.Unmap()
	if !ip.IsValid() {
		return nil, invalid("an address of a link is missing")
	}
	prefix := wish.Prefix
	if prefix < 0 {
		prefix = device.DefaultPrefix(ip)
	}
	network, err := toNet(ip, prefix)
	if err != nil {
		return nil, err
	}
	addr := &netlink.Addr{IPNet: network}
	if !wish.Peer.IsValid() {
		return addr, nil
	}
	if addr.Peer, err = toNet(wish.Peer.Unmap(), prefix); err != nil {
		return nil, err
	}
	if peer := wish.Peer.Unmap(); peer.Is4() != ip.Is4() {
		return nil, invalid("address %s and peer %s are of different families", ip, peer)
	}
	if ip.Is4() {
		addr.Broadcast = net.IPv4zero
	}
	return addr, nil
}

// toNet keeps the whole address, not just its network.
func toNet(ip netip.Addr, prefix int) (*net.IPNet, error) {
	if prefix > ip.BitLen() || prefix < 0 {
		return nil, invalid("%d is no prefix length for address %s", prefix, ip)
	}
	return &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(prefix, ip.BitLen())}, nil
}

// toRoute: what is left of the destination beyond its prefix is ignored, as in
// "to any address near this one". Without a destination it is the default route of the
// gateway's family. The kernel would take an IPv4 destination by an IPv6 gateway
// (RTA_VIA); the interface has no way to say so, and it is a mistake there.
func toRoute(wish device.Route) (*netlink.Route, error) {
	gateway := wish.Gateway.Unmap()
	if !gateway.IsValid() {
		return nil, invalid("a route needs a gateway")
	}
	to := wish.To.Unmap()
	if !to.IsValid() {
		to = netip.IPv4Unspecified()
		if gateway.Is6() {
			to = netip.IPv6Unspecified()
		}
	}
	if to.Is4() != gateway.Is4() {
		return nil, invalid("destination %s and gateway %s of a route are of different families", to, gateway)
	}
	prefix, err := routePrefix(wish, to)
	if err != nil {
		return nil, err
	}
	network, err := toNet(to, prefix)
	if err != nil {
		return nil, err
	}
	network.IP = network.IP.Mask(network.Mask)
	route := &netlink.Route{Dst: network, Gw: gateway.AsSlice(), Priority: int(wish.Metric)}
	if route.Priority == 0 {
		route.Priority = defaultMetric
	}
	return route, nil
}

// routePrefix: written, from the netmask, none for the default route, or the
// family's default. A prefix of 0 next to a netmask counts as not written.
func routePrefix(wish device.Route, to netip.Addr) (int, error) {
	switch {
	case wish.Prefix >= 0 && !(wish.Prefix == 0 && wish.Netmask.IsValid()):
		return wish.Prefix, nil
	case wish.Netmask.IsValid():
		ones, bits := net.IPMask(wish.Netmask.Unmap().AsSlice()).Size()
		if bits != to.BitLen() {
			return 0, invalid("%s is no netmask for %s", wish.Netmask, to)
		}
		return ones, nil
	case to.IsUnspecified():
		return 0, nil
	}
	return device.DefaultPrefix(to), nil
}
