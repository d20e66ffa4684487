package cgroup

import (
	"errors"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// wanted are the version 2 controllers that groups of containers get: those with
// limits or counters that this daemon uses. Each costs something in every group, so
// others are left to whoever wants them.
var wanted = []string{"cpu", "cpuset", "io", "memory", "pids"}

// makeParents makes a partition and what is above it in hierarchy i, up to the mount
// point. What is there already stays as it is, save that controllers are turned on
// and cpusets filled. Other daemons may make the same at once.
func (c *Cgroups) makeParents(i int, dir string) error {
	h := c.all[i]
	if len(dir) <= len(h.root) {
		return nil
	}
	err := unix.Mkdir(dir, 0o755)
	if errors.Is(err, unix.ENOENT) {
		if err := c.makeParents(i, path.Dir(dir)); err != nil {
			return err
		}
		err = unix.Mkdir(dir, 0o755)
	}
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return failed(err, "unable to create partition '%s'", dir)
	}
	if err := c.equip(i, dir); err != nil {
		return err
	}
	return c.inherit(i, dir)
}

// equip readies a new group: controllers on version 2, processors and memory
// nodes on version 1, whose cpusets start empty and unusable (a process that is moved
// there is refused with ENOSPC; cpuset(7)). It may be called for a group that is ready
// already.
func (c *Cgroups) equip(i int, dir string) error {
	h := c.all[i]
	if h.unified {
		return enable(h, path.Dir(dir))
	}
	if c.by["cpuset"] == i && slices.Contains(h.controllers, "cpuset") {
		return fillCpuset(h, dir)
	}
	return nil
}

// inherit makes the kernel pass a partition's settings on to what is made in
// it, so that making a container's group takes no copying: cgroup.clone_children for
// cpusets, memory.use_hierarchy, without which a group's limit would not count what is
// in groups below it. Kernels from 5.11 on
// always account memory by hierarchy and may refuse the question.
func (c *Cgroups) inherit(i int, dir string) error {
	if c.all[i].unified {
		return nil
	}
	for _, controller := range c.all[i].controllers {
		switch controller {
		case "cpuset":
			if err := writeValue(dir+"/cgroup.clone_children", "1"); err != nil {
				return failed(err, "unable to prepare partition '%s'", dir)
			}
		case "memory":
			if value, err := readValue(dir + "/memory.use_hierarchy"); err == nil && value == "0" {
				_ = writeValue(dir+"/memory.use_hierarchy", "1")
			}
		}
	}
	return nil
}

// enable turns the wanted controllers on for the children of parent, one by
// one: a refused one must not take the others along. What a group really has
// is seen when its files are used. cgroup.subtree_control shows those that are on,
// "cpu io memory", and takes "+pids"; it refuses (EBUSY) where processes live in
// parent itself, the rule of no internal processes.
func enable(h *hierarchy, parent string) error {
	var lacking []string
	var on string
	for _, controller := range wanted {
		if !slices.Contains(h.controllers, controller) {
			continue
		}
		if on == "" {
			text, err := readValue(parent + "/cgroup.subtree_control")
			if err != nil {
				return failed(err, "unable to read the controllers of '%s'", parent)
			}
			on = " " + text + " "
		}
		// Blanks on both sides: "cpu" is not "cpuset".
		if !strings.Contains(on, " "+controller+" ") {
			lacking = append(lacking, controller)
		}
	}
	if len(lacking) > 0 {
		enableFrom(h, parent, lacking)
	}
	return nil
}

// enableFrom enables above first: a controller reaches a group only through
// all of its ancestors. Most are on already, which writing once more does not change. A
// refusal is not told: the files that are missing will tell, to whom they matter.
func enableFrom(h *hierarchy, dir string, controllers []string) {
	if len(dir) > len(h.root) {
		enableFrom(h, path.Dir(dir), controllers)
	}
	for _, controller := range controllers {
		_ = writeValue(dir+"/cgroup.subtree_control", "+"+controller)
	}
}

// fillCpuset gives an empty cpuset what its parent has, which is filled first. Memory
// nodes are written last, so they alone tell whether a cpuset is filled. A partition
// that was filled keeps what an administrator made of it since.
func fillCpuset(h *hierarchy, dir string) error {
	nodes, err := readValue(dir + "/cpuset.mems")
	if err != nil {
		return failed(err, "unable to read the memory nodes of '%s'", dir)
	}
	if nodes != "" || len(dir) <= len(h.root) {
		return nil
	}
	if err := fillCpuset(h, path.Dir(dir)); err != nil {
		return err
	}
	for _, file := range []string{"/cpuset.cpus", "/cpuset.mems"} {
		value, err := readValue(path.Dir(dir) + file)
		if err == nil {
			err = writeValue(dir+file, value)
		}
		if err != nil {
			return failed(err, "unable to hand down %s to '%s'", file[1:], dir)
		}
	}
	return nil
}
