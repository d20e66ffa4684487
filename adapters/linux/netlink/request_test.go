package netlink

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/device"
	"virtlxcd/domain/fault"
)

// attributes decodes a list of attributes, by type.
func attributes(t *testing.T, list []byte) map[uint16][]byte {
	t.Helper()
	attrs, err := nl.ParseRouteAttr(list)
	require.NoError(t, err)
	found := map[uint16][]byte{}
	for _, attr := range attrs {
		kind := attr.Attr.Type &^ unix.NLA_F_NESTED
		require.NotContains(t, found, kind, "once each")
		found[kind] = attr.Value
	}
	return found
}

// decode takes apart the message that makes a pair: host end and guest end.
func decode(t *testing.T, message []byte) (header syscall.NlMsghdr, host, guest map[uint16][]byte) {
	t.Helper()
	messages, err := syscall.ParseNetlinkMessage(message)
	require.NoError(t, err)
	require.Len(t, messages, 1)
	data := messages[0].Data
	info := nl.DeserializeIfInfomsg(data)
	assert.EqualValues(t, unix.IFF_UP, info.Flags)
	assert.EqualValues(t, unix.IFF_UP, info.Change)
	host = attributes(t, data[unix.SizeofIfInfomsg:])
	kind := attributes(t, host[unix.IFLA_LINKINFO])
	assert.Equal(t, "veth", string(kind[nl.IFLA_INFO_KIND]))
	peer := attributes(t, kind[nl.IFLA_INFO_DATA])[nl.VETH_INFO_PEER]
	require.GreaterOrEqual(t, len(peer), unix.SizeofIfInfomsg)
	assert.Zero(t, nl.DeserializeIfInfomsg(peer).Flags, "the guest end is born down")
	return messages[0].Header, host, attributes(t, peer[unix.SizeofIfInfomsg:])
}

func number(b []byte) uint32 { return binary.NativeEndian.Uint32(b) }

func TestPairRequest(t *testing.T) {
	namespace, err := os.Open("/proc/self/ns/net")
	require.NoError(t, err)
	defer namespace.Close()
	link := device.Link{HostName: "vlxa", GuestName: "eth7"}
	header, host, guest := decode(t, pairRequest(link, 0, namespace).Serialize())
	assert.EqualValues(t, unix.RTM_NEWLINK, header.Type)
	assert.EqualValues(t, unix.NLM_F_REQUEST|unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK, header.Flags)
	assert.Equal(t, "vlxa\x00", string(host[unix.IFLA_IFNAME]))
	assert.Equal(t, "eth7\x00", string(guest[unix.IFLA_IFNAME]))
	assert.EqualValues(t, namespace.Fd(), number(guest[unix.IFLA_NET_NS_FD]))
	assert.Len(t, host, 2, "nothing that was not asked for: %v", host)
	assert.Len(t, guest, 2, "%v", guest)

	link.MAC, link.MTU = device.MAC{0x52, 0x54, 0, 1, 2, 3}, 9000
	_, host, guest = decode(t, pairRequest(link, 77, namespace).Serialize())
	assert.EqualValues(t, 77, number(host[unix.IFLA_MASTER]))
	assert.EqualValues(t, 9000, number(host[unix.IFLA_MTU]))
	assert.EqualValues(t, 9000, number(guest[unix.IFLA_MTU]), "both ends, or large packets are lost")
	assert.Equal(t, link.MAC[:], guest[unix.IFLA_ADDRESS])
	assert.NotContains(t, host, uint16(unix.IFLA_ADDRESS), "the host end's is made up by the kernel")
	assert.NotContains(t, guest, uint16(unix.IFLA_MASTER))
}

// FuzzPairRequest: whatever names are let through come back out of the message, at
// their end and no other.
func FuzzPairRequest(f *testing.F) {
	f.Add("vnet0", "eth0", uint32(1), uint32(1500))
	f.Add("vlx-15-letters.", "a", uint32(0), uint32(0))
	f.Add("\xff", "eth:0", uint32(1<<31), uint32(1<<32-1))
	namespace, err := os.Open("/proc/self/ns/net")
	require.NoError(f, err)
	defer namespace.Close()
	f.Fuzz(func(t *testing.T, hostName, guestName string, bridge, mtu uint32) {
		link := device.Link{Kind: device.Ethernet, HostName: hostName, GuestName: guestName, MTU: uint(mtu)}
		if startable(link) != nil {
			return
		}
		_, host, guest := decode(t, pairRequest(link, int(bridge), namespace).Serialize())
		assert.Equal(t, hostName+"\x00", string(host[unix.IFLA_IFNAME]))
		assert.Equal(t, guestName+"\x00", string(guest[unix.IFLA_IFNAME]))
		assert.Equal(t, bridge != 0, host[unix.IFLA_MASTER] != nil)
		assert.Equal(t, mtu != 0, guest[unix.IFLA_MTU] != nil)
	})
}

func TestCheckName(t *testing.T) {
	for _, good := range []string{"a", "eth0", "vlx-fifteen.chr", "...", "\xc3\xa4"} {
		assert.NoError(t, checkName(good), "%q", good)
	}
	for _, bad := range []string{"", ".", "..", "sixteen-letters!", "a/b", "a b", "a:1", "a\t", "a\n", "a\x00b", "%", "eth%d", "a\v", "a\f", "a\r"} {
		assert.ErrorIs(t, checkName(bad), fault.InvalidArgument, "%q", bad)
	}
}

func TestToAddr(t *testing.T) {
	ip := netip.MustParseAddr
	for name, row := range map[string]struct {
		wish      device.Address
		want      string
		broadcast net.IP
		peer      string
	}{
		"as written":           {device.Address{IP: ip("192.0.2.2"), Prefix: 25}, "192.0.2.2/25", nil, ""},
		"everything":           {device.Address{IP: ip("192.0.2.2"), Prefix: 0}, "192.0.2.2/0", nil, ""},
		"mapped":               {device.Address{IP: ip("::ffff:192.0.2.2"), Prefix: 32}, "192.0.2.2/32", nil, ""},
		"sixth":                {device.Address{IP: ip("2001:db8::1"), Prefix: 128}, "2001:db8::1/128", nil, ""},
		"point to point":       {device.Address{IP: ip("192.0.2.2"), Prefix: 32, Peer: ip("192.0.2.9")}, "192.0.2.2/32", net.IPv4zero, "192.0.2.9/32"},
		"sixth point to point": {device.Address{IP: ip("fd00::1"), Prefix: 64, Peer: ip("fd00::2")}, "fd00::1/64", nil, "fd00::2/64"},
	} {
		addr, err := toAddr(row.wish)
		require.NoError(t, err, name)
		assert.Equal(t, row.want, addr.IPNet.String(), name)
		assert.Equal(t, row.broadcast, addr.Broadcast, name)
		if row.peer != "" {
			assert.Equal(t, row.peer, addr.Peer.String(), name)
		}
	}
	for name, wish := range map[string]device.Address{
		"none": {}, "too long": {IP: ip("192.0.2.2"), Prefix: 33}, "too long, sixth": {IP: ip("::1"), Prefix: 129},
		"peer of the sixth": {IP: ip("192.0.2.2"), Prefix: 24, Peer: ip("::1")}, "peer of the fourth": {IP: ip("::1"), Prefix: 64, Peer: ip("192.0.2.2")},
		"peer, prefix of the sixth": {IP: ip("2001:db8::1"), Prefix: 64, Peer: ip("192.0.2.1")},
	} {
		_, err := toAddr(wish)
		require.ErrorIs(t, err, fault.InvalidArgument, name)
	}
}

func TestToRoute(t *testing.T) {
	ip := netip.MustParseAddr
	v4, v6 := ip("192.0.2.1"), ip("2001:db8::1")
	for name, row := range map[string]struct {
		wish   device.Route
		want   string
		metric int
	}{
		"default":              {device.Route{Prefix: -1, Gateway: v4}, "0.0.0.0/0", 1},
		"default of the sixth": {device.Route{Prefix: -1, Gateway: v6}, "::/0", 1},
		"written":              {device.Route{To: ip("203.0.113.9"), Prefix: 24, Gateway: v4, Metric: 4294967295}, "203.0.113.0/24", 4294967295},
		"netmask":              {device.Route{To: ip("203.0.113.9"), Prefix: -1, Netmask: ip("255.255.0.0"), Gateway: v4}, "203.0.0.0/16", 1},
		"netmask, prefix 0":    {device.Route{To: ip("203.0.113.9"), Prefix: 0, Netmask: ip("255.255.255.255"), Gateway: v4}, "203.0.113.9/32", 1},
		"prefix and netmask":   {device.Route{To: ip("203.0.113.9"), Prefix: 8, Netmask: ip("255.255.0.0"), Gateway: v4}, "203.0.0.0/8", 1},
		"mapped":               {device.Route{To: ip("::ffff:203.0.113.9"), Prefix: 32, Gateway: ip("::ffff:192.0.2.1")}, "203.0.113.9/32", 1},
	} {
		route, err := toRoute(row.wish)
		require.NoError(t, err, name)
		assert.Equal(t, row.want, route.Dst.String(), name)
		assert.Equal(t, row.metric, route.Priority, name)
	}
	for name, wish := range map[string]device.Route{
		"no gateway": {To: ip("203.0.113.0"), Prefix: 24}, "too long": {To: ip("203.0.113.0"), Prefix: 33, Gateway: v4},
		"gateway of the sixth": {To: ip("203.0.113.0"), Prefix: 24, Gateway: v6}, "gateway of the fourth": {To: ip("2001:db8::"), Prefix: 32, Gateway: v4},
		"netmask of the sixth": {To: ip("203.0.113.0"), Prefix: -1, Netmask: ip("ffff::"), Gateway: v4}, "netmask with a hole": {To: ip("203.0.113.0"), Prefix: -1, Netmask: ip("255.0.255.0"), Gateway: v4},
	} {
		_, err := toRoute(wish)
		require.ErrorIs(t, err, fault.InvalidArgument, name)
	}
}

// TestErrnoReadsAsClientsKnowIt, however it was wrapped, and stays an errno.
func TestErrnoReadsAsClientsKnowIt(t *testing.T) {
	err := failed(os.NewSyscallError("netlink receive", unix.ENODEV), "unable to do '%s'", "it")
	assert.Equal(t, "unable to do 'it': No such device", err.Error())
	require.ErrorIs(t, err, unix.ENODEV)
	require.ErrorIs(t, err, fault.System)
	err = failed(os.ErrDeadlineExceeded, "unable")
	assert.True(t, strings.HasPrefix(err.Error(), "unable: "), "what is no errno is left as it is")
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}
