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
// request at a time, so starts at the same time use one each.
const idleSockets = 4

// Links makes links between the host and network namespaces. Its zero value
// is of no use; Close it.
type Links struct {
	home    *os.File // the host's network namespace
	control int      // a socket there for name and index questions
	log     *slog.Logger

	mu       sync.Mutex
	reserved map[string]bool // host names given out and not yet connected
	next     uint64          // number of the next host end that nobody named
	idle     []*nl.SocketHandle
	closed   bool
}

var _ ports.Links = (*Links)(nil)

// New takes the network namespace of the calling thread for the host's.
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

// Close gives the sockets back. Links stay as they are. No other method may
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

// borrow takes an idle socket or opens one in the host's namespace.
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

func (l *Links) homeHandle() netns.NsHandle { return netns.NsHandle(l.home.Fd()) }

// execute sends one request from the host's namespace and waits for its answer.
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
// is rarely needed.
func (l *Links) onHost(work func(*netlink.Handle) error) error {
	return within(l.homeHandle(), work)
}

// within runs work with a handle in a namespace. Nothing is kept.
func within(namespace netns.NsHandle, work func(*netlink.Handle) error) error {
	handle, err := netlink.NewHandleAt(namespace, unix.NETLINK_ROUTE)
	if err != nil {
		return failed(err, "unable to open a socket in a network namespace")
	}
	defer handle.Close()
	return work(handle)
}

// index finds a host link by name; ENODEV if there is none.
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

// nameOf is the name of a host link; ENODEV if there is none of this index.
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

// Index: see ports.Links.
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

// Disconnect: see ports.Links.
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
// decides: it is not used again, unlike the name.
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

// kindOf is the kernel's word for what a host link is; empty if it is gone.
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

// startable says why a link cannot be made here.
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
