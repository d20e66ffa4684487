package remote

import (
	"fmt"
	"net/url"
	"syscall"

	"virtlxcd/domain/fault"
)

// defaultURI is what an empty name stands for.
const defaultURI = "lxc:///system"

// resolve checks the name a client wants to open and returns the one it will be
// told. An empty name asks the daemon to choose. Fragment and query are the
// client's own business.
// Of lxc there are "lxc:", "lxc:/", "lxc:///" and "lxc:///system". Names with a host are the
// client's to connect to; one that comes here found no driver. NoConnect, code 5, is for
// what is no name of a driver.
func resolve(name string) (string, error) {
	if name == "" {
		return defaultURI, nil
	}
	uri, err := url.Parse(name)
	if err != nil || uri.Scheme == "" || uri.Opaque != "" || uri.Host != "" || uri.User != nil {
		return "", noDriver(name)
	}
	// Only a well formed name gets here, so its scheme may be put into a path.
	if uri.Scheme != "lxc" {
		return "", elsewhere(uri.Scheme)
	}
	switch uri.Path {
	case "", "/", "/system":
		return name, nil
	}
	return "", fault.New(fault.Internal, fault.Driver, "Unexpected LXC URI path '%s', try lxc:///system", uri.Path)
}

// elsewhere refuses what another driver's daemon serves, in the words clients
// know from a daemon that cannot reach that one: this one never tries. "qemu:///system"
// names virtqemud-sock.
func elsewhere(scheme string) error {
	return &fault.Error{
		Kind: fault.System, Area: fault.Wire, Err: syscall.ENOENT,
		Text: fmt.Sprintf("Failed to connect socket to '/var/run/libvirt/virt%sd-sock'", scheme),
	}
}
