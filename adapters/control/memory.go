package control

import (
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// sealedCopy copies a file into memory that cannot be changed any more
// (memfd_create(2)).
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

// sealedBytes is sealedCopy for bytes.
func sealedBytes(name string, content []byte) (*os.File, error) {
	return sealed(name, unix.MFD_NOEXEC_SEAL, func(memory *os.File) error {
		_, err := memory.Write(content)
		return err
	})
}

// sealed makes sealed memory. Kernels before 6.3 do not know how to be told
// whether it may be executed.
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

// startTime reads field 22 of /proc/PID/stat (proc(5)), 0 for a process that is
// gone. Fields are counted behind the name, which may hold anything.
func startTime(pid int) uint64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text[strings.LastIndexByte(string(text), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return 0
	}
	ticks, _ := strconv.ParseUint(fields[19], 10, 64)
	return ticks
}
