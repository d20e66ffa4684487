package cgroup

import (
	"context"
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// ControllersGroup makes the group of the processes that hold containers, apart
// from all containers, and opens the ways into it as Group.Entry does. They are
// neither in the daemon's group, whose end the service manager may take for theirs,
// nor in a container's, where they would be frozen, charged and killed with it. One
// that is there already is used as it is. The caller closes the files; on failure
// none is open. Close removes the group when nobody is in it.
func (c *Cgroups) ControllersGroup(ctx context.Context) (unified *os.File, tasks []*os.File, err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, stopped(err, "unable to create the group of controllers")
	}
	g := c.group(c.base + "/machine/" + controllersName)
	for i, dir := range g.dirs {
		if err := c.ensureGroup(i, dir); err != nil {
			return nil, nil, err
		}
	}
	return enter(c.layout, g.dirs)
}

// ensureGroup makes a directory or takes the one that is there, as it is. Two
// daemons may do so at once.
func (c *Cgroups) ensureGroup(i int, dir string) error {
	// Equipped again, as a daemon may have died before it was.
	if exists(dir) {
		return c.equip(i, dir)
	}
	if err := c.makeParents(i, dir[:strings.LastIndexByte(dir, '/')]); err != nil {
		return err
	}
	if err := unix.Mkdir(dir, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
		return failed(err, "unable to create control group '%s'", dir)
	}
	return c.equip(i, dir)
}

// HomeTasks opens the tasks file of the top group of each version 1 hierarchy:
// where a thread goes back to that leaves the controllers' group. A thread is in one
// group of each hierarchy, and version 2 moves whole processes only: there a child is
// born in its group (clone(2), CLONE_INTO_CGROUP) and nobody has to go back.
//
// The caller closes the files. Those opened so far come along with an error: going
// back in part is better than not at all.
func (c *Cgroups) HomeTasks() (tasks []*os.File, err error) {
	for _, h := range c.all {
		if h.unified {
			continue
		}
		// Only opened here: who writes into it moves itself.
		file, err := os.OpenFile(h.root+"/tasks", os.O_WRONLY, 0)
		if err != nil {
			return tasks, failed(err, "unable to open the tasks of '%s'", h.root)
		}
		tasks = append(tasks, file)
	}
	return tasks, nil
}
