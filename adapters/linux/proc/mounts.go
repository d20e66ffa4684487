package proc

import (
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"

	"virtlxcd/domain/host"
)

const cgroupRoot = "/sys/fs/cgroup"

// mounts fills in what the mount table tells: hierarchies of control groups, and
// whether securityfs is there. A table that cannot be parsed tells nothing. CgroupV2
// holds on hosts where version 1 has at most named hierarchies, without controllers.
func (h *Host) mounts(facts *host.Facts) {
	table, err := os.Open(h.root + "/proc/self/mountinfo")
	if err != nil {
		return
	}
	defer table.Close()
	mounts, err := parseMounts(table)
	if err != nil {
		return
	}
	unified, controllersOnV1 := -1, false
	for _, m := range mounts {
		switch m.FSType {
		case "securityfs":
			facts.SecurityFS = true
			continue
		case "cgroup2":
			unified = len(facts.Cgroups)
			facts.Cgroups = append(facts.Cgroups, host.CgroupMount{
				Name: nameOf(m.Mountpoint), V2: true,
				Controllers: strings.Fields(h.line(m.Mountpoint + "/cgroup.controllers")),
			})
			continue
		}
		controllers := controllersOf(m.VFSOptions)
		if len(controllers) == 0 {
			continue
		}
		controllersOnV1 = controllersOnV1 || !strings.HasPrefix(controllers[0], "name=")
		facts.Cgroups = append(facts.Cgroups, host.CgroupMount{Name: nameOf(m.Mountpoint), Controllers: controllers})
	}
	facts.CgroupV2 = unified >= 0 && !controllersOnV1
	if unified >= 0 && len(facts.Cgroups) == 1 {
		facts.Cgroups[0].Name = "" // alone, it is what a container sees there, wherever the host has it
	}
}

// parseMounts keeps cgroup hierarchies, each once, and securityfs. A hierarchy
// may be mounted several times; the mount below the usual directory counts. Mounts of
// one hierarchy have one device number, the third field (proc_pid_mountinfo(5)):
//
//	31 23 0:27 / /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory
//
// The table is read line by line, however long it is: a host of many containers
// has thousands of mounts, and what is kept of them is few.
func parseMounts(table io.Reader) ([]*mountinfo.Info, error) {
	mounts, err := mountinfo.GetMountsFromReader(table, func(m *mountinfo.Info) (skip, stop bool) {
		return m.FSType != "cgroup" && m.FSType != "cgroup2" && m.FSType != "securityfs", false
	})
	if err != nil {
		return nil, err
	}
	var kept []*mountinfo.Info
	for _, m := range mounts {
		same := slices.IndexFunc(kept, func(k *mountinfo.Info) bool { return k.Major == m.Major && k.Minor == m.Minor })
		switch {
		case same < 0:
			kept = append(kept, m)
		case usual(m.Mountpoint) && !usual(kept[same].Mountpoint):
			kept[same] = m
		}
	}
	return kept, nil
}

// usual: where every other program looks for control groups.
func usual(mountpoint string) bool {
	return mountpoint == cgroupRoot || strings.HasPrefix(mountpoint, cgroupRoot+"/")
}

// nameOf is the directory below /sys/fs/cgroup, or what it would be called there; empty
// for that directory itself.
func nameOf(mountpoint string) string {
	if mountpoint == cgroupRoot {
		return ""
	}
	if usual(mountpoint) {
		return mountpoint[len(cgroupRoot)+1:]
	}
	return path.Base(mountpoint)
}

// v1Controllers are all there will ever be: new ones come on v2 only.
var v1Controllers = []string{
	"blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "hugetlb", "memory",
	"misc", "net_cls", "net_prio", "perf_event", "pids", "rdma",
}

// controllersOf picks the controllers of a v1 hierarchy out of its mount
// options, "name=systemd" for a named one: "rw,xattr,name=systemd", "rw,cpu,cpuacct".
// The path of a release agent is an option, too, and no controller.
func controllersOf(options string) []string {
	var controllers []string
	for option := range strings.SplitSeq(options, ",") {
		if slices.Contains(v1Controllers, option) || strings.HasPrefix(option, "name=") {
			controllers = append(controllers, option)
		}
	}
	return controllers
}
