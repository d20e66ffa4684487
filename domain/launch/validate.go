package launch

import (
	"math"
	"path"
	"slices"
	"strings"

	"virtlxcd/domain/container"
	"virtlxcd/domain/device"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/host"
)

// maxConsoles keeps a start within the descriptors that one message carries.
const maxConsoles = 64

// Validate says what no host like this one can run, whenever it is started:
// checked when a definition is stored, and again by New, since facts change.
// Kind WrongState for what the kernel lacks, UnsupportedConfig for the rest.
// Its texts reach clients when they define a container.
func Validate(d *container.Definition, facts *host.Facts) error {
	if d.NeedsNet() && !facts.NetNamespaces {
		return fault.New(fault.WrongState, fault.Driver, "System lacks NETNS support")
	}
	return refuseHostInit(d, facts)
}

// refuseHostInit keeps a container that shares the host's root from booting the
// host's own init system on the host's files.
// It goes by paths: facts list those under which the host's init system is known.
func refuseHostInit(d *container.Definition, facts *host.Facts) error {
	root := d.Root()
	shared := root == nil || path.Clean(root.Source) == "/"
	if !shared || !slices.Contains(facts.InitPaths, path.Clean("/"+d.Init.Path)) {
		return nil
	}
	return fault.New(fault.UnsupportedConfig, fault.Driver,
		"init '%s' is the host's own init system and the container shares the host's root: "+
			"it would be booted on the host's files; give the container a filesystem for '/' of its own",
		d.Init.Path)
}

// startable says what this daemon cannot start though it can be stored: a
// definition may be meant for another host or a later version. Whether sources
// exist is not asked here: only the attempt tells.
// What is looked at first is what a user has to change first: parts of the document
// that are not served at all.
func startable(d *container.Definition, facts *host.Facts) error {
	if len(d.Unserved) > 0 {
		return unsupported("%s cannot be started by this version", strings.Join(d.Unserved, ", "))
	}
	if d.IDMap.Enabled() && !facts.UserNamespaces {
		return unsupported("the kernel lacks user namespaces, which <idmap> needs")
	}
	if !strings.HasPrefix(d.Init.Path, "/") {
		return unsupported("init path '%s' is not absolute", d.Init.Path)
	}
	if d.Partition != "" && d.Partition[0] != '/' {
		return unsupported("Resource partition '%s' must start with '/'", d.Partition)
	}
	if err := checkConsoles(d.Consoles); err != nil {
		return err
	}
	return checkFilesystems(d.Filesystems)
}

// Init's standard descriptors are the first console, so there must be one.
func checkConsoles(consoles []device.Console) error {
	if len(consoles) == 0 {
		return unsupported("At least one PTY console is required")
	}
	if len(consoles) > maxConsoles {
		return unsupported("%d consoles are more than the %d that can be opened", len(consoles), maxConsoles)
	}
	for _, console := range consoles {
		if console.Kind != "pty" {
			return unsupported("Only PTY console types are supported")
		}
	}
	return nil
}

// A relative source would depend on the directory of the daemon.
func checkFilesystems(filesystems []device.Filesystem) error {
	for _, fs := range filesystems {
		switch fs.Kind {
		case device.HostDir, device.GuestDir:
			if !strings.HasPrefix(fs.Source, "/") {
				return unsupported("filesystem source '%s' for '%s' is not an absolute path", fs.Source, fs.Target)
			}
		case device.Memory:
			if fs.Usage > math.MaxUint64/1024 {
				return unsupported("filesystem size of %d KiB for '%s' is too large", fs.Usage, fs.Target)
			}
		default:
			return unsupported("Cannot mount filesystem type %s", string(fs.Kind))
		}
		if fs.Target == "/" && fs.Kind != device.HostDir {
			return unsupported("a filesystem of type %s cannot be the root", string(fs.Kind))
		}
		if serves(&fs) && guestPath(fs.Target) == "/" {
			return unsupported("filesystem target '%s' would cover the root: write '/' if it is to be the root", fs.Target)
		}
	}
	return nil
}

// All refusals of a start but one have this kind.
func unsupported(format string, args ...any) error {
	return fault.New(fault.UnsupportedConfig, fault.Driver, format, args...)
}
