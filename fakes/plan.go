package fakes

import (
	"path"
	"strings"
	"syscall"

	"virtlxcd/domain/launch/step"
	"virtlxcd/ports"
)

// tree is a mount, attached or not. At most one of host and made says where its paths
// are; a kernel one has every path that is asked for.
type tree struct {
	host   string          // a directory of the host; empty: made by the kernel
	kernel bool            // proc, sysfs, devpts ...: every path exists
	made   map[string]bool // a tmpfs: what was made in it, without leading slash
}

// scene is what a container being started sees: slots and mounts. It is for the time of
// one start, or restart, and is thrown away: a running container has no mounts here, as
// nothing looks at them.
type scene struct {
	host    *Host
	slots   map[int]*tree
	size    int // number of slots
	mounts  map[string]*tree
	program *step.Op // what Exec ran
}

// newScene is what a new mount namespace shows: the host. As with CLONE_NEWNS, all of
// it is there until Pivot.
func newScene(host *Host, slots int) *scene {
	return &scene{host: host, slots: map[int]*tree{}, size: slots, mounts: map[string]*tree{"/": {host: "/"}}}
}

// perform executes a list. The error says which operation failed and how. It stops at
// the first that fails. Operations that nothing depends on here are taken without a
// look (those of names, limits, users and the like): what they mean is tested with the
// kernel. A missing interpreter is told apart from a missing program, which share their
// errno.
func (s *scene) perform(list step.List, entered bool) *ports.StepError {
	for i := range list {
		op := &list[i]
		errno := s.outside(op)
		if entered {
			errno = s.inside(op)
		}
		if errno != 0 {
			missing := op.Code == step.Exec && s.host.behaviour(op.Path).NoInterpreter
			return &ports.StepError{Entered: entered, Index: i, Errno: int(errno), Interpreter: missing, Err: errno}
		}
	}
	return nil
}

// outside performs an operation of Prepare. OpenTree wants its source on the host; a
// terminal wants the devpts that it is opened in, which is the slot that Value names.
func (s *scene) outside(op *step.Op) syscall.Errno {
	switch op.Code {
	case step.OpenTree:
		if !s.host.exists(op.Path) {
			return syscall.ENOENT
		}
		return s.fill(op.Slot, &tree{host: path.Clean(op.Path)})
	case step.NewMount:
		return s.fill(op.Slot, &tree{kernel: op.Source != "tmpfs", made: map[string]bool{}})
	case step.OpenTerminal:
		if s.slots[int(op.Value)] == nil {
			return syscall.EBADF
		}
		return s.fill(op.Slot, &tree{kernel: true})
	case step.MakeNode, step.MakeLink, step.MakeDir:
		return s.make(op)
	case step.SetAttributes, step.Owner:
		return s.filled(op.Slot)
	}
	return 0
}

// fill puts something into a slot that the plan said it has. EBADF for any other: a
// plan that uses more than it says would write past the list in the real child.
func (s *scene) fill(slot int, t *tree) syscall.Errno {
	if slot < 0 || slot >= s.size {
		return syscall.EBADF
	}
	s.slots[slot] = t
	return 0
}

// filled is EBADF for a slot that nothing was put into. A plan that uses what it has
// not made is wrong, and found by this.
func (s *scene) filled(slot int) syscall.Errno {
	if s.slots[slot] == nil {
		return syscall.EBADF
	}
	return 0
}

// make adds a path to a tmpfs. Other trees take it without a trace: the host's files
// are not changed by fakes. Paths in a tmpfs are seen by later operations: a plan that
// binds to a file has to make it first.
func (s *scene) make(op *step.Op) syscall.Errno {
	t := s.slots[op.Slot]
	if t == nil {
		return syscall.EBADF
	}
	if t.made != nil {
		t.made[strings.TrimPrefix(path.Clean(op.Path), "/")] = true
	}
	return 0
}

// inside performs an operation of Enter. Pivot leaves nothing of the host's mounts. A
// mount point need not exist: its operation makes it.
func (s *scene) inside(op *step.Op) syscall.Errno {
	switch op.Code {
	case step.Pivot:
		if s.slots[op.Slot] == nil {
			return syscall.EBADF
		}
		s.mounts = map[string]*tree{"/": s.slots[op.Slot]}
	case step.Attach:
		if s.slots[op.Slot] == nil {
			return syscall.EBADF
		}
		s.mounts[path.Clean(op.Path)] = s.slots[op.Slot]
	case step.Mount:
		s.mounts[path.Clean(op.Path)] = &tree{kernel: op.Source != "tmpfs", made: map[string]bool{}}
	case step.Bind:
		return s.bind(op)
	case step.Unmount:
		s.unmount(path.Clean(op.Path))
	case step.Directory:
		if !s.exists(op.Path) {
			return syscall.ENOENT
		}
	case step.Exec:
		return s.exec(op)
	}
	return 0
}

// bind shows a path in another place. An optional one that is missing is left out. What
// is shown is what the path leads to now, not what is mounted over it later.
func (s *scene) bind(op *step.Op) syscall.Errno {
	switch {
	case s.exists(op.Source):
		s.mounts[path.Clean(op.Path)] = s.below(op.Source)
	case op.Flags&step.Optional == 0:
		return syscall.ENOENT
	}
	return 0
}

// unmount takes away what is mounted at a path and below, but never the root. What lies
// below is seen again, as lookups go by the longest path that is left; an earlier mount
// at the same path is not, as each path has one.
func (s *scene) unmount(at string) {
	for mounted := range s.mounts {
		if mounted == at && at != "/" || strings.HasPrefix(mounted, at+"/") {
			delete(s.mounts, mounted)
		}
	}
}

// exec is ENOENT both without the program and without its interpreter, as execve(2) is.
// NoInterpreter makes the second of a program that is there.
func (s *scene) exec(op *step.Op) syscall.Errno {
	if !s.exists(op.Path) || s.host.behaviour(op.Path).NoInterpreter {
		return syscall.ENOENT
	}
	s.program = op
	return 0
}

// find returns the mount that a path lies in, and the rest of the path. It is the mount
// with the longest path above it.
func (s *scene) find(p string) (t *tree, rest string) {
	p = path.Clean(p)
	at := p
	for s.mounts[at] == nil && at != "/" && at != "." {
		at = path.Dir(at)
	}
	return s.mounts[at], strings.TrimPrefix(strings.TrimPrefix(p, at), "/")
}

// exists says whether the container sees a path. Through a mount of the host it asks
// the host, so that RemovePath counts at once.
func (s *scene) exists(p string) bool {
	switch t, rest := s.find(p); {
	case t == nil:
		return false
	case rest == "" || t.kernel:
		return true
	case t.host != "":
		return s.host.exists(path.Join(t.host, rest))
	default:
		return t.made[rest]
	}
}

// below returns a path as a mount of its own. One from the kernel or a tmpfs becomes
// one in which every path exists: it is bound for what is in it.
func (s *scene) below(p string) *tree {
	t, rest := s.find(p)
	if t.host == "" {
		return &tree{kernel: true}
	}
	return &tree{host: path.Join(t.host, rest)}
}
