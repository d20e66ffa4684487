package cgroup

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// A container that may make groups inside its own can nest them until no path leads
// to the innermost (PATH_MAX, path_resolution(7)). So trees are walked by descriptor.

// tree is a walk under way. It has one directory open at a time.
type tree struct {
	at     int // the directory one is in
	levels []level
}

// level is a directory between the top and where one is.
type level struct {
	name string   // in the one above
	rest []string // groups inside that are still to be visited
}

// walkTree visits dir and every group below. It calls before with a directory before what
// is in it, and after behind that, but not for dir itself; either may be nil. What they
// get is a path for this moment, short however deep the directory lies. Groups that have
// vanished are passed over. It ends with the first error, an errno.
func walkTree(dir string, before, after func(dir string) error) error {
	at, err := openDir(unix.AT_FDCWD, dir)
	if err != nil {
		return unlessVanished(err)
	}
	t := &tree{at: at}
	defer func() { _ = unix.Close(t.at) }()
	for err = t.arrive("", before); err == nil; {
		here := &t.levels[len(t.levels)-1]
		switch {
		// Deeper first, as only empty groups can be removed.
		case len(here.rest) > 0:
			err = t.down(here, before)
		case len(t.levels) > 1:
			err = t.up(here.name, after)
		default:
			return nil
		}
	}
	return err
}

// arrive visits the directory one is in and looks what is inside. The new level has its
// name, by which up finds it in the one above.
func (t *tree) arrive(name string, before func(dir string) error) error {
	if before != nil {
		if err := before(alias(t.at)); err != nil {
			return err
		}
	}
	inside, err := children(alias(t.at))
	t.levels = append(t.levels, level{name, inside})
	return err
}

// down enters the next group of here; one that has vanished since it was listed is left
// out.
func (t *tree) down(here *level, before func(dir string) error) error {
	name := here.rest[0]
	here.rest = here.rest[1:]
	below, err := openDir(t.at, name)
	if err != nil {
		return unlessVanished(err)
	}
	t.move(below)
	return t.arrive(name, before)
}

// up leaves the directory called name for the one above, which can be left with what is
// in it already removed: ".." of a directory that is gone still leads there.
func (t *tree) up(name string, after func(dir string) error) error {
	t.levels = t.levels[:len(t.levels)-1]
	above, err := openDir(t.at, "..")
	if err != nil {
		return err
	}
	t.move(above)
	if after == nil {
		return nil
	}
	return after(alias(t.at) + "/" + name)
}

// move closes the directory one was in: one is open at a time.
func (t *tree) move(to int) {
	_ = unix.Close(t.at)
	t.at = to
}

// openDir follows no link, so a walk never leaves the tree.
func openDir(at int, name string) (int, error) {
	return again(func() (int, error) {
		return unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
}

// alias is a path to an open directory.
func alias(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// children lists the names of the groups directly inside dir, whose only directories
// they are. A directory that has vanished has none.
func children(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, unlessVanished(err)
	}
	var found []string
	for _, entry := range entries {
		if entry.IsDir() {
			found = append(found, entry.Name())
		}
	}
	return found, nil
}

// unlessVanished takes what is gone for done.
func unlessVanished(err error) error {
	if vanished(err) {
		return nil
	}
	return err
}

// members lists the processes in dir and below. Processes of a foreign pid
// namespace show as 0 and are left out. A threaded group has no list: its
// processes are in that of its parent (cgroup-v2, "Threads"). Groups that come and go
// meanwhile may be missed. The error is an errno.
func members(dir string) ([]int, error) {
	var pids []int
	err := walkTree(dir, func(dir string) error {
		text, err := readList(dir + "/cgroup.procs")
		if err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
			return unlessVanished(err)
		}
		pids = append(pids, parsePIDs(text)...)
		return nil
	}, nil)
	if err != nil {
		return nil, err
	}
	return pids, nil
}

// removeTree removes a group and those inside, deepest first. What is gone is
// fine. Files in it are the kernel's and go with it. It ends at the first group that
// is in use, with the errno; those that went before stay gone.
func removeTree(dir string) error {
	remove := func(dir string) error { return unlessVanished(unix.Rmdir(dir)) }
	err := remove(dir)
	if err == nil || !inUse(err) {
		return err
	}
	if err := walkTree(dir, nil, remove); err != nil {
		return err
	}
	return remove(dir)
}
