package netlink

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/device"
	"virtlxcd/ports/porttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testBridge = "vlxbr"

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// privateHost moves the test, for the rest of its life, into a network
// namespace of its own with one bridge. The thread is never unlocked and so
// ends with the test.
func privateHost(t testing.TB) *Links {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces and links")
	}
	runtime.LockOSThread()
	require.NoError(t, unix.Unshare(unix.CLONE_NEWNET))
	l, err := New(quiet())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	require.NoError(t, l.onHost(func(handle *netlink.Handle) error {
		bridge := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs()}
		bridge.Name = testBridge
		if err := handle.LinkAdd(bridge); err != nil {
			return err
		}
		return handle.LinkSetUp(bridge)
	}))
	return l
}

// newNamespace makes a namespace that only the file keeps alive.
func newNamespace(t testing.TB) *os.File {
	t.Helper()
	made := make(chan *os.File, 1)
	go func() {
		defer close(made)
		runtime.LockOSThread() // never unlocked: the thread ends here
		if unix.Unshare(unix.CLONE_NEWNET) != nil {
			return
		}
		if file, err := os.Open("/proc/thread-self/ns/net"); err == nil {
			made <- file
		}
	}()
	file := <-made
	require.NotNil(t, file)
	t.Cleanup(func() { _ = file.Close() })
	return file
}

func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func seen(t testing.TB, namespace *os.File) []porttest.SeenLink {
	t.Helper()
	var found []porttest.SeenLink
	require.NoError(t, within(netns.NsHandle(namespace.Fd()), func(handle *netlink.Handle) error {
		links, err := handle.LinkList()
		if err != nil {
			return err
		}
		names := map[int]string{}
		for _, link := range links {
			names[link.Attrs().Index] = link.Attrs().Name
		}
		for _, link := range links {
			if link.Attrs().Name == "lo" {
				continue
			}
			one, err := describe(handle, link, names)
			if err != nil {
				return err
			}
			found = append(found, one)
		}
		return nil
	}))
	return found
}

func describe(handle *netlink.Handle, link netlink.Link, names map[int]string) (porttest.SeenLink, error) {
	attrs := link.Attrs()
	one := porttest.SeenLink{
		Name: attrs.Name, Index: attrs.Index, Up: attrs.RawFlags&unix.IFF_UP != 0,
		MTU: uint(attrs.MTU), Bridge: names[attrs.MasterIndex],
	}
	copy(one.MAC[:], attrs.HardwareAddr)
	addrs, err := handle.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return one, err
	}
	for _, addr := range addrs {
		prefix := netip.MustParsePrefix(addr.IPNet.String())
		if !prefix.Addr().IsLinkLocalUnicast() {
			one.Addresses = append(one.Addresses, prefix)
		}
	}
	return one, nil
}

func bridged(host string, number byte) device.Link {
	return device.Link{
		Kind: device.Bridge, Source: testBridge, MAC: device.MAC{0x52, 0x54, 0, 1, 2, number},
		HostName: host, GuestName: fmt.Sprintf("eth%d", number),
	}
}

func connect(t testing.TB, l *Links, link device.Link, namespace *os.File) int {
	t.Helper()
	index, err := l.Connect(soon(t), link, namespace)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Disconnect(context.Background(), link.HostName, index)) })
	return index
}

// routes lists the routes of a namespace that were made for links by hand.
func routes(t testing.TB, namespace *os.File, family int) []netlink.Route {
	t.Helper()
	var found []netlink.Route
	require.NoError(t, within(netns.NsHandle(namespace.Fd()), func(handle *netlink.Handle) error {
		all, err := handle.RouteList(nil, family)
		for _, route := range all {
			if route.Gw != nil {
				found = append(found, route)
			}
		}
		return err
	}))
	return found
}
