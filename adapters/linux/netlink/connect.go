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
// the link's state is written as up. The index is the host end's.
//
// The reservation of the host name ends with the call, whatever comes of it: from here
// on the link itself has the name. netns stays the caller's and is not waited for.
//
// UnsupportedConfig for kinds other than bridge and ethernet, InvalidArgument for names
// and addresses that cannot be, System with the errno from the kernel (EEXIST: the name
// is in use by what will not go), Aborted or Timeout if ctx ended while a predecessor
// was dying.
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
	// From here on there is something to be undone.
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

// noBridge is worded as clients know it. ENODEV: there is no link of that name;
// EOPNOTSUPP: it is none that takes ports.
func noBridge(err error, link device.Link) error {
	return failed(err, "Unable to add bridge %s port %s", link.Source, link.HostName)
}

// make makes the pair, waiting for a dying predecessor: a link goes some time after the
// last process of its namespace, and a container that is started again at once meets
// its own.
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

// classify leaves faults alone and reports an errno: EPERM without CAP_NET_ADMIN, EINVAL
// for an MTU that a pair cannot have, EADDRNOTAVAIL for a hardware address of a group.
func classify(err error, link device.Link) error {
	var known *fault.Error
	if errors.As(err, &known) {
		return err
	}
	return failed(err, "unable to make link '%s'", link.HostName)
}

// pairRequest is the one message that makes a pair (rtnetlink(7), veth(4)):
//
//	ifinfomsg, up
//	IFLA_IFNAME, IFLA_MASTER, IFLA_MTU      of the host end
//	IFLA_LINKINFO
//	  IFLA_INFO_KIND "veth"
//	  IFLA_INFO_DATA
//	    VETH_INFO_PEER: ifinfomsg, down
//	      IFLA_IFNAME, IFLA_NET_NS_FD, IFLA_ADDRESS, IFLA_MTU     of the guest end
//
// netns must stay open until the message is answered. NLM_F_EXCL makes a name that is
// taken EEXIST instead of a change of whatever has it.
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

// configure does what the first message cannot: isolation is the bridge's to know, and
// addresses need links that are there. Whatever fails is the caller's to undo.
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

// isolate keeps a port from others that are isolated (document's port isolated="yes";
// bridge(8)): frames pass to and from the rest only.
func isolate(handle *netlink.Handle, name string, index int) error {
	port := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Name: name, Index: index}}
	if err := handle.LinkSetIsolated(port, true); err != nil {
		return failed(err, "unable to isolate bridge port '%s'", name)
	}
	return nil
}

// configureGuest works on a link by name: its index is the guest namespace's own. Up
// comes before addresses, as routes are refused while a link is down.
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
