package launch

import (
	"path"
	"strings"

	"virtlxcd/domain/container"
	"virtlxcd/domain/device"
	"virtlxcd/domain/launch/step"
)

// terminal is what init's standard descriptors are.
const terminal = "/dev/pts/0"

// enterRoot makes the prepared root the root. Join comes first: the v1 groups
// are reached through descriptors, but a new cgroup namespace shows the groups
// one is in at that moment. What the host has mounted on a root that is shared
// with it is taken away, so that the container's own is not put on top.
// Mounts are made private before anything is changed: the stage's are copies of the
// host's and would propagate there (mount_namespaces(7)).
func (b *builder) enterRoot() {
	b.inside(step.Op{Code: step.Join, Subject: "control groups"})
	b.inside(step.Op{Code: step.NewCgroupView, Subject: "control groups"})
	b.inside(step.Op{Code: step.MakePrivate, Path: "/", Subject: "/"})
	source := b.rootSource()
	b.inside(step.Op{Code: step.Pivot, Slot: b.root, Subject: source})
	if path.Clean(source) == "/" {
		for _, own := range []string{"/sys", "/dev", "/proc"} {
			b.inside(step.Op{Code: step.Unmount, Path: own, Subject: own})
		}
	}
}

// No container needs programs, nodes or set-user-id files on these.
const hardened = step.NoSUID | step.NoDev | step.NoExec

// enterKernelViews mounts proc and sysfs. They are mounted inside because they
// show the namespaces of whoever mounts them, and before Forget because of what
// is said at step.Pivot. The settings of /proc/sys are the host's but for those of
// a network of its own.
// A part of proc is protected by a read-only bind onto itself.
func (b *builder) enterKernelViews() {
	b.inside(step.Op{Code: step.Mount, Source: "proc", Path: "/proc", Flags: hardened, Subject: "/proc"})
	b.inside(step.Op{Code: step.Bind, Source: "/proc/sys", Path: "/proc/sys", Flags: hardened | step.ReadOnly, Subject: "/proc/sys"})
	if b.d.NeedsNet() {
		b.inside(step.Op{Code: step.Bind, Source: "/proc/sys/net", Path: "/proc/sys/net", Flags: hardened | step.Writable, Subject: "/proc/sys/net"})
	}
	if b.sys >= 0 {
		b.inside(step.Op{Code: step.Attach, Slot: b.sys, Path: "/sys", Subject: "/sys"})
		return
	}
	b.inside(step.Op{Code: step.Mount, Source: "sysfs", Path: "/sys", Flags: hardened | step.ReadOnly, Subject: "/sys"})
}

// enterCgroups shows the container its own groups and nothing above. With v1 the
// hierarchies lie side by side, so something must hold their mount points.
// It comes behind /sys, on which it lies. Links are such as "cpu" to "cpu,cpuacct".
func (b *builder) enterCgroups() {
	const base = "/sys/fs/cgroup"
	if len(b.Cgroups) == 0 {
		return
	}
	if b.Cgroups[0].Name != "" {
		b.inside(step.Op{Code: step.Mount, Source: "tmpfs", Data: "mode=755,size=65536", Path: base, Flags: hardened, Subject: base})
	}
	for i, dir := range b.Cgroups {
		target := path.Join(base, dir.Name)
		b.inside(step.Op{Code: step.Attach, Slot: b.groups[i], Path: target, Subject: target})
		for _, link := range dir.Links {
			b.inside(step.Op{Code: step.Link, Source: dir.Name, Path: path.Join(base, link), Subject: path.Join(base, link)})
		}
	}
}

// enterDevices puts /dev in place and the consoles into it. /dev/console and
// /dev/tty1 are both the first console; /dev/shm and /dev/mqueue are for programs
// that run without an init system, which would mount them.
// /dev/mqueue may be missing from a kernel, /dev/shm may not.
func (b *builder) enterDevices() {
	b.inside(step.Op{Code: step.Attach, Slot: b.dev, Path: "/dev", Subject: "/dev"})
	b.inside(step.Op{Code: step.Attach, Slot: b.pts, Path: "/dev/pts", Subject: "/dev/pts"})
	b.inside(step.Op{Code: step.Bind, Source: terminal, Path: "/dev/console", Subject: "/dev/console"})
	for i := range b.d.Consoles {
		tty := "/dev/tty" + itoa(i+1)
		b.inside(step.Op{Code: step.Bind, Source: "/dev/pts/" + itoa(i), Path: tty, Subject: tty})
	}
	b.inside(step.Op{Code: step.Mount, Source: "tmpfs", Data: "mode=1777", Path: "/dev/shm", Flags: step.NoSUID | step.NoDev, Subject: "/dev/shm"})
	b.inside(step.Op{Code: step.Mount, Source: "mqueue", Path: "/dev/mqueue", Flags: hardened | step.Optional, Subject: "/dev/mqueue"})
}

// enterFilesystems mounts what the definition asks for, in its order, and makes
// the root read-only last, when all mount points exist.
// A later one may lie below an earlier one, as with mount(8).
func (b *builder) enterFilesystems() {
	for i := range b.d.Filesystems {
		fs := &b.d.Filesystems[i]
		if !serves(fs) {
			continue
		}
		target := guestPath(fs.Target)
		if fs.Kind == device.GuestDir {
			op := step.Op{Code: step.Bind, Source: fs.Source, Path: target, Subject: target}
			if fs.ReadOnly {
				op.Flags = step.ReadOnly
			}
			b.inside(op)
			continue
		}
		b.inside(step.Op{Code: step.Attach, Slot: b.mounts[i], Path: target, Subject: target})
	}
	if root := b.d.Root(); root != nil && root.ReadOnly {
		b.inside(step.Op{Code: step.Protect, Path: "/", Flags: step.ReadOnly, Subject: "/"})
	}
}

// resourceFiles is RLIMIT_NOFILE (setrlimit(2)); the values are those services
// get by default from current service managers.
const (
	resourceFiles = 7
	softFiles     = 1024
	hardFiles     = 524288
)

// enterIdentity turns the stage into init. Wait comes as late as it can, so that
// the daemon makes links meanwhile; Become after all that needs root, and before
// Directory, which the user may not be allowed to enter.
func (b *builder) enterIdentity() {
	d := b.d
	if b.d.NeedsNet() {
		b.inside(step.Op{Code: step.LoopbackUp, Subject: "lo"})
	}
	b.inside(step.Op{Code: step.Hostname, Path: Hostname(d.Name), Subject: d.Name})
	if persona := personality(d.Arch, b.Facts.Arch); persona != 0 {
		b.inside(step.Op{Code: step.Persona, Value: persona, Subject: d.Arch})
	}
	b.inside(step.Op{Code: step.Limit, Value: resourceFiles, Major: softFiles, Minor: hardFiles, Subject: "open files"})
	b.inside(step.Op{Code: step.Wait, Subject: "links"})
	b.inside(step.Op{Code: step.Session, Path: terminal, Subject: "console0"})
	kept, inheritable := d.Capabilities.Set(b.Facts.Capabilities)
	b.inside(step.Op{
		Code: step.Become, Path: d.Init.User, Source: d.Init.Group, Data: terminal,
		Value: kept, Value2: inheritable, Major: uint64(b.Facts.LastCapability), Subject: who(d.Init),
	})
	if d.Init.Dir != "" {
		b.inside(step.Op{Code: step.Directory, Path: d.Init.Dir, Subject: d.Init.Dir})
	}
	b.inside(step.Op{Code: step.Files, Subject: "passed files"})
	b.inside(step.Op{
		Code: step.Exec, Path: d.Init.Path, Words: append([]string{d.Init.Path}, d.Init.Args...),
		Env: environment(d), Subject: d.Init.Path,
	})
}

// who is the user as an error names it: "root", "bob", "bob:staff", ":staff".
func who(init container.Init) string {
	switch {
	case init.User == "" && init.Group == "":
		return "root"
	case init.Group == "":
		return init.User
	}
	return init.User + ":" + init.Group
}

// per32Linux is PER_LINUX32 (personality(2)).
const per32Linux = 0x0008

// siblings32 are the 32-bit architectures whose programs run on a 64-bit
// kernel of the other name.
// Names are those of <type arch='...'/>.
var siblings32 = map[string]string{
	"i686": "x86_64", "armv7l": "aarch64", "ppc": "ppc64", "s390": "s390x", "mips": "mips64",
	"mipsel": "mips64el", "sparc": "sparc64", "parisc": "parisc64",
}

// personality makes uname(2) tell a 32-bit container that its machine is one too.
// An architecture that is not in the table gives none, and neither does one whose
// kernel is not this host's.
func personality(arch, hostArch string) uint64 {
	if siblings32[arch] == hostArch && hostArch != "" {
		return per32Linux
	}
	return 0
}

// environment is what init is given, in this order; of two with one name, init
// decides. "container" and "container_uuid" are what systemd looks for, and
// "container_ttys" where it starts a login ("pts/1 pts/2"; the console has one).
// The names with LIBVIRT_LXC are those that the original gives, too.
func environment(d *container.Definition) []string {
	uuid := d.UUID.String()
	env := []string{"PATH=/bin:/sbin", "TERM=linux", "container=lxc-libvirt", "HOME=/", "container_uuid=" + uuid}
	if len(d.Consoles) > 1 {
		env = append(env, "container_ttys="+otherTerminals(len(d.Consoles)))
	}
	env = append(env, "LIBVIRT_LXC_UUID="+uuid, "LIBVIRT_LXC_NAME="+d.Name)
	if d.Init.CommandLine != "" {
		env = append(env, "LIBVIRT_LXC_CMDLINE="+d.Init.CommandLine)
	}
	for _, v := range d.Init.Env {
		env = append(env, v.Name+"="+v.Value)
	}
	return env
}

// otherTerminals are those besides the console, below /dev.
func otherTerminals(consoles int) string {
	names := make([]string, 0, consoles-1)
	for i := 1; i < consoles; i++ {
		names = append(names, "pts/"+itoa(i))
	}
	return strings.Join(names, " ")
}
