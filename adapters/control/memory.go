package control

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// sealedCopy copies a file into memory that cannot be changed any more
// (memfd_create(2)).
// It is executable. The caller closes it.
func sealedCopy(path string) (*os.File, error) {
	source, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	return sealed("libvirt_lxc", unix.MFD_EXEC, func(memory *os.File) error {
		_, err := io.Copy(memory, source)
		return err
	})
}

// sealedBytes is sealedCopy for bytes, which are never to be executed. name shows in
// /proc/PID/fd alone.
func sealedBytes(name string, content []byte) (*os.File, error) {
	return sealed(name, unix.MFD_NOEXEC_SEAL, func(memory *os.File) error {
		_, err := memory.Write(content)
		return err
	})
}

// sealed makes sealed memory. Kernels before 6.3 do not know how to be told
// whether it may be executed.
// F_SEAL_SEAL comes with the others, so that nobody can take them back or add to them.
// After an error nothing is left open.
func sealed(name string, executable int, fill func(*os.File) error) (*os.File, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate(name, flags|executable)
	if err == unix.EINVAL {
		fd, err = unix.MemfdCreate(name, flags)
	}
	if err != nil {
		return nil, err
	}
	memory := os.NewFile(uintptr(fd), name)
	if err := fill(memory); err != nil {
		memory.Close()
		return nil, err
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(memory.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		memory.Close()
		return nil, err
	}
	return memory, nil
}

// startTime is the start of a process in clock ticks since boot, 0 if it is gone:
// field 22 of its stat.
// Together with the pid it names one process until the next boot, since pids are used
// again and a start time in ticks with the same pid is not.
func startTime(pid int) uint64 {
	fields := stat(pid)
	if fields == nil {
		return 0
	}
	ticks, _ := strconv.ParseUint(fields[22], 10, 64)
	return ticks
}

// isEnding says whether a process is dead or on its way: field 9 of its stat has
// the kernel's flags, among them PF_EXITING. It is set before descriptors are
// closed, so who sees a connection end because of that sees it set.
// The other way to ask, kill with signal 0, would find a zombie alive.
func isEnding(pid int, start uint64) bool {
	const exiting = 0x4
	fields := stat(pid)
	if fields == nil || fields[22] != strconv.FormatUint(start, 10) {
		return true
	}
	flags, _ := strconv.ParseUint(fields[9], 10, 64)
	return flags&exiting != 0
}

// stat reads /proc/PID/stat, by the numbers that proc(5) gives its fields; nil if
// there is no such process. Fields are counted behind the second, a name in
// parentheses that may hold anything, so the first two are not filled in.
// There are newer fields behind the 22nd; none of them is needed here.
func stat(pid int) []string {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return nil
	}
	rest := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(rest) < 20 {
		return nil
	}
	return append(make([]string, 3), rest...)
}
