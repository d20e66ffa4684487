package cgroup

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// hierarchy is one mounted tree of groups, and does not change once found.
type hierarchy struct {
	root        string   // mount point
	unified     bool     // version 2
	controllers []string // as mount options say; of a named one its "name=..."
	name        string   // below /sys/fs/cgroup inside a container
	links       []string // further names, of co-mounted controllers
}

// layout is what this host has mounted. The unified tree comes first, so that a
// group's groups in other trees are made after it and found busy after it. There are
// three kinds: version 1 only, version 2 only, and both side by side ("hybrid"), where
// the version 2 tree has the controllers that no version 1 mount has, often none.
type layout struct {
	all []*hierarchy
	by  map[string]int // controller to index in all
}

// Controllers a version 1 mount can be of. Others among its mount options
// (xattr, clone_children, ...) are no controllers.
var known = []string{
	"cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids",
	"net_cls", "net_prio", "perf_event", "hugetlb", "rdma", "misc",
}

// readLayout finds the hierarchies in a mountinfo file. UnsupportedConfig if there is
// none that can be written, as in a container with read-only groups.
func readLayout(from string) (*layout, error) {
	file, err := os.Open(from)
	if err != nil {
		return nil, failed(err, "unable to read the mount table")
	}
	defer file.Close()
	found, err := parseMounts(file)
	if err != nil {
		return nil, failed(err, "unable to read the mount table")
	}
	if len(found) == 0 {
		return nil, unsupported("no control groups are mounted for writing on this host")
	}
	return arrange(found), nil
}

// parseMounts returns the writable hierarchies, each once, by the first of its mounts
// (proc_pid_mountinfo(5); options of the mount first, of the file system last):
//
//	30 23 0:26 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw,nsdelegate
//	31 23 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct
func parseMounts(table io.Reader) ([]*hierarchy, error) {
	mounts, err := mountinfo.GetMountsFromReader(table, mountinfo.FSTypeFilter("cgroup", "cgroup2"))
	if err != nil {
		return nil, err
	}
	var found []*hierarchy
	seen := map[string]bool{}
	for _, mount := range mounts {
		h := newHierarchy(mount)
		id := strings.Join(h.controllers, ",")
		if h.unified {
			id = "2"
		}
		// A second mount of the same hierarchy shows the same groups.
		if id == "" || seen[id] || slices.Contains(strings.Split(mount.Options, ","), "ro") {
			continue
		}
		seen[id] = true
		found = append(found, h)
	}
	return found, nil
}

// newHierarchy describes one mount. The controllers of a named hierarchy
// without any are its "name=..." option, which no other can have.
func newHierarchy(mount *mountinfo.Info) *hierarchy {
	h := &hierarchy{root: filepath.Clean(mount.Mountpoint), unified: mount.FSType == "cgroup2"}
	h.name = filepath.Base(h.root)
	if h.unified {
		return h
	}
	for option := range strings.SplitSeq(mount.VFSOptions, ",") {
		if slices.Contains(known, option) || strings.HasPrefix(option, "name=") {
			h.controllers = append(h.controllers, option)
		}
	}
	return h
}

// arrange decides where each controller is used and what containers see. A
// controller is in one hierarchy at a time (cgroups(7)); what version 1 has mounted is
// asked before the version 2 tree, which does not list it then anyway.
func arrange(found []*hierarchy) *layout {
	l := &layout{by: map[string]int{}}
	for _, h := range found {
		if h.unified {
			l.all = append(l.all, h)
		}
	}
	for _, h := range found {
		if !h.unified {
			l.all = append(l.all, h)
		}
	}
	for i, h := range l.all {
		if !h.unified {
			h.links = linkNames(h)
			l.take(i, h.controllers)
		}
	}
	// Last, so that it gets what version 1 has left.
	if h := l.all[0]; h.unified {
		h.name = "unified"
		if len(l.all) == 1 {
			h.name = ""
		}
		h.controllers = rootControllers(h.root)
		l.take(0, h.controllers)
	}
	return l
}

// take gives controllers to hierarchy i unless another has them. Hierarchies of version 1
// take first.
func (l *layout) take(i int, controllers []string) {
	for _, controller := range controllers {
		if _, taken := l.by[controller]; !taken {
			l.by[controller] = i
		}
	}
}

// unified says whether there is a version 2 tree, with controllers or without. It is
// hierarchy 0 then.
func (l *layout) unified() bool { return l.all[0].unified }

// processes is the hierarchy whose process lists stand for the group: processes enter
// all hierarchies together. On version 1 it is that of the freezer, so that what is
// frozen is what is listed.
func (l *layout) processes() int {
	if l.unified() {
		return 0
	}
	return l.by["freezer"] // 0 where it is missing: any will do
}

// linkNames are the controllers of a hierarchy that its name does not say: programs
// look for cpu and cpuacct where "cpu,cpuacct" is mounted, and find them by links.
func linkNames(h *hierarchy) []string {
	var links []string
	for _, controller := range h.controllers {
		if controller != h.name && !strings.HasPrefix(controller, "name=") {
			links = append(links, controller)
		}
	}
	return links
}

// rootControllers reads what a version 2 tree offers; nothing on a hybrid host
// that has given every controller to version 1. A file that cannot be read counts as
// empty: the tree is still good for freezing, killing and waiting.
func rootControllers(root string) []string {
	text, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	if err != nil {
		return nil
	}
	return strings.Fields(string(text))
}
