package launch

import (
	"strconv"

	"virtlxcd/domain/device"
	"virtlxcd/domain/launch/step"
)

// File types of mknod(2).
// Only these two are made; types of others are not in any plan.
const (
	modeChar    = 0o020000
	modeRegular = 0o100000
)

// kernelNodes are the device nodes every container has, with their numbers
// (kernel documentation, devices.txt).
var kernelNodes = []struct {
	name         string
	major, minor uint64
}{
	{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0},
}

// deviceLinks are the links that every /dev has (proc(5), pts(4)); ptmx leads to
// the container's own devpts.
var deviceLinks = [][2]string{
	{"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"},
	{"fd", "/proc/self/fd"}, {"ptmx", "pts/ptmx"},
}

// prepareRoot takes the root with what is mounted below it.
// It is recursive: what the administrator has mounted below the source belongs to it.
func (b *builder) prepareRoot() {
	b.root = b.slot()
	source := b.rootSource()
	b.outside(step.Op{Code: step.OpenTree, Path: source, Slot: b.root, Flags: step.Recursive, Subject: source})
	if b.d.IDMap.Enabled() && !b.d.NeedsNet() {
		// sysfs belongs to the network namespace's owner, so none can be mounted
		b.sys = b.slot()
		b.outside(step.Op{Code: step.OpenTree, Path: "/sys", Slot: b.sys, Flags: step.Recursive, Subject: "/sys"})
		b.outside(step.Op{Code: step.SetAttributes, Slot: b.sys, Flags: step.ReadOnly | step.NoSUID | step.NoDev | step.NoExec | step.Recursive, Subject: "/sys"})
	}
}

// prepareDevices makes the tmpfs that becomes /dev. The nodes are made outside:
// in a user namespace mknod(2) is refused. Consoles get plain files, on which
// terminals are mounted later.
// The tmpfs is small, since nodes take hardly any room in it and programs should not
// store anything there. What exists as a node says nothing about who may use it: that is
// decided by Plan.Devices.
func (b *builder) prepareDevices() {
	b.dev = b.slot()
	b.outside(step.Op{Code: step.NewMount, Source: "tmpfs", Data: "mode=755,size=65536", Slot: b.dev, Flags: step.NoSUID, Subject: "/dev"})
	for _, node := range kernelNodes {
		b.node(node.name, modeChar|0o666, node.major, node.minor)
	}
	b.node("console", modeRegular|0o600, 0, 0)
	for i := range b.d.Consoles {
		b.node("tty"+itoa(i+1), modeRegular|0o600, 0, 0)
	}
	for _, dir := range []string{"pts", "shm", "mqueue"} {
		b.outside(step.Op{Code: step.MakeDir, Slot: b.dev, Path: dir, Mode: 0o755, UID: b.rootUser, GID: b.rootGrp, Subject: "/dev/" + dir})
	}
	for _, link := range deviceLinks {
		b.outside(step.Op{Code: step.MakeLink, Slot: b.dev, Path: link[0], Source: link[1], Subject: "/dev/" + link[0]})
	}
	b.ownership(b.dev, "/dev")
}

// node makes one node for the container's root. Major and minor 0 go with a file.
func (b *builder) node(name string, mode uint32, major, minor uint64) {
	b.outside(step.Op{
		Code: step.MakeNode, Slot: b.dev, Path: name, Mode: mode, Major: major, Minor: minor,
		UID: b.rootUser, GID: b.rootGrp, Subject: "/dev/" + name,
	})
}

// ownership gives a mount made outside to the container's root.
// Without an id map root is root on both sides, so there is nothing to give.
func (b *builder) ownership(slot int, subject string) {
	if b.d.IDMap.Enabled() {
		b.outside(step.Op{Code: step.Owner, Slot: slot, UID: b.rootUser, GID: b.rootGrp, Subject: subject})
	}
}

// prepareTerminals makes the private devpts and a terminal for each console. They
// are opened in order, so that console N is /dev/pts/N. Ownership comes last: what
// openTerminal makes belongs to whom it says.
// The slave belongs to the container's root and the group of terminals, as login
// programs expect it; a Become gives the first one to init's user.
func (b *builder) prepareTerminals() {
	b.pts = b.slot()
	options := "mode=0620,ptmxmode=0666,gid=" + strconv.FormatUint(uint64(b.ttyGrp), 10)
	b.outside(step.Op{Code: step.NewMount, Source: "devpts", Data: options, Slot: b.pts, Flags: step.NoSUID | step.NoExec, Subject: "/dev/pts"})
	for i := range b.d.Consoles {
		slot := b.slot()
		b.terminals = append(b.terminals, slot)
		b.outside(step.Op{
			Code: step.OpenTerminal, Slot: slot, Value: uint64(b.pts), Mode: 0o620,
			UID: b.rootUser, GID: b.ttyGrp, Subject: "console" + itoa(i),
		})
	}
	b.ownership(b.pts, "/dev/pts")
}

// prepareFilesystems takes what comes from the host: <filesystem type='mount'> with
// only its top mount, as the original binds it, and type='ram', whose size is in KiB.
func (b *builder) prepareFilesystems() {
	for i := range b.d.Filesystems {
		fs := &b.d.Filesystems[i]
		if !serves(fs) || fs.Kind == device.GuestDir {
			continue
		}
		slot := b.slot()
		b.mounts[i] = slot
		if fs.Kind == device.Memory {
			b.newMemory(slot, fs)
			continue
		}
		b.outside(step.Op{Code: step.OpenTree, Path: fs.Source, Slot: slot, Subject: fs.Source})
		if fs.ReadOnly {
			b.outside(step.Op{Code: step.SetAttributes, Slot: slot, Flags: step.ReadOnly, Subject: fs.Source})
		}
	}
}

// A read-only one stays root's on the host: nobody inside can write to it anyway.
func (b *builder) newMemory(slot int, fs *device.Filesystem) {
	flags := step.NoSUID | step.NoDev
	if fs.ReadOnly {
		flags |= step.ReadOnly
	}
	size := "size=" + strconv.FormatUint(fs.Usage*1024, 10)
	b.outside(step.Op{Code: step.NewMount, Source: "tmpfs", Data: size, Slot: slot, Flags: flags, Subject: fs.Target})
	if !fs.ReadOnly {
		b.ownership(slot, fs.Target)
	}
}

// delegated are the files of a control group that a container which owns its
// group may write (kernel documentation, cgroup-v2, delegation).
var delegated = []string{"cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "tasks"}

// prepareCgroups takes the container's own directories: writable only for a
// container with an id map, whose root is nobody on the host.
// The order of the slots is that of Request.Cgroups, which enterCgroups relies on.
func (b *builder) prepareCgroups() {
	for _, dir := range b.Cgroups {
		slot := b.slot()
		b.groups = append(b.groups, slot)
		b.outside(step.Op{Code: step.OpenTree, Path: dir.Path, Slot: slot, Subject: dir.Path})
		flags := step.NoSUID | step.NoDev | step.NoExec
		if b.delegates(dir.Name) {
			b.outside(step.Op{Code: step.Owner, Slot: slot, UID: b.rootUser, GID: b.rootGrp, Words: delegated, Subject: dir.Path})
		} else {
			flags |= step.ReadOnly
		}
		b.outside(step.Op{Code: step.SetAttributes, Slot: slot, Flags: flags, Subject: dir.Path})
	}
}

// delegates says whether a hierarchy is given to the container: of those with
// version 1 only systemd's own, which limits nothing.
func (b *builder) delegates(name string) bool {
	return b.d.IDMap.Enabled() && (name == "" || name == "unified" || name == "systemd")
}
