package stage

import (
	"golang.org/x/sys/unix"

	"virtlxcd/domain/launch/step"
)

// pivot makes the detached mount the root. It is first attached at "/", because
// the way to its source may be closed to the root of an id map. The old root
// stays mounted on top of it until forget (pivot_root(2), "pivot_root(".", ".")").
// The descriptor of the old root is opened before, while "/" still leads there.
func (e *entering) pivot(op *step.Op) error {
	root, err := e.slot(op.Slot)
	if err != nil {
		return err
	}
	if e.oldRoot, err = unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return err
	}
	if err := unix.Fchdir(root); err != nil { // ENOTDIR says more than what follows would
		return err
	}
	if err := unix.MoveMount(root, "", unix.AT_FDCWD, "/", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return err
	}
	return unix.Chdir("/")
}

// forget detaches the old root, which is reached through its descriptor alone.
// MNT_DETACH, because the stage's own program and others' files may be open below it.
func (e *entering) forget() error {
	if err := unix.Fchdir(e.oldRoot); err != nil {
		return err
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return err
	}
	unix.Close(e.oldRoot)
	e.oldRoot = -1
	return unix.Chdir("/")
}

// stays refuses a mount point that is a link while the old root is there: the
// container's files decide where it leads, and "/.." leads to the host's. Above
// it lies nothing but "/" and what the kernel mounted.
// After forget nothing but the container's own root is in reach, so links may lead
// where they like.
func (e *entering) stays(path string) error {
	var status unix.Stat_t
	if e.oldRoot >= 0 && unix.Lstat(path, &status) == nil && status.Mode&unix.S_IFMT == unix.S_IFLNK {
		return unix.ELOOP
	}
	return nil
}

// A slot is attached once: a mount that has a place is moved by a second attempt.
func (e *entering) attach(op *step.Op) error {
	mount, err := e.slot(op.Slot)
	if err != nil {
		return err
	}
	return attach(mount, op.Path)
}

// attach puts a detached mount at path, which it makes if need be. Links are
// followed as mount(2) does it, which move_mount(2) has to be told: in many an
// image /var/run and /lib are links.
func attach(mount int, path string) error {
	if err := makeTarget(mount, path); err != nil {
		return err
	}
	const how = unix.MOVE_MOUNT_F_EMPTY_PATH | unix.MOVE_MOUNT_T_SYMLINKS
	return unix.MoveMount(mount, "", unix.AT_FDCWD, path, how)
}

// makeTarget makes a mount point of the kind of what is to be mounted: a
// directory or an empty file. One that is there has to be of that kind.
// An empty file is made with O_EXCL: what appeared meanwhile is not taken for ours.
func makeTarget(mount int, path string) error {
	var target, source unix.Stat_t
	if err := unix.Fstat(mount, &source); err != nil {
		return err
	}
	isDir := source.Mode&unix.S_IFMT == unix.S_IFDIR
	if unix.Stat(path, &target) == nil {
		return sameKind(isDir, target.Mode&unix.S_IFMT == unix.S_IFDIR)
	}
	if isDir {
		return makeDirs(path)
	}
	if err := makeDirs(parent(path)); err != nil {
		return err
	}
	fd, err := unix.Open(path, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// sameKind says what move_mount(2) calls EINVAL.
func sameKind(sourceIsDir, targetIsDir bool) error {
	switch {
	case sourceIsDir && !targetIsDir:
		return unix.ENOTDIR
	case !sourceIsDir && targetIsDir:
		return unix.EISDIR
	}
	return nil
}

// makeDirs is mkdir -p for an absolute, clean path. Something that is there is
// left alone, also if it is no directory: who mounts on it gets the error.
// The recursion ends at the root. Missing parents get the same mode as the last part.
func makeDirs(path string) error {
	if path == "" || path == "/" {
		return nil
	}
	err := unix.Mkdir(path, 0o755)
	switch err {
	case unix.EEXIST:
		return nil
	case unix.ENOENT:
		if err := makeDirs(parent(path)); err != nil {
			return err
		}
		return unix.Mkdir(path, 0o755)
	}
	return err
}

// parent is the path up to its last slash: "/a/b" gives "/a", "/a" and "/" give "/".
func parent(path string) string {
	for i := len(path) - 1; i > 0; i-- {
		if path[i] == '/' {
			return path[:i]
		}
	}
	return "/"
}

// mount mounts a kernel filesystem. The attributes have the values of mount(2).
// Only the four attributes that step shares with mount(2) are passed; the modifiers of
// step mean nothing to the kernel and would mean something else there.
func mount(op *step.Op) error {
	if err := makeDirs(op.Path); err != nil {
		return err
	}
	err := unix.Mount(op.Source, op.Path, op.Source, uintptr(attributes(op.Flags)), op.Data)
	if err == unix.ENODEV && op.Flags&step.Optional != 0 {
		return nil
	}
	return err
}

// bind shows one path inside at another.
// The source is cloned, changed while it is detached, and attached then: at no moment
// is it visible inside without its attributes.
func bind(op *step.Op) error {
	clone, err := openTree(op.Source, op.Flags)
	if err == unix.ENOENT && op.Flags&step.Optional != 0 {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(clone)
	if err := setAttributes(clone, op.Flags); err != nil {
		return err
	}
	return attach(clone, op.Path)
}

// protect sets attributes on the mount that path lies on.
// Only that mount is changed, not those below it: a read-only root leaves filesystems
// and /dev as they were asked for.
func protect(op *step.Op) error {
	attr := unix.MountAttr{Attr_set: attributes(op.Flags)}
	return unix.MountSetattr(unix.AT_FDCWD, op.Path, 0, &attr)
}

// unmount detaches everything mounted at path, however many lie there. EINVAL:
// nothing is mounted there any more, or what is may not be unmounted in a user
// namespace (mount_namespaces(7), locked mounts); it is then covered instead.
// UMOUNT_NOFOLLOW keeps a link at the path from leading elsewhere.
func unmount(path string) error {
	for {
		switch err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err {
		case nil:
		case unix.EINVAL, unix.ENOENT:
			return nil
		default:
			return err
		}
	}
}

// symlink makes a link; what is there already stays.
func symlink(to, path string) error {
	if err := unix.Symlink(to, path); err != unix.EEXIST {
		return err
	}
	return nil
}
