package domxml

import (
	"net/netip"
	"strconv"

	"virtlxcd/domain/device"
	"virtlxcd/domain/fault"
)

// parseAddress reads <ip>:
//
//	<ip address='10.0.0.1' family='ipv4' prefix='24' peer='10.0.0.2'/>
//
// Addresses have no zone, and octets no leading zeros, which some take for octal.
// Without a prefix it is -1: which one then holds is decided at start. With an error
// the result means nothing.
func parseAddress(n *node) (device.Address, error) {
	address := device.Address{Prefix: -1}
	written := n.pick("address")
	if written == "" {
		return address, bad("Missing required address in <ip>")
	}
	var ok bool
	if address.IP, ok = parseIP(written, n.pick("family")); !ok {
		return address, bad("Invalid address '%s' in <ip>", written)
	}
	if prefix := n.pick("prefix"); prefix != "" {
		value, err := strconv.ParseUint(prefix, 10, 8)
		if err != nil || int(value) > address.IP.BitLen() {
			return address, bad("Invalid prefix value '%s' in <ip>", prefix)
		}
		if value > 0 { // zero stands for "not written"
			address.Prefix = int(value)
		}
	}
	if peer := n.pick("peer"); peer != "" {
		if address.Peer, ok = parseIP(peer, family(address.IP)); !ok {
			return address, fault.New(fault.InvalidArgument, fault.API, "Invalid peer '%s' in <ip>", peer)
		}
	}
	return address, nil
}

// family is how documents call the family of an address; mapped IPv4 is IPv6.
// It is the word in the attribute of that name.
func family(ip netip.Addr) string {
	if ip.Is6() {
		return "ipv6"
	}
	return "ipv4"
}

// parseIP reads an address of the family; one that is no family does not bind.
// wanted may be empty: either family is fine.
func parseIP(text, wanted string) (netip.Addr, bool) {
	ip, err := netip.ParseAddr(text)
	if err != nil || ip.Zone() != "" {
		return netip.Addr{}, false
	}
	if (wanted == "ipv4" || wanted == "ipv6") && family(ip) != wanted {
		return netip.Addr{}, false
	}
	return ip, true
}

// badRoute complains of one attribute of a <route>.
// The text goes around what format says, as in "guest interface: Bad gateway address
// 'x' in route definition".
func badRoute(format string, args ...any) error {
	return fault.New(fault.BadDefinition, fault.Network, "guest interface: "+format+" in route definition", args...)
}

// parseRoute reads <route>:
//
//	<route family='ipv4' address='10.0.0.0' prefix='8' gateway='10.0.0.1' metric='5'/>
//
// The family is kept only where it was written, as it is shown only then.
// What is missing is refused before what is wrong, then in the order of the checks here.
func parseRoute(n *node) (device.Route, error) {
	route := device.Route{Prefix: -1, Family: n.pick("family")}
	to, gateway, netmask := n.pick("address"), n.pick("gateway"), n.pick("netmask")
	var ok bool
	switch {
	case to == "":
		return route, badRoute("Missing required address attribute")
	case gateway == "":
		return route, badRoute("Missing required gateway attribute")
	}
	if route.To, ok = parseIP(to, ""); !ok {
		return route, badRoute("Bad network address '%s'", to)
	}
	if route.Gateway, ok = parseIP(gateway, ""); !ok {
		return route, badRoute("Bad gateway address '%s'", gateway)
	}
	if netmask != "" {
		if route.Netmask, ok = parseIP(netmask, ""); !ok {
			return route, badRoute("Bad netmask address '%s'", netmask)
		}
	}
	if err := routeNumbers(n, &route); err != nil {
		return route, err
	}
	if err := routeFamily(&route); err != nil {
		return route, err
	}
	return route, routeNetwork(&route)
}

// routeNumbers reads what is a number. How long a prefix may be depends on the
// family, which is checked later.
// A metric of 0 would be printed as none, so it is refused instead of changed.
// Both attributes may be missing: the prefix is then -1, the metric 0.
func routeNumbers(n *node, route *device.Route) error {
	if prefix, written := n.take("prefix"); written {
		value, err := strconv.ParseUint(prefix, 10, 31)
		if err != nil {
			return badNumber(n, "prefix", prefix)
		}
		route.Prefix = int(value)
	}
	if metric, written := n.take("metric"); written {
		value, err := strconv.ParseUint(metric, 10, 32)
		switch {
		case err != nil:
			return badNumber(n, "metric", metric)
		case value == 0:
			return badStructure("Invalid value for attribute 'metric' in element 'route': Zero is not permitted")
		}
		route.Metric = uint(value)
	}
	return nil
}

// routeFamily checks that everything in the route is of the family that was
// written, or of IPv4 where none was.
// Netmasks exist for IPv4 alone, and beside a prefix one of the two would be ignored.
func routeFamily(route *device.Route) error {
	wanted, name := "ipv4", "IPv4"
	switch route.Family {
	case "", "ipv4":
	case "ipv6":
		wanted, name = "ipv6", "IPv6"
	default:
		return badRoute("Unrecognized family '%s'", route.Family)
	}
	for _, part := range []struct {
		what string
		ip   netip.Addr
	}{{"address", route.To}, {"netmask", route.Netmask}, {"gateway", route.Gateway}} {
		switch {
		case !part.ip.IsValid() || family(part.ip) == wanted:
		case route.Family == "":
			return badRoute("No family specified for non-IPv4 %s '%s'", part.what, part.ip)
		default:
			return badRoute("%s family specified for non-%s %s '%s'", route.Family, name, part.what, part.ip)
		}
	}
	switch {
	case wanted == "ipv6" && route.Netmask.IsValid():
		return badRoute("Specifying netmask invalid for IPv6 address '%s'", route.To)
	case route.Netmask.IsValid() && route.Prefix >= 0:
		return fault.New(fault.BadDefinition, fault.Network,
			"guest interface: Route definition cannot have both a prefix and a netmask")
	case route.Prefix > route.To.BitLen():
		return fault.New(fault.BadDefinition, fault.Network,
			"guest interface: Invalid prefix %d specified in route definition, must be 0 - %d", route.Prefix, route.To.BitLen())
	}
	return nil
}

// routeNetwork refuses an address with bits outside its network. A netmask with
// holes is taken bit by bit, as it is elsewhere; start refuses it.
// The kernel would refuse such a route only when the container starts. A route to
// 0.0.0.0 or :: without a prefix is the default route.
func routeNetwork(route *device.Route) error {
	outside := false
	switch bits := route.Prefix; {
	case route.Netmask.IsValid():
		mask := route.Netmask.AsSlice()
		for i, b := range route.To.AsSlice() {
			outside = outside || b&^mask[i] != 0
		}
	case bits < 0 && route.To.IsUnspecified():
	case bits < 0:
		bits = device.DefaultPrefix(route.To)
		fallthrough
	default:
		network, err := route.To.Prefix(bits)
		outside = err != nil || network.Addr() != route.To
	}
	if outside {
		return fault.New(fault.BadDefinition, fault.Network,
			"guest interface: Address '%s' in route definition is not a network address", route.To)
	}
	return nil
}
