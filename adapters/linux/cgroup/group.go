package cgroup

import (
	"log/slog"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"virtlxcd/ports"
)

// Group is one container's group: the same path in every hierarchy. Usage may be
// called from any goroutine, the rest by one at a time. It holds nothing but the
// counters that Usage opened; Remove closes them.
type Group struct {
	*layout
	path string
	dirs []string // as layout.all
	log  *slog.Logger
	// fresh: made by us and no device list written yet, so there is none to be read.
	// False in doubt, which only takes longer.
	fresh bool

	counters counters
}

var (
	_ ports.Cgroup      = (*Group)(nil)
	_ ports.CgroupEntry = (*Group)(nil)
)

// Path is the path below the top of each hierarchy, as /proc/PID/cgroup shows it on
// the host (cgroups(7)). Open finds the group by it, also after a restart.
func (g *Group) Path() string { return g.path }

// dir is the group's directory in the hierarchy of a controller, and the version of
// that hierarchy. Not ok: this host has the controller nowhere.
func (g *Group) dir(controller string) (dir string, version int, ok bool) {
	i, ok := g.by[controller]
	if !ok {
		return "", 0, false
	}
	if g.all[i].unified {
		return g.dirs[i], 2, true
	}
	return g.dirs[i], 1, true
}

// Entry: see ports.CgroupEntry. All or none: on failure nothing is open. The files
// stay of use when the group is removed, but nobody gets in any more (ENODEV).
func (g *Group) Entry() (unified *os.File, tasks []*os.File, err error) {
	return enter(g.layout, g.dirs)
}

// enter opens the ways into a group. Plain descriptors: none of them is ever
// waited for, so none belongs into the poller.
func enter(l *layout, dirs []string) (unified *os.File, tasks []*os.File, err error) {
	for i, h := range l.all {
		name, flags := dirs[i]+"/tasks", unix.O_WRONLY
		if h.unified {
			name, flags = dirs[i], unix.O_RDONLY|unix.O_DIRECTORY
		}
		fd, err := openAt(name, flags)
		if err != nil {
			closeAll(unified, tasks)
			return nil, nil, failed(err, "unable to open control group '%s'", name)
		}
		if file := os.NewFile(uintptr(fd), name); h.unified {
			unified = file
		} else {
			tasks = append(tasks, file)
		}
	}
	return unified, tasks, nil
}

// closeAll takes back what enter gave. Nothing was written to them, so closing loses
// nothing.
func closeAll(unified *os.File, tasks []*os.File) {
	if unified != nil {
		_ = unified.Close()
	}
	for _, file := range tasks {
		_ = file.Close()
	}
}

// Mounts: see ports.CgroupEntry. In the order of the hierarchies, version 2 first. A
// host with that one only has one unnamed directory: it is /sys/fs/cgroup inside.
func (g *Group) Mounts() []ports.CgroupDir {
	mounts := make([]ports.CgroupDir, len(g.all))
	for i, h := range g.all {
		mounts[i] = ports.CgroupDir{Name: h.name, Path: g.dirs[i], Links: h.links}
	}
	return mounts
}

// discard removes the first n directories of a group that could not be made. They
// are empty still; one that cannot go is told to the log, as the reason for which
// the group could not be made is what the caller has to know.
func (g *Group) discard(n int) {
	for _, dir := range g.dirs[:n] {
		if err := unix.Rmdir(dir); err != nil && !vanished(err) {
			g.log.Warn("unable to remove a control group that was not finished", "path", dir, "error", err)
		}
	}
}

// short is the group's own name, or that of its unit, for messages: the part by which
// a person knows the container.
func (g *Group) short() string {
	where := g.path
	if scope, inside := g.scope(); inside {
		where = scope
	}
	return where[strings.LastIndexByte(where, '/')+1:]
}
