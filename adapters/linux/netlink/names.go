package netlink

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/device"
	"virtlxcd/domain/fault"
)

const (
	// automatic is the pattern of host ends that nobody named.
	automatic = "vnet%d"
	// attempts bounds the search for a free number.
	attempts = 10000
)

// Name: see ports.Links.
func (l *Links) Name(ctx context.Context, links []device.Link) ([]device.Link, error) {
	named := slices.Clone(links)
	unnamed := 0
	for i := range named {
		link := &named[i]
		if link.GuestName == "" {
			link.GuestName = "eth" + strconv.Itoa(unnamed)
			unnamed++
		}
		host, err := l.hostName(ctx, link.HostName)
		if err != nil {
			l.Release(named[:i])
			return nil, err
		}
		link.HostName = host
	}
	return named, nil
}

// hostName reserves the name of one host end.
func (l *Links) hostName(ctx context.Context, wish string) (string, error) {
	if wish == "" {
		wish = automatic
	}
	if !strings.Contains(wish, "%") {
		if err := checkName(wish); err != nil {
			return "", err
		}
		l.reserve(wish)
		return wish, nil
	}
	if strings.Count(wish, "%") != 1 || !strings.Contains(wish, "%d") {
		return "", invalid("'%s' is not a pattern for link names: it needs one %%d", wish)
	}
	for number := range uint64(attempts) {
		if err := ctx.Err(); err != nil {
			return "", stopped(err, "unable to find a free link name for '%s'", wish)
		}
		name, err := l.tryNumber(wish, number)
		if name != "" || err != nil {
			return name, err
		}
	}
	return "", fault.New(fault.Internal, fault.Host, "no free link name found for '%s'", wish)
}

// tryNumber reserves pattern with one number: the given one, or the next of
// the daemon's own count. An empty name: in use.
func (l *Links) tryNumber(pattern string, number uint64) (string, error) {
	if pattern == automatic {
		number = l.take()
	}
	name := strings.Replace(pattern, "%d", strconv.FormatUint(number, 10), 1)
	if err := checkName(name); err != nil {
		return "", err
	}
	if !l.reserve(name) {
		return "", nil
	}
	_, err := l.index(name)
	if errors.Is(err, unix.ENODEV) {
		return name, nil
	}
	l.forget(name)
	if err != nil {
		return "", failed(err, "unable to look for link '%s'", name)
	}
	return "", nil
}

// take counts host ends that nobody named, so that a number does not come back
// while the daemon runs.
func (l *Links) take() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	return l.next - 1
}

// reserve is false if the name was reserved before.
func (l *Links) reserve(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reserved[name] {
		return false
	}
	l.reserved[name] = true
	return true
}

func (l *Links) forget(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.reserved, name)
}

// Release: see ports.Links.
func (l *Links) Release(links []device.Link) {
	for _, link := range links {
		l.forget(link.HostName)
	}
}

// checkName accepts what the kernel does.
func checkName(name string) error {
	if name == "" || name == "." || name == ".." || len(name) >= unix.IFNAMSIZ ||
		strings.ContainsAny(name, "/: \t\n\v\f\r\x00") {
		return invalid("'%s' cannot name a link", name)
	}
	return nil
}
