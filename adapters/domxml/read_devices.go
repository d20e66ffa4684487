package domxml

import (
	"slices"
	"strconv"
	"strings"

	"virtlxcd/domain/device"
)

// deviceReaders knows the devices that are more than carried along.
// Devices that are not here, sound cards for instance, are leftovers unread.
var deviceReaders = map[string]func(*reader, *node) error{
	"filesystem": (*reader).filesystem,
	"interface":  (*reader).link,
	"console":    (*reader).console,
	"disk":       (*reader).disk,
	"hostdev":    (*reader).hostDevice,
	"serial":     (*reader).character,
	"parallel":   (*reader).character,
	"channel":    (*reader).channel,
	"input":      (*reader).input,
	"graphics":   (*reader).graphics,
	"video":      (*reader).video,
	"memballoon": (*reader).balloon,
	"redirdev":   (*reader).redirection,
	"memory":     (*reader).memoryDevice,
}

// deviceNames are the children of devices that may have an alias.
// They are those with a place in printing order.
var deviceNames = orders["domain/devices"]

// devices reads <devices> in its order. An element in a namespace is none of these
// devices, whatever it is called. Ports, controllers and disks are looked at
// together, when all are known.
// Aliases are names of what runs, so they are dropped from every device unless the
// document is live.
// The emulator is filled in even without the element, as clients expect one.
func (r *reader) devices() error {
	n := r.root.one("devices")
	r.def.Emulator = n.word("emulator")
	if r.def.Emulator == "" {
		r.def.Emulator = r.codec.options.Emulator
	}
	if n == nil {
		return nil
	}
	for _, kid := range n.kids {
		if kid.kind != element || kid.space != "" {
			continue
		}
		if _, known := deviceNames[kid.name]; known && !r.live {
			kid.remove(func(part *node) bool { return part.is("alias") })
		}
		read := deviceReaders[kid.name]
		if read == nil {
			continue
		}
		if err := read(r, kid); err != nil {
			return err
		}
	}
	for _, step := range []func() error{
		func() error { return numberPorts(n, "serial") },
		func() error { return numberPorts(n, "parallel") },
		func() error { return addControllers(n) },
		func() error { return checkDisks(n) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// The words that attributes of <filesystem> may hold.
var (
	filesystemKinds = strings.Fields("mount bind ram block file template volume")
	accessModes     = strings.Fields("passthrough mapped squash")
	fsDrivers       = strings.Fields("path handle loop nbd ploop virtiofs default")
	// sourceNames are the attributes that hold the source, by kind.
	sourceNames = map[device.FilesystemKind]string{
		device.HostDir: "dir", device.GuestDir: "dir", device.Block: "dev", device.ImageFile: "file", device.Template: "name",
	}
)

// filesystem reads one <filesystem> (formatdomain, "Filesystems"). A status has no
// access mode for the root that start added, and gets none.
// Kinds that cannot be mounted here are stored and stop a start. What it is missing is
// told by the end that is there: the source without a target, the target without a source.
// That the element <readonly/> is there is enough: what is in it stays a leftover.
// Kind, access mode and driver are words; another word is badAttr's refusal.
func (r *reader) filesystem(n *node) error {
	n.taken = true
	fs := device.Filesystem{Kind: device.HostDir}
	if kind, written := n.take("type"); written {
		if !slices.Contains(filesystemKinds, kind) {
			return badAttr(n, "type", kind)
		}
		fs.Kind = device.FilesystemKind(kind)
	}
	mode, written := n.take("accessmode")
	switch {
	case written && !slices.Contains(accessModes, mode):
		return badAttr(n, "accessmode", mode)
	case !written && !r.live:
		mode = "passthrough"
	}
	fs.AccessMode = mode
	target, hasTarget := n.one("target").take("dir")
	fs.Target = target
	if err := readSource(n.one("source"), &fs); err != nil {
		return err
	}
	if !hasTarget {
		return targetless(fs.Source)
	}
	fs.ReadOnly = n.one("readonly") != nil
	if err := checkFilesystem(n); err != nil {
		return err
	}
	if fs.Kind != device.HostDir && fs.Kind != device.GuestDir && fs.Kind != device.Memory {
		r.unserved("filesystem type '" + string(fs.Kind) + "'")
	}
	n.arrange("domain/devices/filesystem")
	fs.Leftovers = leftovers(n)
	r.def.Filesystems = append(r.def.Filesystems, fs)
	return nil
}

// readSource takes what the kind asks for. A volume has two attributes and no
// field: they stay where they are.
// The unit of a RAM filesystem is KiB unless units says otherwise.
// A kind with a directory, file or device has it in the attribute of sourceNames.
func readSource(n *node, fs *device.Filesystem) error {
	switch fs.Kind {
	case device.Memory:
		usage, written := n.take("usage")
		if !written {
			return bad("missing 'usage' attribute for RAM filesystem")
		}
		if _, err := strconv.ParseUint(usage, 10, 64); err != nil {
			return bad("cannot parse usage '%s' for RAM filesystem", usage)
		}
		size, err := scaled(usage, n.pick("units"), "usage", kib, maxMemory)
		// Rounded down as always, but not to zero: that is no limit (tmpfs(5)).
		fs.Usage = max(size/kib, min(size, 1))
		return err
	case device.PoolVolume:
		if n == nil {
			return sourceless(fs.Target)
		}
		if n.get("pool") == "" || n.get("volume") == "" {
			return bad("'pool' and 'volume' must be specified together for 'pool' type source")
		}
		return nil
	}
	source, written := n.take(sourceNames[fs.Kind])
	if !written {
		return sourceless(fs.Target)
	}
	fs.Source = source
	return nil
}

// checkFilesystem looks at what is carried along: the driver, and limits of space,
// which are kept in bytes.
// The limits become leftovers in the one unit in which they are printed.
func checkFilesystem(n *node) error {
	if driver := n.find("driver"); driver != nil {
		if kind, written := driver.attr("type"); written && !slices.Contains(fsDrivers, kind) {
			return badAttr(driver, "type", kind)
		}
	}
	for _, name := range []string{"space_hard_limit", "space_soft_limit"} {
		limit := n.one(name)
		if limit == nil {
			continue
		}
		size, err := scaled(limit.content(), limit.get("unit"), "./"+name+"[1]", 1, maxMemory)
		if err != nil {
			return err
		}
		limit.taken = false
		limit.set("unit", "bytes")
		limit.setText(number(size))
	}
	return nil
}
