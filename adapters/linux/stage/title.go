package stage

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// Introduce implements hold.Kernel: cluster agents look for "--name NAME ", and the
// daemon left room for it when it started the controller. It overwrites the memory that the kernel
// shows as the command line (proc(5), cmdline); what does not fit is cut. A host
// that forbids it leaves things as they are.
// It writes in place because there is no system call that sets a longer command line.
func (k *Kernel) Introduce(name string) {
	start, end := argumentArea()
	if end <= start {
		return
	}
	line := make([]byte, end-start) // padded with zeros to its end
	copy(line[:len(line)-1], "libvirt_lxc\x00--name\x00"+name+"\x00--socket\x00"+k.Socket+"\x00")
	memory, err := unix.Open("/proc/self/mem", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	unix.Pwrite(memory, line, int64(start))
	unix.Close(memory)
}

// argumentArea, from start up to end, reads where the arguments lie: fields 48 and 49 of
// /proc/self/stat (proc(5)).
func argumentArea() (start, end uint64) {
	rest := afterName(readFile("/proc/self/stat"))
	var first, second string
	for range 46 { // fields 3 to 48
		first, rest = cut(rest, ' ')
	}
	second, _ = cut(rest, ' ')
	start, _ = strconv.ParseUint(first, 10, 64)
	end, _ = strconv.ParseUint(second, 10, 64)
	return start, end
}
