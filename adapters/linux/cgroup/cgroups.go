package cgroup

import (
	"context"
	"errors"
	"log/slog"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// Options say where groups are.
type Options struct {
	// Mountinfo is the table in which hierarchies are looked up, of the form of
	// proc_pid_mountinfo(5); empty: this process's own.
	Mountinfo string
	// Base is put before every partition ("/vlx-ab12cd"), so that daemons under
	// a prefix of their own never meet the host's groups. It is made with the first
	// group and goes with Close, when it is empty. Empty: none.
	Base string
}

// Cgroups makes and finds groups. It keeps nothing about them: a daemon that
// starts anew finds the same. Its methods may be called from any goroutine, and several
// daemons may work side by side below bases of their own.
type Cgroups struct {
	*layout
	base string
	log  *slog.Logger
}

var _ ports.Cgroups = (*Cgroups)(nil)

// New looks up the hierarchies. Nothing is made before the first Create. What is
// mounted later is not seen. InvalidArgument for a base that is no clean absolute
// path, UnsupportedConfig for a host without control groups that can be written.
func New(options Options, log *slog.Logger) (*Cgroups, error) {
	if options.Mountinfo == "" {
		options.Mountinfo = "/proc/self/mountinfo"
	}
	base := strings.TrimRight(options.Base, "/")
	if base != "" && (path.Clean(base) != base || base[0] != '/') {
		return nil, invalid("'%s' is not a clean absolute path", options.Base)
	}
	found, err := readLayout(options.Mountinfo)
	if err != nil {
		return nil, err
	}
	return &Cgroups{layout: found, base: base, log: log}, nil
}

// Create: see ports.Cgroups. It is all or nothing: when one hierarchy refuses, the
// directories in the others go again; partitions that were made on the way stay, for
// the next container. InvalidArgument for names that cannot be a directory's. A context
// that ends later changes nothing: making directories takes no time.
func (c *Cgroups) Create(ctx context.Context, partition, name string) (ports.Cgroup, error) {
	if err := ctx.Err(); err != nil {
		return nil, stopped(err, "unable to create a control group")
	}
	where, err := groupPath(c.base, partition, name)
	if err != nil {
		return nil, err
	}
	g := c.group(where)
	for i := range c.all {
		if err := c.makeGroup(i, g.dirs[i]); err != nil {
			// Those before i were made; i itself has cleaned up.
			g.discard(i)
			return nil, err
		}
	}
	g.fresh = true // only now: its device list is known to be the parent's
	return g, nil
}

// PathOf: see ports.CgroupNamer. InvalidArgument as from Create; nothing is looked
// up or made.
func (c *Cgroups) PathOf(partition, name string) (string, error) {
	return groupPath(c.base, partition, name)
}

// Open: see ports.Cgroups. A group that is left in some hierarchies only is
// found: it can still be killed and removed. Several may be open for one path; they
// share nothing. NotFound also for paths that Path cannot have given.
func (c *Cgroups) Open(_ context.Context, where string) (ports.Cgroup, error) {
	if err := checkPath(c.base, where); err != nil {
		return nil, err
	}
	g := c.group(where)
	// One is enough: a removal that was cut short leaves some.
	if slices.ContainsFunc(g.dirs, exists) || g.leftScope() {
		return g, nil
	}
	return nil, fault.New(fault.NotFound, fault.ControlGroup, "no control group '%s'", where)
}

// group is a Group of what may or may not be there. Nothing is looked up or opened.
func (c *Cgroups) group(where string) *Group {
	g := &Group{layout: c.layout, path: where, dirs: make([]string, len(c.all)), log: c.log}
	for i, h := range c.all {
		g.dirs[i] = h.root + where
	}
	return g
}

// makeGroup makes one directory, in hierarchy i. The parents are only looked at
// when the kernel says that they are missing: mostly they are there. When it fails
// nothing of its own is left; a group that was in the way and is in use stays.
func (c *Cgroups) makeGroup(i int, dir string) error {
	err := unix.Mkdir(dir, 0o755)
	if errors.Is(err, unix.ENOENT) {
		if err := c.makeParents(i, path.Dir(dir)); err != nil {
			return err
		}
		err = unix.Mkdir(dir, 0o755)
	}
	if errors.Is(err, unix.EEXIST) {
		err = c.replace(dir)
	}
	if err != nil {
		return classify(err, "unable to create control group '%s'", dir)
	}
	if err := c.equip(i, dir); err != nil {
		_ = unix.Rmdir(dir)
		return err
	}
	return nil
}

// replace removes a leftover and makes the directory anew: limits, device list and
// counters of a former container must not be inherited. The error is an errno or a
// fault.
func (c *Cgroups) replace(dir string) error {
	populated, err := populated(dir)
	if err != nil {
		return err
	}
	if populated {
		return fault.New(fault.Busy, fault.ControlGroup, "control group '%s' exists and processes live in it", dir)
	}
	// Groups that a former container made inside go too.
	if err := removeTree(dir); err != nil {
		return err
	}
	return unix.Mkdir(dir, 0o755)
}

// classify leaves faults alone and reports an errno. It is for helpers whose error may be
// either.
func classify(err error, format string, args ...any) error {
	var known *fault.Error
	if errors.As(err, &known) {
		return err
	}
	return failed(err, format, args...)
}
