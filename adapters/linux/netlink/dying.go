package netlink

import (
	"context"
	"errors"
	"time"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// dyingLimit bounds how long a name is waited for. A pair goes some ten
// milliseconds after the last process of its namespace; one that stays for
// seconds is in use.
const dyingLimit = 5 * time.Second

// awaitGone returns when the host link is no longer what has the name. Only one
// end of a pair can be about to go by itself: any other kind is refused at once, and
// one that lives longer than dyingLimit too (EEXIST). The kernel tells every change of
// links to who subscribed (rtnetlink(7), RTNLGRP_LINK): nothing is polled. Aborted or
// Timeout if ctx ends.
func (l *Links) awaitGone(ctx context.Context, name string, index int) error {
	kind, err := l.kindOf(name)
	if err != nil {
		return err
	}
	if kind != "veth" && kind != "" {
		return inUse(name)
	}
	limited, cancel := context.WithTimeout(ctx, dyingLimit)
	defer cancel()
	events, err := nl.SubscribeAt(l.homeHandle(), netns.None(), unix.NETLINK_ROUTE, unix.RTNLGRP_LINK)
	if err != nil {
		return failed(err, "unable to watch link '%s'", name)
	}
	// Closing is what ends a pending Receive; closing twice does nothing.
	defer events.Close()
	defer context.AfterFunc(limited, events.Close)()
	for {
		// Subscribed before it looks, so no deletion is missed.
		if found, err := l.index(name); err != nil || found != index {
			return nil
		}
		_, _, err := events.Receive()
		switch {
		case ctx.Err() != nil:
			return stopped(ctx.Err(), "link '%s' is still there", name)
		case limited.Err() != nil:
			return inUse(name)
		case errors.Is(err, unix.ENOBUFS): // events were lost (netlink(7)): look again
		case err != nil:
			return failed(err, "unable to watch link '%s'", name)
		}
	}
}

// inUse is what making the link would say.
func inUse(name string) error {
	return failed(unix.EEXIST, "unable to make link '%s'", name)
}
