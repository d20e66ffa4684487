package process

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/ports"
)

func TestNamespacesInOrder(t *testing.T) {
	p := open(t, newProcesses(t), shell(t).PID)
	files, err := p.Namespaces()
	require.NoError(t, err)
	var kinds []string
	for _, f := range files {
		defer f.Close()
		link, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
		require.NoError(t, err)
		kinds = append(kinds, link[:strings.IndexByte(link, ':')])
		flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0)
		require.NoError(t, err)
		assert.NotZero(t, flags&unix.FD_CLOEXEC)
	}
	assert.Equal(t, []string{"user", "ipc", "uts", "net", "pid", "mnt"}, kinds)
}

func TestPIDNamespace(t *testing.T) {
	p := open(t, newProcesses(t), shell(t).PID)
	inode, err := p.(ports.PIDNamespaced).PIDNamespace()
	require.NoError(t, err)
	link, err := os.Readlink("/proc/self/ns/pid")
	require.NoError(t, err)
	assert.Equal(t, fmt.Sprintf("pid:[%d]", inode), link)
}
