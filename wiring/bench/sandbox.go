package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// inside is the argument of the part that runs in namespaces of its own.
const inside = "inside"

// enter runs this program again in its namespaces, its control groups being the
// root of what both daemons see. Groups are joined before: a cgroup namespace begins where
// its first process is (cgroup_namespaces(7)). With the pid namespace goes everything that
// a daemon or a container of it started.
// The namespaces are made by the kernel when the program is run again, so nothing of
// this process has to be changed; the user namespace stays the host's, since both
// daemons have to be root.
func enter() error {
	groups, err := joinGroups("vlx-bench-" + strconv.Itoa(os.Getpid()))
	if err != nil {
		return err
	}
	defer groups.leave()
	command := exec.Command("/proc/self/exe", inside)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID, Unshareflags: unix.CLONE_NEWCGROUP, Pdeathsig: unix.SIGKILL,
	}
	return command.Run()
}

// group is a control group of ours and the one this process came from, as directories.
type group struct{ own, home string }

// groups has one for each mounted hierarchy.
// On a host with cgroup v2 alone that is one, on a hybrid one about a dozen.
type groups []group

// joinGroups makes a group in every hierarchy and moves this process there. A new group of
// cpuset takes nobody in until it says which processors and memory it has (cpuset(7)).
// What was joined comes with an error too, but its caller gives up then.
func joinGroups(name string) (groups, error) {
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup", "cgroup2"))
	if err != nil {
		return nil, err
	}
	var joined groups
	for _, m := range mounts {
		g := group{own: filepath.Join(m.Mountpoint, name), home: m.Mountpoint}
		if err := os.Mkdir(g.own, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return joined, err
		}
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			if value, err := os.ReadFile(filepath.Join(m.Mountpoint, file)); err == nil {
				os.WriteFile(filepath.Join(g.own, file), value, 0)
			}
		}
		if err := os.WriteFile(filepath.Join(g.own, "cgroup.procs"), []byte("0"), 0); err != nil {
			return joined, fmt.Errorf("join %s: %w", g.own, err)
		}
		joined = append(joined, g)
	}
	return joined, nil
}

// leave moves back and removes the groups with all that was left in them, the innermost
// first. What cannot be removed is not worth an error: the figures are there.
// Directories are removed from the inside out: the kernel refuses one with children.
func (gs groups) leave() {
	for _, g := range gs {
		os.WriteFile(filepath.Join(g.home, "cgroup.procs"), []byte("0"), 0)
		var dirs []string
		filepath.WalkDir(g.own, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for i := len(dirs) - 1; i >= 0; i-- {
			os.Remove(dirs[i])
		}
	}
}

// prepare makes the private view: own /proc, control groups mounted anew, empty
// directories over the host's libvirt ones, a bridge and a root filesystem. The original
// has fixed paths, so it is given the host's as if nothing had ever been there. The
// directory is short: paths of sockets are.
// Nothing is undone here: all of it goes with the namespaces.
func prepare() (dir string, err error) {
	// Before any other: nothing of what follows is to reach the host.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return "", err
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return "", err
	}
	if err := remountGroups(); err != nil {
		return "", err
	}
	for _, place := range []string{"/etc/libvirt", "/run/libvirt", "/var/lib/libvirt", "/var/log/libvirt"} {
		if err := os.MkdirAll(place, 0o755); err != nil {
			return "", err
		}
		if err := unix.Mount("tmpfs", place, "tmpfs", 0, ""); err != nil {
			return "", err
		}
	}
	for _, args := range [][]string{{"link", "set", "lo", "up"}, {"link", "add", bridge, "type", "bridge"}, {"link", "set", bridge, "up"}} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("ip %v: %s", args, out)
		}
	}
	if dir, err = os.MkdirTemp("/run/libvirt", "b"); err != nil {
		return "", err
	}
	return dir, makeRoot(filepath.Join(dir, "root"))
}

// bridge is where links are enslaved.
// It is in the network namespace alone, so the host never sees the name.
const bridge = "vlxbr0"

// remountGroups mounts every hierarchy again, so that this process's own group
// is its root. The v2 tree of a hybrid host is left out of the original's sight
// only if it holds no controllers, which the original takes for "no v2".
// A new mount of a hierarchy shows the group of the cgroup namespace as its root
// (cgroup_namespaces(7)); the old mount still shows the host's.
func remountGroups() error {
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup", "cgroup2"))
	if err != nil {
		return err
	}
	for _, m := range mounts {
		// A hierarchy of version 1 is found again by its controllers; version 2 is one.
		options := ""
		if m.FSType == "cgroup" {
			options = strings.TrimPrefix(m.VFSOptions, "rw,")
		}
		if err := unix.Unmount(m.Mountpoint, unix.MNT_DETACH); err != nil {
			return err
		}
		if err := unix.Mount(m.FSType, m.Mountpoint, m.FSType, 0, options); err != nil {
			return fmt.Errorf("mount %s (%s): %w", m.Mountpoint, options, err)
		}
	}
	return nil
}

// makeRoot makes a root filesystem of busybox alone, which has to be a static one.
// The libraries of another would be missing inside, and init could not run.
func makeRoot(root string) error {
	for _, dir := range []string{"bin", "etc", "tmp", "proc", "sys", "dev"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return fmt.Errorf("install busybox-static: %w", err)
	}
	content, err := os.ReadFile(busybox)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "bin/busybox"), content, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"sh", "sleep"} {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", name)); err != nil {
			return err
		}
	}
	return nil
}
