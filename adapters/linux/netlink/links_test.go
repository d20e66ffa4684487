package netlink

import (
	"context"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/device"
	"virtlxcd/domain/fault"
)

func TestMissingBridge(t *testing.T) {
	l := privateHost(t)
	link := bridged("vnet7", 0)
	link.Source = "vlxnone"
	_, err := l.Connect(soon(t), link, newNamespace(t))
	var e *fault.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, "Unable to add bridge vlxnone port vnet7: No such device", e.Message())
	assert.Equal(t, fault.System, e.Kind)
	assert.Equal(t, fault.Host, e.Area)
	assert.ErrorIs(t, err, unix.ENODEV)
	assert.Len(t, seen(t, l.home), 1)
}

func TestSourceThatIsNoBridge(t *testing.T) {
	l := privateHost(t)
	namespace := newNamespace(t)
	link := bridged("vlxa", 0)
	link.Source = "lo"
	_, err := l.Connect(soon(t), link, namespace)
	require.ErrorIs(t, err, fault.System)
	assert.Contains(t, err.Error(), "Unable to add bridge lo port vlxa: ")
	assert.Len(t, seen(t, l.home), 1, "nothing leaks")
	assert.Empty(t, seen(t, namespace))
}

func TestGuestState(t *testing.T) {
	for _, row := range []struct {
		name      string
		state     string
		addresses []device.Address
		up        bool
	}{
		{"nothing", "", nil, false},
		{"down", "down", nil, false},
		{"up", "up", nil, true},
		{"address", "", []device.Address{{IP: netip.MustParseAddr("192.0.2.2"), Prefix: 24}}, true},
		{"down with an address", "down", []device.Address{{IP: netip.MustParseAddr("2001:db8::2"), Prefix: -1}}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := privateHost(t)
			namespace := newNamespace(t)
			link := bridged("vlxa", 0)
			link.LinkState, link.Addresses = row.state, row.addresses
			connect(t, l, link, namespace)
			guest := seen(t, namespace)
			require.Len(t, guest, 1)
			assert.Equal(t, row.up, guest[0].Up)
		})
	}
}

func TestGuestConfiguration(t *testing.T) {
	l := privateHost(t)
	namespace := newNamespace(t)
	link := bridged("vlxa", 0)
	link.MTU = 1400
	link.Addresses = []device.Address{
		{IP: netip.MustParseAddr("192.0.2.2"), Prefix: 24},
		{IP: netip.MustParseAddr("198.51.100.2"), Prefix: 32, Peer: netip.MustParseAddr("198.51.100.9")},
		{IP: netip.MustParseAddr("2001:db8::2"), Prefix: -1},
	}
	link.Routes = []device.Route{
		{To: netip.MustParseAddr("0.0.0.0"), Prefix: -1, Gateway: netip.MustParseAddr("192.0.2.1")},
		{To: netip.MustParseAddr("203.0.113.7"), Prefix: -1, Netmask: netip.MustParseAddr("255.255.255.0"), Gateway: netip.MustParseAddr("192.0.2.1"), Metric: 9},
		{Family: "ipv6", To: netip.MustParseAddr("2001:db8:1::"), Prefix: 48, Gateway: netip.MustParseAddr("2001:db8::1")},
	}
	connect(t, l, link, namespace)
	guest := seen(t, namespace)
	require.Len(t, guest, 1)
	assert.Equal(t, uint(1400), guest[0].MTU)
	assert.Equal(t, map[string]string{"192.0.2.2": "192.0.2.255", "198.51.100.2": "<nil>", "2001:db8::2": "<nil>"}, broadcasts(t, namespace))
	v4, v6 := routes(t, namespace, netlink.FAMILY_V4), routes(t, namespace, netlink.FAMILY_V6)
	require.Len(t, v4, 2)
	require.Len(t, v6, 1)
	metrics := map[string]int{}
	for _, route := range append(v4, v6...) {
		metrics[route.Dst.String()+" "+route.Gw.String()] = route.Priority
	}
	assert.Equal(t, map[string]int{
		"0.0.0.0/0 192.0.2.1": 1, "203.0.113.0/24 192.0.2.1": 9, "2001:db8:1::/48 2001:db8::1": 1,
	}, metrics)
}

// broadcasts maps addresses that are not link-local to broadcast addresses.
func broadcasts(t *testing.T, namespace *os.File) map[string]string {
	t.Helper()
	found := map[string]string{}
	require.NoError(t, within(netns.NsHandle(namespace.Fd()), func(handle *netlink.Handle) error {
		addrs, err := handle.AddrList(nil, netlink.FAMILY_ALL)
		for _, addr := range addrs {
			if !addr.IP.IsLinkLocalUnicast() && !addr.IP.IsLoopback() {
				found[addr.IP.String()] = addr.Broadcast.String()
			}
		}
		return err
	}))
	return found
}

func TestHostSide(t *testing.T) {
	l := privateHost(t)
	link := bridged("vlxa", 0)
	link.Kind, link.Source, link.LinkState = device.Ethernet, "", "up"
	link.HostSide = device.HostSide{
		Addresses: []device.Address{{IP: netip.MustParseAddr("192.0.2.1"), Prefix: 24}},
		Routes:    []device.Route{{To: netip.MustParseAddr("203.0.113.0"), Prefix: 24, Gateway: netip.MustParseAddr("192.0.2.2")}},
	}
	connect(t, l, link, newNamespace(t))
	require.Len(t, routes(t, l.home, netlink.FAMILY_V4), 1)
}

func TestIsolation(t *testing.T) {
	l := privateHost(t)
	for i, isolated := range []bool{true, false} {
		link := bridged([]string{"vlxa", "vlxb"}[i], byte(i))
		link.Isolated = isolated
		index := connect(t, l, link, newNamespace(t))
		require.NoError(t, l.onHost(func(handle *netlink.Handle) error {
			port, err := handle.LinkGetProtinfo(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: index}})
			assert.Equal(t, isolated, port.Isolated)
			return err
		}))
	}
}

func TestFailureInsideLeavesNothing(t *testing.T) {
	l := privateHost(t)
	namespace := newNamespace(t)
	link := bridged("vlxa", 0)
	link.Addresses = []device.Address{{IP: netip.MustParseAddr("192.0.2.2"), Prefix: 24}}
	link.Routes = []device.Route{{To: netip.MustParseAddr("203.0.113.0"), Prefix: 24, Gateway: netip.MustParseAddr("10.0.0.1")}}
	_, err := l.Connect(soon(t), link, namespace)
	require.ErrorIs(t, err, unix.ENETUNREACH)
	assert.Len(t, seen(t, l.home), 1)
	assert.Empty(t, seen(t, namespace))
}

func TestWaitsForADyingLink(t *testing.T) {
	l := privateHost(t)
	old := newNamespace(t)
	before := connect(t, l, bridged("vlxa", 0), old)
	namespace := newNamespace(t)
	go func() {
		time.Sleep(50 * time.Millisecond) // the last holder lets go while Connect waits
		_ = old.Close()
	}()
	index, err := l.Connect(soon(t), bridged("vlxa", 0), namespace)
	require.NoError(t, err)
	assert.NotEqual(t, before, index)
	require.NoError(t, l.Disconnect(soon(t), "vlxa", index))
}

func TestDoesNotWaitForWhatCannotDie(t *testing.T) {
	l := privateHost(t)
	began := time.Now()
	_, err := l.Connect(soon(t), bridged(testBridge, 0), newNamespace(t))
	require.ErrorIs(t, err, unix.EEXIST)
	assert.Less(t, time.Since(began), dyingLimit/2)
}

func TestWaitEndsWithTheContext(t *testing.T) {
	l := privateHost(t)
	connect(t, l, bridged("vlxa", 0), newNamespace(t))
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := l.Connect(ctx, bridged("vlxa", 0), newNamespace(t))
	require.ErrorIs(t, err, fault.Timeout)
	canceled, stop := context.WithCancel(context.Background())
	stop()
	_, err = l.Connect(canceled, bridged("vlxb", 0), newNamespace(t))
	require.ErrorIs(t, err, fault.Aborted)
	require.ErrorIs(t, l.Disconnect(canceled, "vlxa", 1), fault.Aborted)
}

func TestRefusals(t *testing.T) {
	l := privateHost(t)
	address := func(text string, prefix int) []device.Address {
		return []device.Address{{IP: netip.MustParseAddr(text), Prefix: prefix}}
	}
	route := func(r device.Route) []device.Route { return []device.Route{r} }
	gateway := netip.MustParseAddr("192.0.2.1")
	for name, row := range map[string]struct {
		change func(*device.Link)
		kind   fault.Kind
	}{
		"kind":   {func(d *device.Link) { d.Kind = "user" }, fault.UnsupportedConfig},
		"host":   {func(d *device.Link) { d.HostName = "vlx-much-too-long-a-name" }, fault.InvalidArgument},
		"guest":  {func(d *device.Link) { d.GuestName = "a/b" }, fault.InvalidArgument},
		"prefix": {func(d *device.Link) { d.Addresses = address("192.0.2.2", 33) }, fault.InvalidArgument},
		"no ip":  {func(d *device.Link) { d.Addresses = []device.Address{{}} }, fault.InvalidArgument},
		"peer": {func(d *device.Link) {
			d.Addresses = address("192.0.2.2", 24)
			d.Addresses[0].Peer = netip.MustParseAddr("::1")
		}, fault.InvalidArgument},
		"gateway": {func(d *device.Link) { d.Routes = route(device.Route{Prefix: 0}) }, fault.InvalidArgument},
		"netmask": {func(d *device.Link) {
			d.Routes = route(device.Route{Gateway: gateway, Prefix: -1, Netmask: netip.MustParseAddr("255.0.255.0")})
		}, fault.InvalidArgument},
		"mac":      {func(d *device.Link) { d.MAC[0] = 1 }, fault.System},
		"guestMTU": {func(d *device.Link) { d.MTU = 20 }, fault.System},
	} {
		t.Run(name, func(t *testing.T) {
			link := bridged("vlxa", 0)
			row.change(&link)
			_, err := l.Connect(soon(t), link, newNamespace(t))
			require.ErrorIs(t, err, row.kind)
		})
	}
	assert.Len(t, seen(t, l.home), 1)
}

func BenchmarkConnect(b *testing.B) {
	l := privateHost(b)
	ctx := context.Background()
	for b.Loop() {
		b.StopTimer()
		namespace := newNamespace(b)
		link := bridged("vlxa", 0)
		b.StartTimer()
		index, err := l.Connect(ctx, link, namespace)
		b.StopTimer()
		require.NoError(b, err)
		require.NoError(b, l.Disconnect(ctx, "vlxa", index))
		_ = namespace.Close()
		b.StartTimer()
	}
}

func BenchmarkConnectWithAddress(b *testing.B) {
	l := privateHost(b)
	ctx := context.Background()
	for b.Loop() {
		b.StopTimer()
		namespace := newNamespace(b)
		link := bridged("vlxa", 0)
		link.Addresses = []device.Address{{IP: netip.MustParseAddr("192.0.2.2"), Prefix: 24}}
		b.StartTimer()
		index, err := l.Connect(ctx, link, namespace)
		b.StopTimer()
		require.NoError(b, err)
		require.NoError(b, l.Disconnect(ctx, "vlxa", index))
		_ = namespace.Close()
		b.StartTimer()
	}
}

func BenchmarkName(b *testing.B) {
	l := privateHost(b)
	ctx := context.Background()
	for b.Loop() {
		named, err := l.Name(ctx, []device.Link{{}})
		require.NoError(b, err)
		l.Release(named)
	}
}
