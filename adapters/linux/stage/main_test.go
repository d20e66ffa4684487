package stage

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestMain lets the test's own binary be what the controller's is: a stage, or
// (below, TestIntroduce) a controller that shows its command line.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Name {
		runtime.LockOSThread()
		Run(os.Args[2:])
		os.Exit(1)
	}
	if len(os.Args) > 1 && os.Args[1] == "introduce" {
		(&Kernel{Socket: "/run/vlx.sock"}).Introduce(os.Getenv("VLX_NAME"))
		line, _ := os.ReadFile("/proc/self/cmdline")
		fmt.Printf("%q", line)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes mounts, device nodes and namespaces")
	}
}

// private gives this test's thread a mount namespace, a root and a working
// directory of its own, and a tmpfs to mount on. The thread ends with the test,
// because its goroutine ends locked.
func private(t *testing.T) (dir string) {
	t.Helper()
	needRoot(t)
	dir = t.TempDir()
	runtime.LockOSThread()
	require.NoError(t, unix.Unshare(unix.CLONE_NEWNS|unix.CLONE_FS))
	require.NoError(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", 0, ""))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

// inside makes dir the root of a private thread while do runs.
func inside(t *testing.T, dir string, do func()) {
	t.Helper()
	outside, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	defer unix.Close(outside)
	require.NoError(t, unix.Chroot(dir))
	defer func() {
		require.NoError(t, unix.Fchdir(outside))
		require.NoError(t, unix.Chroot("."))
	}()
	require.NoError(t, unix.Chdir("/"))
	do()
}

// descriptors is how many this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries)
}
