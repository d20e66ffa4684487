package netlink

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/device"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// idleSockets is how many sockets are kept for later use. Each serves one
// request at a time, so starts at the same time use one each; those beyond are closed
// after use, as each costs the kernel a buffer.
const idleSockets = 4

// Links makes links between the host and network namespaces. Its zero value
// is of no use; Close it. Its methods may be called from any goroutine, on any thread.
// What it knows of links is which names it gave out; the rest is asked of the kernel.
type Links struct {
	home    *os.File // the host's network namespace
	control int      // a socket there for name and index questions
	log     *slog.Logger

	mu sync.Mutex
	// Host names given out and not yet connected. The kernel knows of the others; two
	// starts at once must not both find the same one free.
	reserved map[string]bool
	next     uint64 // number of the next host end that nobody named
	idle     []*nl.SocketHandle
	closed   bool
}

var _ ports.Links = (*Links)(nil)

// New takes the network namespace of the calling thread for the host's, and keeps it
// open: it stays the host's even if that thread goes elsewhere.
func New(log *slog.Logger) (*Links, error) {
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, failed(err, "unable to open the network namespace of the host")
	}
	control, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		_ = home.Close()
		return nil, failed(err, "unable to open a socket")
	}
	return &Links{home: home, control: control, log: log, reserved: map[string]bool{}}, nil
}

// Close gives the sockets back, once. Links stay as they are. No other method may
// run or be called any more.
func (l *Links) Close() error {
	l.mu.Lock()
	idle := l.idle
	l.idle, l.closed = nil, true
	l.mu.Unlock()
	for _, socket := range idle {
		socket.Close()
	}
	return errors.Join(unix.Close(l.control), l.home.Close())
}

// borrow takes an idle socket, the one used last, or opens one in the host's namespace.
// It goes back by giveBack.
func (l *Links) borrow() (*nl.SocketHandle, error) {
	l.mu.Lock()
	if last := len(l.idle) - 1; last >= 0 {
		socket := l.idle[last]
		l.idle = l.idle[:last]
		l.mu.Unlock()
		return socket, nil
	}
	l.mu.Unlock()
	socket, err := nl.GetNetlinkSocketAt(l.homeHandle(), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, failed(err, "unable to open a socket to the kernel's routing")
	}
	return &nl.SocketHandle{Socket: socket}, nil
}

// giveBack keeps a socket for later, if there are not enough. One whose request failed
// may be kept too: answers that come late are told by their number.
func (l *Links) giveBack(socket *nl.SocketHandle) {
	l.mu.Lock()
	keep := !l.closed && len(l.idle) < idleSockets
	if keep {
		l.idle = append(l.idle, socket)
	}
	l.mu.Unlock()
	if !keep {
		socket.Close()
	}
}

// homeHandle is the host's namespace as the library wants it; l keeps it open.
func (l *Links) homeHandle() netns.NsHandle { return netns.NsHandle(l.home.Fd()) }

// execute sends one request from the host's namespace and waits for its answer, which
// the kernel gives at once. The error is an errno.
func (l *Links) execute(req *nl.NetlinkRequest) error {
	socket, err := l.borrow()
	if err != nil {
		return err
	}
	defer l.giveBack(socket)
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: socket}
	_, err = req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// onHost runs work with a handle of its own in the host's namespace, for what
// is rarely needed: the handle costs a socket each time.
func (l *Links) onHost(work func(*netlink.Handle) error) error {
	return within(l.homeHandle(), work)
}

// within runs work with a handle in a namespace, by its open file. Nothing is kept: a
// socket that stayed open would keep the namespace, and with it the pair, alive.
func within(namespace netns.NsHandle, work func(*netlink.Handle) error) error {
	handle, err := netlink.NewHandleAt(namespace, unix.NETLINK_ROUTE)
	if err != nil {
		return failed(err, "unable to open a socket in a network namespace")
	}
	defer handle.Close()
	return work(handle)
}

// index finds a host link by name; ENODEV if there is none. A request of netdevice(7)
// answers with the number alone; netlink would describe the whole link.
func (l *Links) index(name string) (int, error) {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlIfreq(l.control, unix.SIOCGIFINDEX, request); err != nil {
		return 0, err
	}
	return int(request.Uint32()), nil
}

// nameOf is the name of a host link; ENODEV if there is none of this index. Links can be
// renamed by administrators, so the name is asked for, never remembered.
func (l *Links) nameOf(index int) (string, error) {
	request, err := unix.NewIfreq("")
	if err != nil {
		return "", err
	}
	request.SetUint32(uint32(index))
	if err := unix.IoctlIfreq(l.control, unix.SIOCGIFNAME, request); err != nil {
		return "", err
	}
	return request.Name(), nil
}

// Index: see ports.Links. NotFound without such a link, InvalidArgument for what cannot
// be a name, Aborted or Timeout if ctx has ended.
func (l *Links) Index(ctx context.Context, name string) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, stopped(err, "unable to look for link '%s'", name)
	}
	if err := checkName(name); err != nil {
		return 0, err
	}
	index, err := l.index(name)
	if errors.Is(err, unix.ENODEV) {
		return 0, fault.Wrap(err, fault.NotFound, "no link '%s'", name)
	}
	if err != nil {
		return 0, failed(err, "unable to look for link '%s'", name)
	}
	return index, nil
}

// Disconnect: see ports.Links. An index of 0 or less is that of no link. Connections
// through the link break at once.
func (l *Links) Disconnect(ctx context.Context, name string, index int) error {
	if err := ctx.Err(); err != nil {
		return stopped(err, "unable to remove link '%s'", name)
	}
	if index <= 0 {
		return nil
	}
	found, err := l.nameOf(index)
	if errors.Is(err, unix.ENODEV) || err == nil && found != name {
		return nil
	}
	if err != nil {
		return failed(err, "unable to look for link '%s'", name)
	}
	return l.remove(name, index)
}

// remove deletes a host link, and with it the other end. The index alone
// decides: it is not used again, unlike the name, until 2^31 links have been made. One
// that is gone is fine.
func (l *Links) remove(name string, index int) error {
	req := nl.NewNetlinkRequest(unix.RTM_DELLINK, unix.NLM_F_ACK)
	which := nl.NewIfInfomsg(unix.AF_UNSPEC)
	which.Index = int32(index)
	req.AddData(which)
	if err := l.execute(req); err != nil && !errors.Is(err, unix.ENODEV) {
		return failed(err, "unable to remove link '%s'", name)
	}
	return nil
}

// kindOf is the kernel's word for what a host link is ("veth", "bridge"; "device" for
// hardware and the loopback); empty if it is gone.
func (l *Links) kindOf(name string) (kind string, err error) {
	err = l.onHost(func(handle *netlink.Handle) error {
		link, err := handle.LinkByName(name)
		if errors.As(err, &netlink.LinkNotFoundError{}) {
			return nil
		}
		if err != nil {
			return failed(err, "unable to look at link '%s'", name)
		}
		kind = link.Type()
		return nil
	})
	return kind, err
}

// startable says why a link cannot be made here. The text is the interface's.
func startable(link device.Link) error {
	switch link.Kind {
	case device.Bridge, device.Ethernet:
	default:
		return fault.New(fault.UnsupportedConfig, fault.Driver, "Unsupported network type %s", link.Kind)
	}
	for _, name := range []string{link.HostName, link.GuestName} {
		if err := checkName(name); err != nil {
			return err
		}
	}
	return nil
}
