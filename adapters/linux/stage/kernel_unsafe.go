package stage

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// loopbackUp brings "lo" of this network namespace up (netdevice(7)); its addresses
// come by themselves. Twice is fine.
// A new network namespace has lo, but down. The flags are read first, since writing
// them sets all at once.
func loopbackUp() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(socket, unix.SIOCGIFFLAGS, request); err != nil {
		return err
	}
	request.SetUint16(request.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request)
}

// setGroupList sets the supplementary groups of this thread: package syscall would
// do it for all of them, and exec ends the others.
func setGroupList(groups []uint32) error {
	var first unsafe.Pointer
	if len(groups) > 0 {
		first = unsafe.Pointer(&groups[0])
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(first), 0); errno != 0 {
		return errno
	}
	return nil
}

// lastSignal is the highest signal number (signal(7)), that of SIGRTMAX.
const lastSignal = 64

// resetSignals undoes ignored signals, which would survive exec. Handlers would
// not, and the mask is empty: the runtime unblocks what it blocks. The refusals for
// SIGKILL and SIGSTOP are of no interest.
// The Go runtime has handlers for most signals; exec turns those into the default, and
// leaves what is ignored ignored (execve(2)).
func resetSignals() {
	var defaultAction [4]uint64 // handler, flags, restorer, mask: all zero
	for signal := uintptr(1); signal <= lastSignal; signal++ {
		unix.RawSyscall6(unix.SYS_RT_SIGACTION, signal, uintptr(unsafe.Pointer(&defaultAction)), 0, 8, 0, 0)
	}
}

// exitInfo is struct pidfd_info of linux/pidfd.h, as far as it is used here.
// The kernel sets in mask what it has filled in, which may be less than was asked.
type exitInfo struct {
	mask     uint64
	cgroupid uint64
	pid      uint32
	tgid     uint32
	ppid     uint32
	ids      [8]uint32
	exitCode int32
}

const (
	pidfdGetInfo  = 0xc040ff0b // _IOWR(0xFF, 11, struct pidfd_info of 64 bytes)
	pidfdInfoExit = 1 << 3
)

// rememberedExit asks the kernel for the wait status of a dead process that is
// not our child (Linux 6.15). ok is false where it does not tell.
func rememberedExit(process int) (status int, ok bool) {
	info := exitInfo{mask: pidfdInfoExit}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(process), pidfdGetInfo, uintptr(unsafe.Pointer(&info)))
	return int(info.exitCode), errno == 0 && info.mask&pidfdInfoExit != 0
}
