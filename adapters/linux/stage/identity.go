package stage

import (
	"golang.org/x/sys/unix"

	"virtlxcd/domain/launch/step"
)

// become takes the user's identity and capabilities. Order matters: the
// bounding set needs SETPCAP, groups need SETGID, and leaving uid 0 clears the
// effective set (capabilities(7)).
// The terminal is given away first, which only root may do. It has to be the user's,
// or a shell could not open it again by its path.
func become(op *step.Op) error {
	who, err := lookUp(op.Path, op.Source)
	if err != nil {
		return err
	}
	if who.uid != 0 {
		if err := unix.Chown(op.Data, int(who.uid), -1); err != nil {
			return err
		}
	}
	if err := dropBounding(op.Value, op.Major); err != nil {
		return err
	}
	if who.uid == 0 {
		// root keeps what is left over the change of groups, so sets come last
		if err := setGroups(who); err != nil {
			return err
		}
		return setCapabilities(op.Value, op.Value2)
	}
	if err := setGroups(who); err != nil {
		return err
	}
	return setIDs(unix.SYS_SETRESUID, who.uid)
}

// setGroups sets the supplementary groups and then the group.
// An empty list is set too: the host's root may have had groups of its own.
func setGroups(who identity) error {
	if err := setGroupList(who.groups); err != nil {
		return err
	}
	return setIDs(unix.SYS_SETRESGID, who.gid)
}

// setIDs sets real, effective and saved id of this thread; exec ends the others.
func setIDs(call uintptr, id uint32) error {
	if _, _, errno := unix.RawSyscall(call, uintptr(id), uintptr(id), uintptr(id)); errno != 0 {
		return errno
	}
	return nil
}

// dropBounding takes all but kept out of the bounding set, so that no file's
// capabilities bring them back. EINVAL is a number that this kernel does not have.
// last is the highest number that the host knows, so newer ones than this program's
// are dropped too.
func dropBounding(kept, last uint64) error {
	for number := uint64(0); number <= last; number++ {
		if kept&(1<<number) != 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(number), 0, 0, 0); err != nil && err != unix.EINVAL {
			return err
		}
	}
	return nil
}

// setCapabilities never adds: what is not permitted now stays away. The two halves
// are the kernel's form of 64 bits (capget(2)).
// What is not permitted cannot become effective either, so both sets are the same.
func setCapabilities(kept, inheritable uint64) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var present [2]unix.CapUserData
	if err := unix.Capget(&header, &present[0]); err != nil {
		return err
	}
	var wish [2]unix.CapUserData
	for half := range wish {
		shift := 32 * half
		wish[half].Permitted = uint32(kept>>shift) & present[half].Permitted
		wish[half].Effective = wish[half].Permitted
		wish[half].Inheritable = uint32(inheritable>>shift) & present[half].Permitted
	}
	return unix.Capset(&header, &wish[0])
}
