package stage

import "golang.org/x/sys/unix"

// Protect keeps the out-of-memory killer away from a controller (proc(5),
// oom_score_adj). The stage takes it back before it becomes init. A host that
// forbids it leaves things as they are.
func Protect() { setOOMScore("-900") }

// setOOMScore writes -1000 (never) to 1000 (first).
// It is written by hand, as package os is not linked into the controller.
func setOOMScore(score string) {
	fd, err := unix.Open("/proc/self/oom_score_adj", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	unix.Write(fd, []byte(score))
	unix.Close(fd)
}
