package fakes

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"

	"virtlxcd/domain/device"
	"virtlxcd/domain/fault"
)

// netns is a network namespace. It lives while a guest or an open file needs it. Its
// number is only there to make each a thing of its own. Links in it go with it: see
// forgetNets.
type netns struct {
	number int
	name   string
	guest  *guest
}

// link is a veth pair, by its host end. The guest end is no thing of its own: both come
// and go together.
type link struct {
	wish  device.Link
	index int
	net   *netns
}

// guestUp says whether the guest end was brought up: it is if it has an address
// or the definition asks for it.
func (l *link) guestUp() bool { return l.wish.LinkState == "up" || len(l.wish.Addresses) > 0 }

// Links makes links of the Host.
type Links struct{ host *Host }

// NewLinks returns the port.
func NewLinks(host *Host) *Links { return &Links{host} }

// Name takes the lowest free numbers. It reserves while it looks, with the host locked,
// so two calls never give the same. Guest names count within the call. On failure, also
// an injected one that comes after, nothing stays reserved.
func (l *Links) Name(ctx context.Context, links []device.Link) (named []device.Link, err error) {
	h := l.host
	err = h.do(ctx, "Links.Name", func() error {
		named = slices.Clone(links)
		for i := range links {
			if name := links[i].HostName; !strings.Contains(name, "%d") && name != "" {
				h.reserved[name] = true // before any pattern takes it
			}
		}
		guests := 0
		for i := range named {
			if named[i].GuestName == "" {
				named[i].GuestName = fmt.Sprintf("eth%d", guests)
				guests++
			}
			named[i].HostName = h.reserve(named[i].HostName)
		}
		return nil
	})
	if err != nil {
		l.Release(named)
		return nil, err
	}
	return named, nil
}

// reserve completes a host name and keeps it from others. A given name is taken as it
// is, even if it is in use: Connect will say so.
func (h *Host) reserve(wish string) string {
	if wish == "" {
		wish = "vnet%d"
	}
	name := wish
	if before, after, ok := strings.Cut(wish, "%d"); ok {
		for n := 0; ; n++ {
			if name = fmt.Sprint(before, n, after); !h.reserved[name] && h.linkNamed(name) == nil {
				break
			}
		}
	}
	h.reserved[name] = true
	return name
}

// linkNamed finds a link of the host; those whose namespace has died are gone. So a
// name is free as soon as its namespace is.
func (h *Host) linkNamed(name string) *link {
	h.forgetNets()
	for _, l := range h.links {
		if l.wish.HostName == name {
			return l
		}
	}
	return nil
}

// forgetNets removes links whose namespace is gone. Nobody tells the Host of a
// descriptor that was closed, so looks at the links begin with this.
func (h *Host) forgetNets() {
	for index, l := range h.links {
		if l.net.guest == nil && !h.isOpen(l.net) {
			delete(h.links, index)
		}
	}
}

// Connect fails like the kernel: ENODEV without the bridge, EEXIST for a name in use on
// either side, EBADF for what is no namespace. EINVAL is for an address that cannot be.
// All is checked first, so a failure leaves nothing. The name is no longer reserved
// afterwards: the link has it.
func (l *Links) Connect(ctx context.Context, wish device.Link, file *os.File) (index int, err error) {
	h := l.host
	err = h.do(ctx, "Links.Connect", func() error {
		net, ok := h.behind(file).(*netns)
		switch {
		case !ok:
			return refused(syscall.EBADF, "not a network namespace")
		case wish.Kind == device.Bridge && !h.bridges[wish.Source]:
			return refused(syscall.ENODEV, "cannot find bridge '%s'", wish.Source)
		case h.linkNamed(wish.HostName) != nil || h.bridges[wish.HostName]:
			return refused(syscall.EEXIST, "cannot make link '%s'", wish.HostName)
		case h.inside(net, wish.GuestName) != nil:
			return refused(syscall.EEXIST, "cannot make link '%s' inside", wish.GuestName)
		case slices.ContainsFunc(wish.Addresses, impossibleAddress):
			return refused(syscall.EINVAL, "cannot give link '%s' its addresses", wish.GuestName)
		}
		h.lastLink++
		index = h.lastLink
		h.links[index] = &link{wish: wish, index: index, net: net}
		delete(h.reserved, wish.HostName)
		return nil
	})
	return index, err
}

// impossibleAddress: its prefix is longer than it. That is the only mistake an address
// can have here, since it was parsed before.
func impossibleAddress(a device.Address) bool { return a.Prefix > a.IP.BitLen() }

// inside finds a guest end by its name. Names are unique within a namespace only.
func (h *Host) inside(net *netns, name string) *link {
	for _, l := range h.links {
		if l.net == net && l.wish.GuestName == name {
			return l
		}
	}
	return nil
}

// Index knows only links that Connect made. Bridges have none.
func (l *Links) Index(ctx context.Context, name string) (index int, err error) {
	err = l.host.do(ctx, "Links.Index", func() error {
		known := l.host.linkNamed(name)
		if known == nil {
			return fault.New(fault.NotFound, fault.Host, "no link '%s'", name)
		}
		index = known.index
		return nil
	})
	return index, err
}

// Disconnect removes the pair if both index and name fit. Else the link has been gone
// for some time, and what has its name or index now is another.
func (l *Links) Disconnect(ctx context.Context, name string, index int) error {
	return l.host.do(ctx, "Links.Disconnect", func() error {
		if known := l.host.links[index]; known != nil && known.wish.HostName == name {
			delete(l.host.links, index)
		}
		return nil
	})
}

// Release forgets reservations; names of links that exist are not free. It is no op:
// undo must not fail.
func (l *Links) Release(links []device.Link) {
	l.host.look(func() {
		for i := range links {
			delete(l.host.reserved, links[i].HostName)
		}
	})
}

// AddBridge gives the host a bridge.
func (h *Host) AddBridge(name string) { h.look(func() { h.bridges[name] = true }) }

// RemoveBridge takes it away. Links that are enslaved to it stay as they are.
func (h *Host) RemoveBridge(name string) { h.look(func() { delete(h.bridges, name) }) }

// Link is a link as a test sees it. Inside and HostSide are the addresses of both ends,
// with the prefix of their class where the definition has none.
type Link struct {
	device.Link
	Index     int
	Container string // whose namespace the guest end is in
	GuestUp   bool
	Inside    []netip.Prefix
	HostSide  []netip.Prefix
}

// Links lists the links of the host, by index. They are copies, but share slices with
// the definition that was connected: read only.
func (h *Host) Links() (all []Link) {
	h.look(func() {
		h.forgetNets()
		for _, l := range h.links {
			all = append(all, Link{
				Link: l.wish, Index: l.index, Container: l.net.name, GuestUp: l.guestUp(),
				Inside: prefixes(l.wish.Addresses), HostSide: prefixes(l.wish.HostSide.Addresses),
			})
		}
	})
	slices.SortFunc(all, func(a, b Link) int { return a.Index - b.Index })
	return all
}

// prefixes fills in the prefix that an address has by its class. A negative prefix
// stands for none.
func prefixes(addresses []device.Address) (all []netip.Prefix) {
	for _, a := range addresses {
		bits := a.Prefix
		if bits < 0 {
			bits = device.DefaultPrefix(a.IP)
		}
		all = append(all, netip.PrefixFrom(a.IP, bits))
	}
	return all
}
