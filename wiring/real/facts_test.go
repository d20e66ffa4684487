package real

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func itoa(n int) string { return strconv.Itoa(n) }

// bounding is the set of capabilities that this process, and so the daemon, has.
func bounding(t *testing.T) string {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	return field(string(status), "CapBnd")
}

// without takes capabilities, by number, out of a mask as the kernel prints it.
func without(mask string, numbers ...int) string {
	bits, err := strconv.ParseUint(mask, 16, 64)
	if err != nil {
		return err.Error()
	}
	for _, number := range numbers {
		bits &^= 1 << number
	}
	return fmt.Sprintf("%016x", bits)
}

func owner(info os.FileInfo) uint32 { return info.Sys().(*syscall.Stat_t).Uid }

// alive says whether a process runs; one that only waits to be waited for does not.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z")
}
