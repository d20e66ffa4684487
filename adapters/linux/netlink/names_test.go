package netlink

import (
	"context"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/device"
	"virtlxcd/domain/fault"
)

func TestNames(t *testing.T) {
	l := privateHost(t)
	first, err := l.Name(soon(t), []device.Link{{}, {}, {HostName: "vlx%d", GuestName: "lan"}, {HostName: "vnet4"}})
	require.NoError(t, err)
	assert.Equal(t, []device.Link{
		{HostName: "vnet0", GuestName: "eth0"}, {HostName: "vnet1", GuestName: "eth1"},
		{HostName: "vlx0", GuestName: "lan"}, {HostName: "vnet4", GuestName: "eth2"},
	}, first)
	connect(t, l, bridged("vnet2", 0), newNamespace(t))
	second, err := l.Name(soon(t), []device.Link{{}, {}, {HostName: "vlx%d"}})
	require.NoError(t, err)
	assert.Equal(t, []string{"vnet3", "vnet5", "vlx1"}, []string{second[0].HostName, second[1].HostName, second[2].HostName})
	l.Release(first)
	l.Release(second)
	assert.Empty(t, l.reserved)

	for _, bad := range []string{"a%s", "%d%d", "vlx-name-is-long%d", "a b", "..", "%", "vlx-much-too-long-a-name"} {
		_, err := l.Name(soon(t), []device.Link{{}, {HostName: bad}})
		require.ErrorIs(t, err, fault.InvalidArgument, bad)
		assert.Empty(t, l.reserved, bad)
	}
}

func TestConnectGivesTheNameBack(t *testing.T) {
	l := privateHost(t)
	named, err := l.Name(soon(t), []device.Link{bridged("", 0)})
	require.NoError(t, err)
	connect(t, l, named[0], newNamespace(t))
	assert.Empty(t, l.reserved)
}

// TestNamesAreGivenOnce, to however many ask at once.
func TestNamesAreGivenOnce(t *testing.T) {
	l := privateHost(t)
	names := make(chan string)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 10 {
				named, err := l.Name(context.Background(), []device.Link{{}, {HostName: "vlx%d"}})
				if assert.NoError(t, err) {
					names <- named[0].HostName
					names <- named[1].HostName
				}
			}
		})
	}
	go func() {
		group.Wait()
		close(names)
	}()
	seen := map[string]bool{}
	for name := range names {
		assert.False(t, seen[name], name)
		seen[name] = true
	}
	assert.Len(t, seen, 160)
	assert.Len(t, l.reserved, 160)
}

// TestNoNameIsLeft: the search ends, and what was reserved on the way is given back.
func TestNoNameIsLeft(t *testing.T) {
	l := privateHost(t)
	for number := range attempts {
		l.reserve("vlx" + strconv.Itoa(number))
	}
	_, err := l.Name(soon(t), []device.Link{{HostName: "lan0"}, {HostName: "vlx%d"}})
	require.ErrorIs(t, err, fault.Internal)
	assert.ErrorContains(t, err, "'vlx%d'")
	assert.Len(t, l.reserved, attempts, "lan0 is free again")

	l.reserve("vlx-13-letter0")
	for number := range 100 {
		l.reserve("vlx-13-letter" + strconv.Itoa(number))
	}
	_, err = l.Name(soon(t), []device.Link{{HostName: "vlx-13-letter%d"}})
	require.ErrorIs(t, err, fault.InvalidArgument, "the next number is too long")
	assert.ErrorContains(t, err, "'vlx-13-letter100'")

	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = l.Name(ended, []device.Link{{HostName: "lan0"}, {}})
	require.ErrorIs(t, err, fault.Aborted)
	assert.False(t, l.reserved["lan0"])
}

// TestNumbersOfOurOwnDoNotComeBack: an observer who knows vnet0 must not meet another.
func TestNumbersOfOurOwnDoNotComeBack(t *testing.T) {
	l := privateHost(t)
	for want := range 3 {
		named, err := l.Name(soon(t), []device.Link{{}})
		require.NoError(t, err)
		assert.Equal(t, "vnet"+strconv.Itoa(want), named[0].HostName)
		l.Release(named)
		l.Release(named) // twice is fine
	}
	wish := []device.Link{{HostName: "vlx%d"}}
	for range 2 {
		named, err := l.Name(soon(t), wish)
		require.NoError(t, err)
		assert.Equal(t, "vlx0", named[0].HostName, "the administrator's pattern starts over")
		l.Release(named)
	}
	assert.Equal(t, "vlx%d", wish[0].HostName, "what was asked stays as it is")
}

func TestIndex(t *testing.T) {
	l := privateHost(t)
	index, err := l.Index(soon(t), testBridge)
	require.NoError(t, err)
	name, err := l.nameOf(index)
	require.NoError(t, err)
	assert.Equal(t, testBridge, name)
	_, err = l.Index(soon(t), "vlxnone")
	require.ErrorIs(t, err, fault.NotFound)
	assert.ErrorContains(t, err, "'vlxnone'")
	_, err = l.Index(soon(t), "vlx/none")
	require.ErrorIs(t, err, fault.InvalidArgument)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = l.Index(ended, testBridge)
	require.ErrorIs(t, err, fault.Aborted)
}

// TestDisconnectTouchesNobodyElse: by index and name both.
func TestDisconnectTouchesNobodyElse(t *testing.T) {
	l := privateHost(t)
	index, err := l.Index(soon(t), testBridge)
	require.NoError(t, err)
	for name, row := range map[string]struct {
		name  string
		index int
	}{"another name": {"vlxa", index}, "no index": {testBridge, 0}, "negative": {testBridge, -1}, "gone": {testBridge, index + 100}} {
		require.NoError(t, l.Disconnect(soon(t), row.name, row.index), name)
	}
	assert.Len(t, seen(t, l.home), 1)
	require.NoError(t, l.remove("vlxgone", index+100), "gone between the look and the removal")
}

// TestKindOfWhatHasTheName decides who is waited for.
func TestKindOfWhatHasTheName(t *testing.T) {
	l := privateHost(t)
	connect(t, l, bridged("vlxa", 0), newNamespace(t))
	for name, want := range map[string]string{"vlxa": "veth", testBridge: "bridge", "vlxnone": "", "lo": "device"} {
		kind, err := l.kindOf(name)
		require.NoError(t, err)
		assert.Equal(t, want, kind, name)
	}
	require.NoError(t, l.awaitGone(soon(t), "vlxnone", 7), "gone already")
	index, err := l.Index(soon(t), "vlxa")
	require.NoError(t, err)
	require.NoError(t, l.awaitGone(soon(t), "vlxa", index+1), "another has the name by now")
}

// TestGuestNameThatExists is no reason to wait: nothing on the host is in the way.
func TestGuestNameThatExists(t *testing.T) {
	l := privateHost(t)
	namespace := newNamespace(t)
	connect(t, l, bridged("vlxa", 0), namespace)
	_, err := l.Connect(soon(t), bridged("vlxb", 0), namespace)
	require.ErrorIs(t, err, unix.EEXIST)
	assert.ErrorContains(t, err, "'eth0' inside")
	assert.Len(t, seen(t, l.home), 2)
	assert.Len(t, seen(t, namespace), 1)
}

// TestNamespaceThatIsNone: any other file in its place.
func TestNamespaceThatIsNone(t *testing.T) {
	l := privateHost(t)
	file, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer file.Close()
	_, err = l.Connect(soon(t), bridged("vlxa", 0), file)
	require.ErrorIs(t, err, unix.EINVAL)
	assert.ErrorContains(t, err, "'vlxa'")
	err = within(netns.NsHandle(file.Fd()), nil)
	require.ErrorIs(t, err, fault.System)
	assert.Len(t, seen(t, l.home), 1)
	assert.Empty(t, l.reserved)
}

// TestSocketsAreKeptForLater, a few of them.
func TestSocketsAreKeptForLater(t *testing.T) {
	l := privateHost(t)
	var taken []*nl.SocketHandle
	for range idleSockets + 2 {
		socket, err := l.borrow()
		require.NoError(t, err)
		taken = append(taken, socket)
	}
	for _, socket := range taken {
		l.giveBack(socket)
	}
	assert.Len(t, l.idle, idleSockets)
	socket, err := l.borrow()
	require.NoError(t, err)
	assert.Same(t, taken[idleSockets-1], socket, "the one used last")
	assert.Len(t, l.idle, idleSockets-1)
	l.giveBack(socket)
}
