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
	// attempts bounds the search for a free number: each costs a system call.
	attempts = 10000
)

// Name: see ports.Links. The list it was given stays as it is. Names that are written
// out are reserved as they are, in use or not: whether they can be had is found when the
// link is made. All or none: when one name cannot be found no reservation is left.
//
// InvalidArgument for what cannot name a link and for patterns that are none, Internal
// when no number is free, Aborted or Timeout if ctx ended during the search.
func (l *Links) Name(ctx context.Context, links []device.Link) ([]device.Link, error) {
	named := slices.Clone(links)
	for i := range named {
		if name := named[i].HostName; name != "" && !strings.Contains(name, "%") {
			l.reserve(name) // before a pattern takes it
		}
	}
	unnamed := 0
	for i := range named {
		link := &named[i]
		if link.GuestName == "" {
			link.GuestName = "eth" + strconv.Itoa(unnamed)
			unnamed++
		}
		host, err := l.hostName(ctx, link.HostName)
		if err != nil {
			l.Release(named)
			return nil, err
		}
		link.HostName = host
	}
	return named, nil
}

// hostName reserves the name of one host end: as written, or a pattern's with the
// lowest number that is free, from 0. "vnet%d" counts up instead.
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
// the daemon's own count. An empty name: in use, by a link of the host or a start that
// goes on. Reserved first and looked up then, so that a link that is made in between is
// seen by one of the two.
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

// forget is fine with names that are not reserved.
func (l *Links) forget(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.reserved, name)
}

// Release: see ports.Links. Names that are not reserved are fine.
func (l *Links) Release(links []device.Link) {
	for _, link := range links {
		l.forget(link.HostName)
	}
}

// checkName accepts what the kernel does (dev_valid_name): up to 15 bytes, without
// blanks, slashes and colons. A percent sign makes it a pattern: the kernel would choose
// another name, which nobody here would know.
func checkName(name string) error {
	if name == "" || name == "." || name == ".." || len(name) >= unix.IFNAMSIZ ||
		strings.ContainsAny(name, "/:% \t\n\v\f\r\x00") {
		return invalid("'%s' cannot name a link", name)
	}
	return nil
}
