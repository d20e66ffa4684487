package porttest

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/device"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// LinksHarness is a host with one bridge and no link whose name starts with "vlx".
// Features that Missing may name: "isolation", "mtu", "ethernet". Names and indexes on
// the host are compared before and after, so nothing else may make links there
// meanwhile.
type LinksHarness struct {
	Links  ports.Links
	Bridge string
	// Netns makes a network namespace. The harness closes it. It is as Held.Network is,
	// so links can be put into it and it lives as long as the descriptor is open.
	Netns func(t *testing.T) *os.File
	// Drop ends a namespace as the death of its last process does, and returns
	// when its links are gone.
	Drop func(t *testing.T, netns *os.File)
	// Host lists links of the host; Guest those of the namespace, without lo. They read
	// the kernel's tables on their own, since a port that believes in links it did not
	// make would pass by its own word.
	Host  func(t *testing.T) []SeenLink
	Guest func(t *testing.T, netns *os.File) []SeenLink

	Missing []string
}

// SeenLink is a link as a harness found it. Link-local addresses are left out: the
// kernel gives them to links that are up, some time later.
type SeenLink struct {
	Name      string
	Index     int
	MAC       device.MAC
	Up        bool
	MTU       uint // 0: the harness does not tell
	Bridge    string
	Addresses []netip.Prefix // without link-local ones
}

// TestLinks checks a Links. A link is a pair (veth(4)), one end on the host and the
// other in the container's namespace. Names are of 15 bytes at most, and those of
// checks start with vlx.
func TestLinks(t *testing.T, build func(t *testing.T) LinksHarness) {
	run(t, build, slices.Concat([]check[LinksHarness]{
		{"fills in names", linkNames},
		{"keeps names that were given", linkGivenNames},
		{"expands a pattern", linkPattern},
		{"reserves names", linkReserves},
		{"reserves names among many", linkReservesConcurrently},
		{"avoids names in use", linkAvoids},
		{"connects to a bridge", linkConnects},
		{"brings the guest end up if asked", linkGuestUp},
		{"connects without a bridge", linkEthernet},
		{"sets the mtu", linkMTU},
		{"configures the guest end", linkAddresses},
		{"connects several", linkSeveral},
		{"a missing bridge leaves nothing", linkMissingBridge},
		{"a name in use leaves nothing", linkTaken},
		{"disconnects once or twice", linkDisconnects},
		{"finds an index again", linkIndex},
		{"does not touch a successor", linkSuccessor},
		{"goes with the namespace", linkGoesWithNamespace},
	}, linkEdges))
}

// bridged is a link on the harness's bridge; last makes its address its own. Two with
// the same last byte would be one to a bridge, so checks use each once.
func bridged(h LinksHarness, host, guest string, last byte) device.Link {
	return device.Link{
		Kind: device.Bridge, Source: h.Bridge, MAC: device.MAC{0x52, 0x54, 0, 1, 2, last},
		HostName: host, GuestName: guest,
	}
}

// names has the names chosen and gives them back with the check. The slice is as long
// as the argument and in the same order.
func names(t *testing.T, h LinksHarness, links ...device.Link) []device.Link {
	t.Helper()
	named, err := h.Links.Name(soon(t), links)
	require.NoError(t, err)
	require.Len(t, named, len(links))
	t.Cleanup(func() { h.Links.Release(named) })
	return named
}

// find is nil if there is no link of the name. It points into seen, so it is as old as
// that.
func find(seen []SeenLink, name string) *SeenLink {
	i := slices.IndexFunc(seen, func(l SeenLink) bool { return l.Name == name })
	if i < 0 {
		return nil
	}
	return &seen[i]
}

// connect makes a link that is removed with the check; one that is gone by then is
// fine. Index and name are those of the host end, which is enough to remove both.
func connect(t *testing.T, h LinksHarness, link device.Link, netns *os.File) int {
	t.Helper()
	index, err := h.Links.Connect(soon(t), link, netns)
	require.NoError(t, err)
	require.Positive(t, index)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		assert.NoError(t, h.Links.Disconnect(ctx, link.HostName, index))
	})
	return index
}

// linkNames: two open names in one call must differ from each other, not only from
// those in use. Guest ends count from eth0 in each container. The argument may be part
// of a definition that others read, so it must not be written to.
func linkNames(t *testing.T, h LinksHarness) {
	open := []device.Link{bridged(h, "", "", 1), bridged(h, "", "", 2)}
	named := names(t, h, open...)
	assert.Regexp(t, `^vnet\d+$`, named[0].HostName)
	assert.Regexp(t, `^vnet\d+$`, named[1].HostName)
	assert.NotEqual(t, named[0].HostName, named[1].HostName)
	assert.Equal(t, []string{"eth0", "eth1"}, []string{named[0].GuestName, named[1].GuestName})
	assert.Equal(t, open[0].MAC, named[0].MAC, "the rest stays as it is")
	assert.Empty(t, open[0].HostName, "the argument is not changed")
}

// linkGivenNames: a name that the definition has is not replaced. The first unnamed
// guest end is eth0 though it is of the second link.
func linkGivenNames(t *testing.T, h LinksHarness) {
	named := names(t, h, bridged(h, "vlxgiven", "lan", 1), bridged(h, "", "", 2))
	assert.Equal(t, "vlxgiven", named[0].HostName)
	assert.Equal(t, "lan", named[0].GuestName)
	assert.Equal(t, "eth0", named[1].GuestName, "only unnamed ones are counted")
}

// linkPattern: one %d in a host name stands for the next free number, as the kernel
// itself would choose. Used twice it gives two names.
func linkPattern(t *testing.T, h LinksHarness) {
	named := names(t, h, bridged(h, "vlxp%d", "", 1), bridged(h, "vlxp%d", "", 2))
	assert.Regexp(t, `^vlxp\d+$`, named[0].HostName)
	assert.Regexp(t, `^vlxp\d+$`, named[1].HostName)
	assert.NotEqual(t, named[0].HostName, named[1].HostName)
}

// linkReserves: two containers that start at once ask for names before either has made
// a link, so a look at the kernel's table alone would give both the same. To release
// twice is fine since undo and stop may both do it.
func linkReserves(t *testing.T, h LinksHarness) {
	first := names(t, h, bridged(h, "", "", 1), bridged(h, "vlxp%d", "", 2))
	second := names(t, h, bridged(h, "", "", 3), bridged(h, "vlxp%d", "", 4))
	for _, link := range second {
		assert.NotEqual(t, first[0].HostName, link.HostName)
		assert.NotEqual(t, first[1].HostName, link.HostName)
	}
	h.Links.Release(second)
	h.Links.Release(second) // twice is fine
}

// linkReservesConcurrently: names are looked for and reserved in one piece. Were it
// two, some of sixteen callers would get the same.
func linkReservesConcurrently(t *testing.T, h LinksHarness) {
	const callers = 16
	found := make([][]device.Link, callers)
	ctx := soon(t)
	var group sync.WaitGroup
	for i := range found {
		group.Go(func() {
			found[i], _ = h.Links.Name(ctx, []device.Link{bridged(h, "", "", byte(i))})
		})
	}
	group.Wait()
	seen := map[string]bool{}
	for _, links := range found {
		require.Len(t, links, 1)
		assert.False(t, seen[links[0].HostName], "%s was given twice", links[0].HostName)
		seen[links[0].HostName] = true
		h.Links.Release(links)
	}
}

// linkAvoids: the link was made without Name, as one that a daemon before this made. So
// reservations are not all: the kernel's table counts as well.
func linkAvoids(t *testing.T, h LinksHarness) {
	connect(t, h, bridged(h, "vlxp0", "eth0", 1), h.Netns(t))
	named := names(t, h, bridged(h, "vlxp%d", "", 2))
	assert.NotEqual(t, "vlxp0", named[0].HostName)
}

// linkConnects: the index is the kernel's: the registry of machines is told it, and
// Disconnect takes it. The guest end has the MAC that was asked for, by which networks
// know the container; the host end's is nobody's concern.
func linkConnects(t *testing.T, h LinksHarness) {
	netns := h.Netns(t)
	link := bridged(h, "vlxa", "eth0", 1)
	index := connect(t, h, link, netns)

	host := find(h.Host(t), "vlxa")
	require.NotNil(t, host)
	assert.Equal(t, index, host.Index)
	assert.True(t, host.Up)
	assert.Equal(t, h.Bridge, host.Bridge)

	guest := h.Guest(t, netns)
	require.Len(t, guest, 1)
	assert.Equal(t, "eth0", guest[0].Name)
	assert.Equal(t, link.MAC, guest[0].MAC)
}

// linkGuestUp: a guest end without an address is the guest's to bring up, unless the
// definition says otherwise. All three cases in one namespace, so that one cannot stand
// for the other.
func linkGuestUp(t *testing.T, h LinksHarness) {
	netns := h.Netns(t)
	idle, asked, addressed := bridged(h, "vlxu0", "eth0", 1), bridged(h, "vlxu1", "eth1", 2), bridged(h, "vlxu2", "eth2", 3)
	asked.LinkState = "up"
	addressed.Addresses = []device.Address{{IP: netip.MustParseAddr("192.0.2.2"), Prefix: 28}}
	for _, link := range []device.Link{idle, asked, addressed} {
		connect(t, h, link, netns)
	}
	for name, up := range map[string]bool{"eth0": false, "eth1": true, "eth2": true} {
		link := find(h.Guest(t, netns), name)
		require.NotNil(t, link, name)
		assert.Equal(t, up, link.Up, name)
	}
}

// linkEthernet: no bridge, but addresses on the host side (formatdomain, "Generic
// ethernet connection"). A port that enslaves whatever it makes would fail for the
// empty name.
func linkEthernet(t *testing.T, h LinksHarness) {
	need(t, h.Missing, "ethernet")
	netns := h.Netns(t)
	link := bridged(h, "vlxa", "eth0", 1)
	link.Kind, link.Source = device.Ethernet, ""
	link.HostSide.Addresses = []device.Address{{IP: netip.MustParseAddr("192.0.2.1"), Prefix: 30}}
	connect(t, h, link, netns)
	host := find(h.Host(t), "vlxa")
	require.NotNil(t, host)
	assert.Empty(t, host.Bridge)
	assert.Contains(t, host.Addresses, netip.MustParsePrefix("192.0.2.1/30"))
	require.Len(t, h.Guest(t, netns), 1)
}

// linkMTU: it is asked of the guest end, as the two ends of a pair have one each.
func linkMTU(t *testing.T, h LinksHarness) {
	need(t, h.Missing, "mtu")
	netns := h.Netns(t)
	link := bridged(h, "vlxa", "eth0", 1)
	link.MTU = 1400
	connect(t, h, link, netns)
	guest := h.Guest(t, netns)
	require.Len(t, guest, 1)
	assert.Equal(t, uint(1400), guest[0].MTU)
}

// linkAddresses: -1 is an address that was written without a prefix: 10.9.8.7 is of
// class A, so /8. The route's gateway is reachable only by the first address, so routes
// must come after addresses and after the link is up, or the kernel answers
// ENETUNREACH.
func linkAddresses(t *testing.T, h LinksHarness) {
	netns := h.Netns(t)
	link := bridged(h, "vlxa", "eth0", 1)
	link.Addresses = []device.Address{
		{IP: netip.MustParseAddr("192.0.2.2"), Prefix: 28},
		{IP: netip.MustParseAddr("10.9.8.7"), Prefix: -1}, // by class
	}
	link.Routes = []device.Route{{
		Family: "ipv4", To: netip.MustParseAddr("198.51.100.0"), Prefix: 24, Gateway: netip.MustParseAddr("192.0.2.1"),
	}}
	connect(t, h, link, netns)
	guest := h.Guest(t, netns)
	require.Len(t, guest, 1)
	assert.ElementsMatch(t, []netip.Prefix{
		netip.MustParsePrefix("192.0.2.2/28"), netip.MustParsePrefix("10.9.8.7/8"),
	}, guest[0].Addresses)
}

// linkSeveral: the second and third find a namespace and a bridge that have links
// already, as containers with several networks do.
func linkSeveral(t *testing.T, h LinksHarness) {
	netns := h.Netns(t)
	for i := range 3 {
		connect(t, h, bridged(h, fmt.Sprintf("vlxm%d", i), fmt.Sprintf("eth%d", i), byte(i)), netns)
	}
	assert.Len(t, h.Guest(t, netns), 3)
}

// assertUnchanged compares the names on the host with those before. Indexes are
// compared too: a link that was removed and made again is another.
func assertUnchanged(t *testing.T, h LinksHarness, before []SeenLink) {
	t.Helper()
	only := func(seen []SeenLink) (names []string) {
		for _, link := range seen {
			names = append(names, fmt.Sprint(link.Name, " ", link.Index))
		}
		return names
	}
	assert.ElementsMatch(t, only(before), only(h.Host(t)))
}

// linkMissingBridge: the pair exists before it is enslaved, so a port that does not
// clean up leaves it behind. That the name can be used at once shows that nothing is
// left that could not be seen either.
func linkMissingBridge(t *testing.T, h LinksHarness) {
	netns := h.Netns(t)
	before := h.Host(t)
	link := bridged(h, "vlxa", "eth0", 1)
	link.Source = "vlxnobridge"
	_, err := h.Links.Connect(soon(t), link, netns)
	require.Error(t, err)
	assertUnchanged(t, h, before)
	assert.Empty(t, h.Guest(t, netns))

	connect(t, h, bridged(h, "vlxa", "eth0", 1), netns) // the name is free
}

// linkTaken: the host name is free and the guest name is not, so the failure is of the
// inside, when the host's end may be made already. The link that has the name is
// unharmed.
func linkTaken(t *testing.T, h LinksHarness) {
	netns := h.Netns(t)
	connect(t, h, bridged(h, "vlxa", "eth0", 1), netns)
	before := h.Host(t)
	_, err := h.Links.Connect(soon(t), bridged(h, "vlxb", "eth0", 2), netns)
	require.Error(t, err, "there is an eth0 inside")
	assertUnchanged(t, h, before)
	guest := h.Guest(t, netns)
	require.Len(t, guest, 1)
	assert.Equal(t, byte(1), guest[0].MAC[5])
}

// linkIndex: a daemon that was started anew has the names and must find the indexes. A
// name that is only reserved has none.
func linkIndex(t *testing.T, h LinksHarness) {
	link := names(t, h, bridged(h, "vlxa", "eth0", 1))[0]
	_, err := h.Links.Index(soon(t), "vlxa")
	assert.ErrorIs(t, err, fault.NotFound, "reserved is not made")
	index := connect(t, h, link, h.Netns(t))
	found, err := h.Links.Index(soon(t), "vlxa")
	require.NoError(t, err)
	assert.Equal(t, index, found)
	require.NoError(t, h.Links.Disconnect(soon(t), "vlxa", index))
	_, err = h.Links.Index(soon(t), "vlxa")
	assert.ErrorIs(t, err, fault.NotFound)
}

// linkDisconnects: one end is removed and both go. The second call is that of the next
// daemon, or of an undo.
func linkDisconnects(t *testing.T, h LinksHarness) {
	netns := h.Netns(t)
	before := h.Host(t)
	index := connect(t, h, bridged(h, "vlxa", "eth0", 1), netns)
	require.NoError(t, h.Links.Disconnect(soon(t), "vlxa", index))
	assertUnchanged(t, h, before)
	assert.Empty(t, h.Guest(t, netns), "the pair goes")
	require.NoError(t, h.Links.Disconnect(soon(t), "vlxa", index), "gone is fine")
}

// linkSuccessor: a container that was stopped late must not take the link of its
// successor away, which has got the same name, or one that has got the same index. Both
// must fit.
func linkSuccessor(t *testing.T, h LinksHarness) {
	netns := h.Netns(t)
	old := connect(t, h, bridged(h, "vlxa", "eth0", 1), netns)
	require.NoError(t, h.Links.Disconnect(soon(t), "vlxa", old))
	index := connect(t, h, bridged(h, "vlxa", "eth0", 1), netns)
	require.NotEqual(t, old, index)
	require.NoError(t, h.Links.Disconnect(soon(t), "vlxa", old))
	assert.NotNil(t, find(h.Host(t), "vlxa"), "it has another index")
	require.NoError(t, h.Links.Disconnect(soon(t), "vlxother", index))
	assert.NotNil(t, find(h.Host(t), "vlxa"), "it has another name")
}

// linkGoesWithNamespace: with the last process of a container its links go by
// themselves. To disconnect them afterwards is fine. Their names can be used again: a
// port that remembers them would refuse.
func linkGoesWithNamespace(t *testing.T, h LinksHarness) {
	needHook(t, h.Drop != nil, "Drop")
	netns := h.Netns(t)
	index := connect(t, h, bridged(h, "vlxa", "eth0", 1), netns)
	h.Drop(t, netns)
	assert.Nil(t, find(h.Host(t), "vlxa"))
	require.NoError(t, h.Links.Disconnect(soon(t), "vlxa", index))
	connect(t, h, bridged(h, "vlxa", "eth0", 1), h.Netns(t)) // the name is free again
}
