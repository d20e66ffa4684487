package domxml

import (
	"slices"
	"strconv"
	"strings"
)

// The devices here have no fields. They are checked and brought into normal
// form (defaults filled in, as clients read them back), then carried along.
// Where one would do something for the container, start is told of it as
// unserved; sound cards and the like never did anything here.

// The words are those of formatdomain; others are mistakes, whoever runs the container.
var (
	diskKinds   = strings.Fields("block file dir network volume nvme vhostuser vhostvdpa")
	diskDevices = strings.Fields("disk cdrom floppy lun")
	diskBuses   = strings.Fields("ide fdc scsi virtio xen usb uml sata sd none")
	// diskSource is the attribute that holds the source, by kind.
	diskSource = map[string]string{"block": "dev", "file": "file", "dir": "dir"}
	busPrefix  = []struct{ prefix, bus string }{
		{"xvd", "xen"}, {"ubd", "uml"}, {"hd", "ide"}, {"sd", "scsi"}, {"vd", "virtio"}, {"fd", "fdc"},
	}
)

// disk checks one <disk> (formatdomain, "Hard drives, floppy disks, CDROMs").
// CD-ROMs are read-only and are printed so. A drive may be without a medium, a disk needs
// a source.
func (r *reader) disk(n *node) error {
	setDefault(n, "type", "file")
	setDefault(n, "device", "disk")
	kind, form, target := n.get("type"), n.get("device"), n.find("target")
	switch {
	case !slices.Contains(diskKinds, kind):
		return badAttr(n, "type", kind)
	case !slices.Contains(diskDevices, form):
		return badAttr(n, "device", form)
	case target.get("dev") == "":
		return targetless(n.find("source").get(diskSource[kind]))
	}
	dev := target.get("dev")
	if err := guessBus(n, target); err != nil {
		return err
	}
	if diskSource[kind] != "" && form == "disk" && n.find("source").get(diskSource[kind]) == "" {
		return sourceless(dev)
	}
	if form == "cdrom" && n.find("readonly") == nil {
		n.add(el("readonly"))
	}
	r.unserved("disk '" + dev + "'")
	return addDrive(n, target)
}

// guessBus takes the bus from the beginning of the target's name, unless it is
// written: sda is scsi. Longer beginnings come first: xvda is no vda.
// A name that tells nothing is fine with an address, which says where the disk is.
func guessBus(n, target *node) error {
	dev := target.get("dev")
	if bus, written := target.attr("bus"); written {
		if !slices.Contains(diskBuses, bus) {
			return badAttr(target, "bus", bus)
		}
		return nil
	}
	for _, guess := range busPrefix {
		if strings.HasPrefix(dev, guess.prefix) {
			target.set("bus", guess.bus)
			return nil
		}
	}
	if n.find("address") != nil {
		return nil
	}
	return bad("Unknown disk name '%s' and no address specified", dev)
}

// drives are the buses whose disks get a drive address: how many units a bus
// has, and how many buses a controller.
// The numbers are those of the controllers that libvirt assumes.
var drives = map[string]struct{ units, buses int }{"ide": {2, 2}, "scsi": {7, 1}, "sata": {6, 1}, "fdc": {2, 1}}

// addDrive gives the disk its place on a controller, counted from its name:
// sdh is the eighth, so the first unit of the second scsi controller. Buses without
// such places have no address.
// An address that is written is completed and otherwise believed.
func addDrive(n, target *node) error {
	bus := target.get("bus")
	shape, has := drives[bus]
	if written := n.find("address"); written != nil {
		if has && written.get("type") == "drive" {
			for _, part := range []string{"controller", "bus", "target", "unit"} {
				setDefault(written, part, "0")
			}
		}
		return nil
	}
	if !has {
		return nil
	}
	dev := target.get("dev")
	index, ok := diskIndex(dev)
	switch {
	case bus == "fdc" && n.get("device") != "floppy", !ok:
		return internal("Invalid harddisk device name: %s", dev)
	}
	perController := shape.units * shape.buses
	n.add(el("address", "type", "drive",
		"controller", strconv.Itoa(index/perController),
		"bus", strconv.Itoa(index%perController/shape.units),
		"target", "0",
		"unit", strconv.Itoa(index%shape.units)))
	return nil
}

// diskIndex counts the letters after the prefix like the columns of a sheet:
// sda is 0, sdz 25, sdaa 26. More than two letters are refused.
// Digits behind the letters are a partition and do not count.
func diskIndex(dev string) (int, bool) {
	for _, guess := range busPrefix {
		letters, ok := strings.CutPrefix(dev, guess.prefix)
		if !ok {
			continue
		}
		letters = strings.TrimRight(letters, "0123456789")
		if letters == "" || len(letters) > 2 {
			return 0, false
		}
		index := 0
		for _, letter := range []byte(letters) {
			if letter < 'a' || letter > 'z' {
				return 0, false
			}
			index = index*26 + int(letter-'a') + 1
		}
		return index - 1, true
	}
	return 0, false
}

// checkDisks wants every target but once, since it names the device inside.
// It runs when all disks were read, so each has a target.
func checkDisks(devices *node) error {
	seen := map[string]*node{}
	for _, n := range devices.each("disk") {
		dev := n.find("target").get("dev")
		if earlier := seen[dev]; earlier != nil {
			return bad("target '%s' duplicated for disk sources '%s' and '%s'", dev, diskPath(earlier), diskPath(n))
		}
		seen[dev] = n
	}
	return nil
}

// diskPath is what an error says of a disk; empty for kinds without one source.
// It is the source as written, not looked for on the host.
func diskPath(n *node) string { return n.find("source").get(diskSource[n.get("type")]) }

// addControllers numbers the controllers, each kind from 0 or on from the highest
// so far, and adds those that devices imply up to the one they name. Far-off
// numbers imply nothing, or one line would make millions.
// A controller without a type is an ide one. Those that are added come at the end and
// are put in order with everything else.
func addControllers(devices *node) error {
	highest := map[string]int{} // per kind, plus one
	for _, n := range devices.each("controller") {
		setDefault(n, "type", "ide")
		kind := n.get("type")
		index := highest[kind]
		if written := n.get("index"); written != "" {
			value, err := strconv.ParseUint(written, 10, 31)
			if err != nil {
				return badNumber(n, "index", written)
			}
			index = int(value)
		}
		n.set("index", strconv.Itoa(index))
		highest[kind] = max(highest[kind], index+1)
	}
	need := func(kind string, index int) {
		for ; highest[kind] <= index && index < 1024; highest[kind]++ {
			devices.add(el("controller", "type", kind, "index", strconv.Itoa(highest[kind])))
		}
	}
	for _, n := range devices.kids {
		if n.kind != element {
			continue
		}
		switch target := n.find("target"); {
		case n.name == "disk":
			address := n.find("address")
			if index, err := strconv.Atoi(address.get("controller")); err == nil && address.get("type") == "drive" {
				need(target.get("bus"), index)
			}
		case (n.name == "console" || n.name == "channel") && target.get("type") == "virtio":
			need("virtio-serial", 0)
		case n.name == "smartcard":
			need("ccid", 0)
		}
	}
	return nil
}

// hostDeviceKinds are the types of a host device of mode subsystem.
// Others are mistakes.
var hostDeviceKinds = strings.Fields("usb pci scsi scsi_host mdev")

// hostDeviceParts are the types of mode capabilities: what names the device, and
// what errors call it.
// "misc" names a character device, "storage" a block device, "net" a link.
var hostDeviceParts = map[string]struct{ element, noun string }{
	"misc": {"char", "character"}, "storage": {"block", "block"}, "net": {"interface", "net"},
}

// hostDevice checks one <hostdev>: of mode subsystem a device that is handed over,
// of mode capabilities a node or link of the host.
// Both modes are stored and stop a start.
// A mode that is not written is subsystem, with the checks of that.
func (r *reader) hostDevice(n *node) error {
	mode, written := n.attr("mode")
	if written && mode != "subsystem" && mode != "capabilities" {
		return unsupported("unknown hostdev mode '%s'", mode)
	}
	setDefault(n, "mode", "subsystem")
	kind, source := n.get("type"), n.find("source")
	switch {
	case kind == "":
		return bad("missing source address type")
	case source == nil:
		return bad("Missing <source> element in hostdev device")
	}
	if mode == "capabilities" {
		part, known := hostDeviceParts[kind]
		switch {
		case !known:
			return unsupported("unknown host device source address type '%s'", kind)
		case source.find(part.element).content() == "":
			return bad("Missing <%s> element in hostdev %s device", part.element, part.noun)
		}
	} else {
		if !slices.Contains(hostDeviceKinds, kind) {
			return unsupported("unknown host device source address type '%s'", kind)
		}
		setDefault(n, "managed", "no")
	}
	r.unserved("hostdev '" + kind + "'")
	return nil
}

// input, graphics, redirection and memoryDevice are refused whatever is in them.
func (r *reader) input(*node) error {
	return internal("Input devices are not supported by this virtualization driver.")
}

// A video device without a model gets the same text.
func (r *reader) graphics(*node) error {
	return internal("missing video model and cannot determine default")
}

// video is refused without a model: a default would depend on the machine.
func (r *reader) video(n *node) error {
	if n.find("model").get("type") == "" {
		return r.graphics(n)
	}
	return nil
}

// balloon has no effect on a container, but the model must be there.
// Any model is fine: it is printed as it was written.
func (r *reader) balloon(n *node) error {
	if _, written := n.attr("model"); !written {
		return missingAttr(n, "model")
	}
	return nil
}

// There is no USB controller that could take it.
func (r *reader) redirection(*node) error {
	return unsupported("cannot add redirected USB device: USB is disabled for this domain")
}

// Memory of a container is a limit, so nothing can be plugged in.
func (r *reader) memoryDevice(*node) error {
	return unsupported("memory devices are not supported by this driver")
}
