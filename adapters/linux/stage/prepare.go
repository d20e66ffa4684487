package stage

import (
	"golang.org/x/sys/unix"

	"virtlxcd/domain/launch/step"
	"virtlxcd/ports/hold"
)

// prepare runs the operations that need the host's namespaces and returns the
// slots they filled. On failure it leaves nothing open.
// Everything here is detached or only a descriptor: nothing of it is visible on the
// host, and closing the slots undoes it.
func prepare(script *step.Script) ([]int, hold.Failure) {
	slots := make([]int, script.Slots)
	for i := range slots {
		slots[i] = -1
	}
	for i := range script.Prepare {
		if err := prepareOne(&script.Prepare[i], slots); err != nil {
			closeAll(slots)
			return nil, hold.Failure{Index: uint32(i), Errno: errnoOf(err)}
		}
	}
	return slots, hold.Failure{}
}

// closeAll closes those that are there.
func closeAll(fds []int) {
	for _, fd := range fds {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// prepareOne carries out one operation. A slot that was not filled is -1, which
// the kernel answers with EBADF.
// Codes of Enter are ENOSYS here, as unknown ones are.
func prepareOne(op *step.Op, slots []int) (err error) {
	switch op.Code {
	case step.OpenTree, step.NewMount, step.OpenTerminal:
		return fill(op, slots)
	case step.SetAttributes:
		err = setAttributes(slots[op.Slot], op.Flags)
	case step.MakeNode:
		err = makeNode(slots[op.Slot], op)
	case step.MakeLink:
		err = unix.Symlinkat(op.Source, slots[op.Slot], op.Path)
	case step.MakeDir:
		if err = unix.Mkdirat(slots[op.Slot], op.Path, op.Mode); err == nil {
			err = own(slots[op.Slot], op.Path, op.UID, op.GID)
		}
	case step.Owner:
		err = giveAway(slots[op.Slot], op)
	default:
		err = unix.ENOSYS
	}
	return err
}

// fill leaves a descriptor in a slot. One that is full is refused: what it holds
// would be lost, and a controller lives long.
// After an error the slot is -1 again, as all of these functions return it then.
func fill(op *step.Op, slots []int) (err error) {
	if slots[op.Slot] >= 0 {
		return unix.EEXIST
	}
	switch op.Code {
	case step.OpenTree:
		slots[op.Slot], err = openTree(op.Path, op.Flags)
	case step.NewMount:
		slots[op.Slot], err = newMount(op.Source, op.Data, op.Flags)
	default:
		slots[op.Slot], err = openTerminal(slots[op.Value], op)
	}
	return err
}

// openTree clones a mount; recursive with all that is mounted below. A clone is
// a peer of its original: made private, it neither shows the host's later mounts
// nor shows its own to the host, and it can become a root (pivot_root(2)).
// The clone is made private with all below it at once, before anybody can see it.
func openTree(path string, flags uint64) (int, error) {
	how := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if flags&step.Recursive != 0 {
		how |= unix.AT_RECURSIVE
	}
	tree, err := unix.OpenTree(unix.AT_FDCWD, path, how)
	if err != nil {
		return -1, err
	}
	private := unix.MountAttr{Propagation: unix.MS_PRIVATE}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &private); err != nil {
		unix.Close(tree)
		return -1, err
	}
	return tree, nil
}

// attributes are the bits that step, mount(2) and mount_setattr(2) share.
func attributes(flags uint64) uint64 {
	return flags & (step.ReadOnly | step.NoSUID | step.NoDev | step.NoExec)
}

// newMount makes a filesystem of its own from options "key=value,flag".
// The options are given one by one, so that the errno is that of the wrong one; the
// context is closed whether or not the mount was made.
func newMount(kind, options string, flags uint64) (int, error) {
	context, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(context)
	for options != "" {
		var option string
		option, options = cut(options, ',')
		if err := configure(context, option); err != nil {
			return -1, err
		}
	}
	if err := unix.FsconfigCreate(context); err != nil {
		return -1, err
	}
	return unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, int(attributes(flags)))
}

// configure passes one option: "key=value", or "flag", which is not the same as
// a key with an empty value (fsconfig(2)).
func configure(context int, option string) error {
	key, value := cut(option, '=')
	if len(key) == len(option) {
		return unix.FsconfigSetFlag(context, key)
	}
	return unix.FsconfigSetString(context, key, value)
}

// cut is strings.Cut for one byte, without its package.
func cut(text string, separator byte) (before, after string) {
	for i := range len(text) {
		if text[i] == separator {
			return text[:i], text[i+1:]
		}
	}
	return text, ""
}

// setAttributes adds attributes to a detached mount; with none of them it does
// nothing.
// Writable clears what the original has, ReadOnly sets it; a step asks for one of them.
func setAttributes(mount int, flags uint64) error {
	how := uint(unix.AT_EMPTY_PATH)
	if flags&step.Recursive != 0 {
		how |= unix.AT_RECURSIVE
	}
	attr := unix.MountAttr{Attr_set: attributes(flags)}
	if flags&step.Writable != 0 {
		attr.Attr_clr = unix.MOUNT_ATTR_RDONLY
	}
	if attr.Attr_set|attr.Attr_clr == 0 {
		return nil
	}
	return unix.MountSetattr(mount, "", how, &attr)
}

// makeNode makes a node or, by its mode, an empty file. The mode is taken as it is:
// a controller's umask is 0.
// Major and minor say nothing for a regular file, and the kernel ignores them.
func makeNode(dir int, op *step.Op) error {
	device := int(unix.Mkdev(uint32(op.Major), uint32(op.Minor)))
	if err := unix.Mknodat(dir, op.Path, op.Mode, device); err != nil {
		return err
	}
	return own(dir, op.Path, op.UID, op.GID)
}

// own changes the owner; files are made as root's, so root needs no call.
func own(dir int, name string, uid, gid uint32) error {
	if uid == 0 && gid == 0 {
		return nil
	}
	return unix.Fchownat(dir, name, int(uid), int(gid), unix.AT_SYMLINK_NOFOLLOW)
}

// giveAway changes the owner of a mount's root and of named entries.
// Entries that are missing are fine: which files a control group has depends on the
// version of the hierarchy. Links are not followed.
func giveAway(mount int, op *step.Op) error {
	if err := unix.Fchownat(mount, "", int(op.UID), int(op.GID), unix.AT_EMPTY_PATH); err != nil {
		return err
	}
	for _, name := range op.Words {
		err := unix.Fchownat(mount, name, int(op.UID), int(op.GID), unix.AT_SYMLINK_NOFOLLOW)
		if err != nil && err != unix.ENOENT {
			return err
		}
	}
	return nil
}

// openTerminal makes a terminal in a devpts and gives its slave away (pts(4)).
// It does not block, since the controller reads it when epoll says so.
func openTerminal(devpts int, op *step.Op) (int, error) {
	master, err := unix.Openat(devpts, "ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	if err := handOver(master, op); err != nil {
		unix.Close(master)
		return -1, err
	}
	return master, nil
}

// handOver unlocks the slave and opens it through the master (TIOCGPTPEER,
// ioctl_tty(2)): the devpts is mounted nowhere yet, so it has no path.
// The slave is closed again: from then on the master reports a hang-up until the
// container opens it.
func handOver(master int, op *step.Op) error {
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return err
	}
	// O_NOCTTY: the controller leads a session and must not get a terminal
	peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		return errno
	}
	slave := int(peer)
	defer unix.Close(slave)
	if err := unix.Fchown(slave, int(op.UID), int(op.GID)); err != nil {
		return err
	}
	return unix.Fchmod(slave, op.Mode)
}
