package domxml_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/device"
	"virtlxcd/domain/fault"
)

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

func linkOf(t testing.TB, inner string) device.Link {
	t.Helper()
	def, err := newCodec().Parse(devices(bridge + inner + "</interface>"))
	require.NoError(t, err, inner)
	require.Len(t, def.Links, 1)
	return def.Links[0]
}

func TestAddresses(t *testing.T) {
	for inner, want := range map[string]device.Address{
		"address='10.0.0.1'":                                {IP: addr("10.0.0.1"), Prefix: -1},
		"address='10.0.0.1' prefix='0'":                     {IP: addr("10.0.0.1"), Prefix: -1},
		"address='10.0.0.1' prefix='32' family='ipv4'":      {IP: addr("10.0.0.1"), Prefix: 32},
		"address='10.0.0.1' family='what' peer='10.0.0.2'":  {IP: addr("10.0.0.1"), Prefix: -1, Peer: addr("10.0.0.2")},
		"address='FD00:0:0::1' family='ipv6' prefix='64'":   {IP: addr("fd00::1"), Prefix: 64},
		"address='::ffff:1.2.3.4' family='ipv6'":            {IP: addr("::ffff:1.2.3.4"), Prefix: -1},
		"address='fe80::1' prefix='128' peer='::ffff:0:0'":  {IP: addr("fe80::1"), Prefix: 128, Peer: addr("::ffff:0:0")},
		"address='255.255.255.255' prefix='1' peer=''":      {IP: addr("255.255.255.255"), Prefix: 1},
		"address='0.0.0.0' prefix='' family='' unknown='1'": {IP: addr("0.0.0.0"), Prefix: -1},
	} {
		assert.Equal(t, []device.Address{want}, linkOf(t, "<ip "+inner+"/>").Addresses, inner)
	}
	for _, written := range []string{
		"10.0.0", "10.0.0.256", "010.0.0.1", "10.0.0.1/8", "10.0.0.1 ", "1", "host", "fe80::1%eth0", "[::1]", ":::", "fd00::1::2", "0x7f.0.0.1",
	} {
		_, err := newCodec().Parse(devices(bridge + "<ip address='" + written + "'/></interface>"))
		require.ErrorIs(t, err, fault.BadDefinition, written)
		assert.EqualError(t, err, "Invalid address '"+written+"' in <ip>")
	}
	for inner, text := range map[string]string{
		"address='fd00::1' family='ipv4'":            "Invalid address 'fd00::1' in <ip>",
		"address='::ffff:1.2.3.4' family='ipv4'":     "Invalid address '::ffff:1.2.3.4' in <ip>",
		"address='10.0.0.1' peer='fd00::1'":          "Invalid peer 'fd00::1' in <ip>",
		"address='fd00::1' peer='10.0.0.1'":          "Invalid peer '10.0.0.1' in <ip>",
		"address='10.0.0.1' prefix='08x'":            "Invalid prefix value '08x' in <ip>",
		"family='ipv4' prefix='8' peer='10.0.0.2'":   "Missing required address in <ip>",
		"address='' family='ipv4'":                   "Missing required address in <ip>",
		"address='10.0.0.1' prefix='99999999999999'": "Invalid prefix value '99999999999999' in <ip>",
	} {
		_, err := newCodec().Parse(devices(bridge + "<ip " + inner + "/></interface>"))
		assert.EqualError(t, err, text, inner)
	}
}

// TestAddressesKeepTheirOrder: the first address of a family is the main one.
func TestAddressesKeepTheirOrder(t *testing.T) {
	link := linkOf(t, "<route address='0.0.0.0' gateway='10.0.0.9'/><ip address='10.0.0.2'/><ip address='fd00::1'/><ip address='10.0.0.1'/><ip address='10.0.0.2'/>")
	var order []string
	for _, a := range link.Addresses {
		order = append(order, a.IP.String())
	}
	assert.Equal(t, []string{"10.0.0.2", "fd00::1", "10.0.0.1", "10.0.0.2"}, order)
	assert.Equal(t, addr("10.0.0.9"), link.Routes[0].Gateway)
}

func TestRoutes(t *testing.T) {
	gateway, gateway6 := addr("10.0.0.1"), addr("fd00::1")
	for inner, want := range map[string]device.Route{
		"address='0.0.0.0' gateway='10.0.0.1'":                           {To: addr("0.0.0.0"), Prefix: -1, Gateway: gateway},
		"address='10.0.0.0' gateway='10.0.0.1'":                          {To: addr("10.0.0.0"), Prefix: -1, Gateway: gateway},
		"address='172.16.0.0' gateway='10.0.0.1'":                        {To: addr("172.16.0.0"), Prefix: -1, Gateway: gateway},
		"address='192.168.7.0' gateway='10.0.0.1'":                       {To: addr("192.168.7.0"), Prefix: -1, Gateway: gateway},
		"address='10.1.2.3' prefix='32' gateway='10.0.0.1'":              {To: addr("10.1.2.3"), Prefix: 32, Gateway: gateway},
		"address='0.0.0.0' prefix='0' gateway='10.0.0.1' metric='7'":     {To: addr("0.0.0.0"), Prefix: 0, Gateway: gateway, Metric: 7},
		"address='10.4.0.0' netmask='255.252.0.0' gateway='10.0.0.1'":    {To: addr("10.4.0.0"), Prefix: -1, Netmask: addr("255.252.0.0"), Gateway: gateway},
		"address='10.0.5.0' netmask='255.0.255.0' gateway='10.0.0.1'":    {To: addr("10.0.5.0"), Prefix: -1, Netmask: addr("255.0.255.0"), Gateway: gateway},
		"address='0.0.0.0' netmask='0.0.0.0' gateway='10.0.0.1'":         {To: addr("0.0.0.0"), Prefix: -1, Netmask: addr("0.0.0.0"), Gateway: gateway},
		"family='ipv6' address='::' gateway='fd00::1'":                   {Family: "ipv6", To: addr("::"), Prefix: -1, Gateway: gateway6},
		"family='ipv6' address='fd00:1::' gateway='fd00::1'":             {Family: "ipv6", To: addr("fd00:1::"), Prefix: -1, Gateway: gateway6},
		"family='ipv6' address='fd00::8' prefix='127' gateway='FD00::1'": {Family: "ipv6", To: addr("fd00::8"), Prefix: 127, Gateway: gateway6},
		"family='' address='10.0.0.0' gateway='10.0.0.1' netmask=''":     {To: addr("10.0.0.0"), Prefix: -1, Gateway: gateway},
	} {
		assert.Equal(t, []device.Route{want}, linkOf(t, "<route "+inner+"/>").Routes, inner)
	}
	for inner, text := range map[string]string{
		"address='10.1.0.0' gateway='10.0.0.1'":                                "Address '10.1.0.0' in route definition is not a network address",
		"address='172.16.1.0' gateway='10.0.0.1'":                              "Address '172.16.1.0' in route definition is not a network address",
		"address='192.168.7.1' gateway='10.0.0.1'":                             "Address '192.168.7.1' in route definition is not a network address",
		"address='10.1.2.3' prefix='31' gateway='10.0.0.1'":                    "Address '10.1.2.3' in route definition is not a network address",
		"address='10.5.0.0' netmask='255.252.0.0' gateway='10.0.0.1'":          "Address '10.5.0.0' in route definition is not a network address",
		"address='10.0.0.5' netmask='255.0.255.0' gateway='10.0.0.1'":          "Address '10.0.0.5' in route definition is not a network address",
		"family='ipv6' address='fd00:1::1' gateway='fd00::1'":                  "Address 'fd00:1::1' in route definition is not a network address",
		"family='ipv6' address='fd00::1' prefix='127' gateway='fd00::1'":       "Address 'fd00::1' in route definition is not a network address",
		"family='ipv6' address='::' prefix='129' gateway='fd00::1'":            "Invalid prefix 129 specified in route definition, must be 0 - 128",
		"family='ipv6' address='::' gateway='10.0.0.1'":                        "ipv6 family specified for non-IPv6 gateway '10.0.0.1' in route definition",
		"family='ipv4' address='0.0.0.0' gateway='fd00::1'":                    "ipv4 family specified for non-IPv4 gateway 'fd00::1' in route definition",
		"address='0.0.0.0' gateway='fd00::1'":                                  "No family specified for non-IPv4 gateway 'fd00::1' in route definition",
		"address='10.0.0.0' netmask='ffff::' gateway='10.0.0.1'":               "No family specified for non-IPv4 netmask 'ffff::' in route definition",
		"family='ipv6' address='fd00::' netmask='ffff::' gateway='fd00::1'":    "Specifying netmask invalid for IPv6 address 'fd00::' in route definition",
		"family='ipv6' address='fd00::' netmask='255.0.0.0' gateway='fd00::1'": "ipv6 family specified for non-IPv6 netmask '255.0.0.0' in route definition",
		"address='0.0.0.0' netmask='0.0.0.0' prefix='0' gateway='10.0.0.1'":    "Route definition cannot have both a prefix and a netmask",
		"address='fe80::1%eth0' family='ipv6' gateway='fd00::1'":               "Bad network address 'fe80::1%eth0' in route definition",
		"address='10.0.0.0' gateway='10.0.0.1/8'":                              "Bad gateway address '10.0.0.1/8' in route definition",
	} {
		_, err := newCodec().Parse(route(inner))
		require.ErrorIs(t, err, fault.BadDefinition, inner)
		assert.EqualError(t, err, "guest interface: "+text)
	}
}

// TestHostSide: only an Ethernet link has addresses at its host end.
func TestHostSide(t *testing.T) {
	const source = "<source><ip address='10.0.0.1' peer='10.0.0.2'/><route address='0.0.0.0' gateway='10.0.0.9'/></source>"
	def, err := newCodec().Parse(devices("<interface type='ethernet'>" + source + "<ip address='10.0.0.2'/></interface>"))
	require.NoError(t, err)
	link := def.Links[0]
	assert.Equal(t, []device.Address{{IP: addr("10.0.0.1"), Prefix: -1, Peer: addr("10.0.0.2")}}, link.HostSide.Addresses)
	assert.Equal(t, []device.Route{{To: addr("0.0.0.0"), Prefix: -1, Gateway: addr("10.0.0.9")}}, link.HostSide.Routes)
	assert.Equal(t, []device.Address{{IP: addr("10.0.0.2"), Prefix: -1}}, link.Addresses)

	_, err = newCodec().Parse(devices("<interface type='ethernet'><source><ip address='x'/></source></interface>"))
	require.EqualError(t, err, "Invalid address 'x' in <ip>")
	_, err = newCodec().Parse(devices("<interface type='ethernet'><source><route address='0.0.0.0'/></source></interface>"))
	require.EqualError(t, err, "guest interface: Missing required gateway attribute in route definition")
}

func TestHardwareAddresses(t *testing.T) {
	for written, want := range map[string]device.MAC{
		"52:54:00:aa:BB:0c": {0x52, 0x54, 0, 0xaa, 0xbb, 0x0c}, "0:2:4:6:8:a": {0, 2, 4, 6, 8, 10}, "00:00:00:00:00:00": {}, "FE:ff:ff:ff:ff:ff": {0xfe, 255, 255, 255, 255, 255},
	} {
		def, err := newCodec().Parse(devices("<interface type='ethernet'><mac address='" + written + "'/></interface>"))
		require.NoError(t, err, written)
		assert.Equal(t, want, def.Links[0].MAC)
		assert.Contains(t, newCodec().Format(def, inactive), fmt.Sprintf("<mac address='%x:%x:", want[:1], want[1:2]))
	}
	for _, written := range []string{"52:54:00:00:00", "52:54:00:00:00:01:02", "52:54:00:00:00:", ":54:00:00:00:01", "525:4:0:0:0:1", "+2:54:0:0:0:1", "5g:0:0:0:0:0", "525400000001", " 52:54:00:00:00:01", "52:54:00:00:00:001"} {
		_, err := newCodec().Parse(devices("<interface type='ethernet'><mac address='" + written + "'/></interface>"))
		assert.EqualError(t, err, "unable to parse mac address '"+written+"'")
	}
}

// FuzzAddresses: what stands in the attributes is refused by name or comes
// back as it is understood.
func FuzzAddresses(f *testing.F) {
	f.Add("10.0.0.1", "ipv4", "24", "10.0.0.2", "52:54:0:0:0:1")
	f.Add("fd00::1", "ipv6", "64", "", "")
	f.Add("::ffff:1.2.3.4", "", "0", "::", "01:0:0:0:0:0")
	f.Add("1.2.3.4", "zz", "256", "x", "0:0:0:0:0:00")
	f.Fuzz(func(t *testing.T, address, family, prefix, peer, mac string) {
		inner := fmt.Sprintf("<interface type='ethernet'><mac address='%s'/><ip address='%s' family='%s' prefix='%s' peer='%s'/></interface>",
			escaped(mac), escaped(address), escaped(family), escaped(prefix), escaped(peer))
		codec := newCodec()
		def, err := codec.Parse(devices(inner))
		if err != nil {
			return
		}
		link := def.Links[0]
		assert.Zero(t, link.MAC[0]&1, "unicast")
		a := link.Addresses[0]
		assert.Equal(t, netip.MustParseAddr(address), a.IP)
		assert.LessOrEqual(t, a.Prefix, a.IP.BitLen())
		assert.NotZero(t, a.Prefix)
		if a.Peer.IsValid() {
			assert.Equal(t, a.IP.BitLen(), a.Peer.BitLen(), "both ends are of one family")
		}
		again, err := codec.Parse(codec.Format(def, inactive))
		require.NoError(t, err)
		assert.Equal(t, def, again)
	})
}
