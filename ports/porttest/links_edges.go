package porttest

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/device"
)

// linkEdges are the checks of what is rare: refusals, ends and crowds. What "leaves
// nothing" is looked for on both sides: on the host by name and index, and in the
// namespace.
var linkEdges = []check[LinksHarness]{
	{"does not give away a given name", linkGivenFirst},
	{"a name is free after its release", linkReleased},
	{"an address that cannot be leaves nothing", linkBadAddress},
	{"what is no namespace leaves nothing", linkNoNamespace},
	{"an ended context leaves nothing", linkEnded},
	{"connects many at once", linkManyAtOnce},
	{"disconnects one of several", linkOneOfSeveral},
}

// linkGivenFirst: a name that the same container asks for is in use already. It stands
// between two patterns, so a port that goes through the links once gives the name to
// the first of them.
func linkGivenFirst(t *testing.T, h LinksHarness) {
	named := names(t, h, bridged(h, "vlxp%d", "", 1), bridged(h, "vlxp0", "", 2), bridged(h, "vlxp%d", "", 3))
	seen := map[string]bool{}
	for _, link := range named {
		assert.False(t, seen[link.HostName], "%s twice", link.HostName)
		seen[link.HostName] = true
	}
	assert.Equal(t, "vlxp0", named[1].HostName)
}

// linkReleased: the pattern counts from 0, so that a name comes back shows that nobody
// keeps it. Names that were never reserved, and no names at all, may be released as
// well: undo does not know how far a start has come.
func linkReleased(t *testing.T, h LinksHarness) {
	first, err := h.Links.Name(soon(t), []device.Link{bridged(h, "vlxp%d", "", 1)})
	require.NoError(t, err)
	h.Links.Release(first)
	second := names(t, h, bridged(h, "vlxp%d", "", 1))
	assert.Equal(t, first[0].HostName, second[0].HostName)
	h.Links.Release([]device.Link{bridged(h, "vlxnever", "", 9)})
	h.Links.Release(nil)
}

// linkBadAddress: the link is nearly done when its last address is refused. 33 bits are
// more than the address has, which the kernel answers with EINVAL. The first address is
// fine, so a port that looks at one only would not see it.
func linkBadAddress(t *testing.T, h LinksHarness) {
	netns := h.Netns(t)
	before := h.Host(t)
	link := bridged(h, "vlxa", "eth0", 1)
	link.Addresses = []device.Address{
		{IP: netip.MustParseAddr("192.0.2.2"), Prefix: 28}, {IP: netip.MustParseAddr("192.0.2.3"), Prefix: 33},
	}
	_, err := h.Links.Connect(soon(t), link, netns)
	require.Error(t, err)
	assertUnchanged(t, h, before)
	assert.Empty(t, h.Guest(t, netns))
	connect(t, h, bridged(h, "vlxa", "eth0", 1), netns)
}

// linkNoNamespace: the descriptor is open, but of a device. A port that makes the pair
// first and moves it later must remove it again.
func linkNoNamespace(t *testing.T, h LinksHarness) {
	before := h.Host(t)
	file, err := os.Open(os.DevNull)
	require.NoError(t, err)
	t.Cleanup(func() { file.Close() })
	_, err = h.Links.Connect(soon(t), bridged(h, "vlxa", "eth0", 1), file)
	require.Error(t, err)
	assertUnchanged(t, h, before)
}

// linkEnded: either there is no link, or there is one with an index to remove it by. A
// name that was refused must not stay reserved, and one that was given is released by
// the caller.
func linkEnded(t *testing.T, h LinksHarness) {
	netns := h.Netns(t)
	before := h.Host(t)
	index, err := h.Links.Connect(over(), bridged(h, "vlxa", "eth0", 1), netns)
	if !refused(t, err) {
		require.NoError(t, h.Links.Disconnect(soon(t), "vlxa", index))
	}
	assertUnchanged(t, h, before)
	assert.Empty(t, h.Guest(t, netns))
	named, err := h.Links.Name(over(), []device.Link{bridged(h, "vlxp%d", "", 1)})
	if refused(t, err) {
		assert.Empty(t, named)
	} else {
		h.Links.Release(named)
	}
}

// linkManyAtOnce: containers start at the same time, and here all links go to one
// bridge and one namespace. Found are ports that keep one socket or change the
// namespace of a thread that others use (setns(2)): the answers would get mixed up.
func linkManyAtOnce(t *testing.T, h LinksHarness) {
	const many = 8
	netns := h.Netns(t)
	before := h.Host(t)
	ctx, indexes := soon(t), make([]int, many)
	each := func(do func(i int)) {
		var all sync.WaitGroup
		for i := range many {
			all.Go(func() { do(i) })
		}
		all.Wait()
	}
	each(func(i int) {
		var err error
		indexes[i], err = h.Links.Connect(ctx, bridged(h, fmt.Sprintf("vlxm%d", i), fmt.Sprintf("eth%d", i), byte(i)), netns)
		assert.NoError(t, err)
	})
	assert.Len(t, h.Guest(t, netns), many)
	each(func(i int) {
		found, err := h.Links.Index(ctx, fmt.Sprintf("vlxm%d", i))
		assert.NoError(t, err)
		assert.Equal(t, indexes[i], found)
		assert.NoError(t, h.Links.Disconnect(context.WithoutCancel(ctx), fmt.Sprintf("vlxm%d", i), indexes[i]))
	})
	assertUnchanged(t, h, before)
	assert.Empty(t, h.Guest(t, netns))
}

// linkOneOfSeveral: it is the middle one, so neither "the first" nor "the last" would
// do.
func linkOneOfSeveral(t *testing.T, h LinksHarness) {
	netns := h.Netns(t)
	connect(t, h, bridged(h, "vlxa", "eth0", 1), netns)
	middle := connect(t, h, bridged(h, "vlxb", "eth1", 2), netns)
	connect(t, h, bridged(h, "vlxc", "eth2", 3), netns)
	require.NoError(t, h.Links.Disconnect(soon(t), "vlxb", middle))
	assert.Nil(t, find(h.Host(t), "vlxb"))
	for _, name := range []string{"vlxa", "vlxc"} {
		assert.NotNil(t, find(h.Host(t), name), name)
	}
	for name, there := range map[string]bool{"eth0": true, "eth1": false, "eth2": true} {
		assert.Equal(t, there, find(h.Guest(t, netns), name) != nil, name)
	}
}
