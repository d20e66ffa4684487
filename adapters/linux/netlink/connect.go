package netlink

import (
	"context"
	"errors"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/device"
	"virtlxcd/domain/fault"
)

// Connect: see ports.Links. A guest end without addresses stays down unless
// the link's state is written as up.
func (l *Links) Connect(ctx context.Context, link device.Link, netns *os.File) (index int, err error) {
	defer l.forget(link.HostName)
	if err := ctx.Err(); err != nil {
		return 0, stopped(err, "unable to make link '%s'", link.HostName)
	}
	if err := startable(link); err != nil {
		return 0, err
	}
	bridge := 0
	if link.Kind == device.Bridge {
		if bridge, err = l.index(link.Source); err != nil {
			return 0, noBridge(err, link)
		}
	}
	if err := l.make(ctx, link, bridge, netns); err != nil {
		return 0, err
	}
	if index, err = l.index(link.HostName); err != nil {
		return 0, failed(err, "unable to find link '%s'", link.HostName)
	}
	if err := l.configure(link, index, netns); err != nil {
		if removal := l.remove(link.HostName, index); removal != nil {
			l.log.Warn("unable to remove a link that could not be set up", "link", link.HostName, "error", removal)
		}
		return 0, err
	}
	return index, nil
}

// noBridge is worded as clients know it.
func noBridge(err error, link device.Link) error {
	return failed(err, "Unable to add bridge %s port %s", link.Source, link.HostName)
}

// make makes the pair, waiting for a dying predecessor.
func (l *Links) make(ctx context.Context, link device.Link, bridge int, netns *os.File) error {
	for retried := false; ; {
		err := l.execute(pairRequest(link, bridge, netns))
		runtime.KeepAlive(netns)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EOPNOTSUPP) && bridge != 0:
			return noBridge(err, link)
		case !errors.Is(err, unix.EEXIST):
			return classify(err, link)
		}
		// Nothing of this name on the host: it has gone since, or it is the
		// guest's name that exists.
		index, lookup := l.index(link.HostName)
		if lookup != nil && retried {
			return failed(err, "unable to make link '%s' inside", link.GuestName)
		}
		retried = lookup != nil
		if lookup == nil {
			if err := l.awaitGone(ctx, link.HostName, index); err != nil {
				return err
			}
		}
	}
}

// classify leaves faults alone and reports an errno.
func classify(err error, link device.Link) error {
	var known *fault.Error
	if errors.As(err, &known) {
		return err
	}
	return failed(err, "unable to make link '%s'", link.HostName)
}

// pairRequest is the one message that makes a pair.
func pairRequest(link device.Link, bridge int, netns *os.File) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	host := nl.NewIfInfomsg(unix.AF_UNSPEC)
	host.Flags, host.Change = unix.IFF_UP, unix.IFF_UP
	req.AddData(host)
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(link.HostName)))
	if bridge != 0 {
		req.AddData(nl.NewRtAttr(unix.IFLA_MASTER, nl.Uint32Attr(uint32(bridge))))
	}
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("veth"))
	peer := info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.VETH_INFO_PEER, nil)
	nl.NewIfInfomsgChild(peer, unix.AF_UNSPEC)
	peer.AddRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(link.GuestName))
	peer.AddRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(netns.Fd())))
	if link.MAC != (device.MAC{}) {
		peer.AddRtAttr(unix.IFLA_ADDRESS, link.MAC[:])
	}
	if link.MTU != 0 {
		req.AddData(nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(link.MTU))))
		peer.AddRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(link.MTU)))
	}
	req.AddData(info)
	return req
}

// configure does what the first message cannot.
func (l *Links) configure(link device.Link, index int, namespace *os.File) error {
	if link.Isolated && link.Kind == device.Bridge {
		err := l.onHost(func(handle *netlink.Handle) error { return isolate(handle, link.HostName, index) })
		if err != nil {
			return err
		}
	}
	if side := link.HostSide; link.Kind == device.Ethernet && len(side.Addresses)+len(side.Routes) > 0 {
		err := l.onHost(func(handle *netlink.Handle) error {
			return address(handle, link.HostName, index, side.Addresses, side.Routes)
		})
		if err != nil {
			return err
		}
	}
	if len(link.Addresses)+len(link.Routes) == 0 && link.LinkState != "up" {
		return nil
	}
	defer runtime.KeepAlive(namespace)
	return within(netns.NsHandle(namespace.Fd()), func(handle *netlink.Handle) error {
		return configureGuest(handle, link)
	})
}

func isolate(handle *netlink.Handle, name string, index int) error {
	port := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Name: name, Index: index}}
	if err := handle.LinkSetIsolated(port, true); err != nil {
		return failed(err, "unable to isolate bridge port '%s'", name)
	}
	return nil
}

func configureGuest(handle *netlink.Handle, link device.Link) error {
	guest, err := handle.LinkByName(link.GuestName)
	if err != nil {
		return failed(err, "unable to find link '%s' inside", link.GuestName)
	}
	if len(link.Addresses) > 0 || link.LinkState == "up" {
		if err := handle.LinkSetUp(guest); err != nil {
			return failed(err, "unable to bring up link '%s' inside", link.GuestName)
		}
	}
	return address(handle, link.GuestName, guest.Attrs().Index, link.Addresses, link.Routes)
}
