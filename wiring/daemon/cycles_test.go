package daemon

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"virtlxcd/adapters/rpc/client"
	"virtlxcd/adapters/rpc/protocol"
)

// cycles are enough for even one goroutine in ten cycles to show.
const cycles = 200

// TestCyclesLeaveNoGoroutines runs the real daemon in this process: goroutines
// cannot be counted from outside.
func TestCyclesLeaveNoGoroutines(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: starts containers")
	}
	defer goleak.VerifyNone(t)
	config, root := workshop(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, config) }()
	defer func() {
		stop()
		assert.NoError(t, <-ended)
	}()
	c := connect(t, config.paths().Socket, ended)
	defer c.Close()

	cycle(t, c, root) // what is made once is made now
	before := runtime.NumGoroutine()
	for range cycles {
		cycle(t, c, root)
	}
	// What a stop leaves behind ends a moment later, and a spare controller may have been
	// in the making then or now. One goroutine left in ten cycles would still show.
	assert.LessOrEqual(t, runtime.NumGoroutine(), before+10)
}

// workshop builds the controller and a root of busybox in a directory of its own.
func workshop(t *testing.T) (config Config, root string) {
	dir, err := os.MkdirTemp("", "vlx") // short: sockets have short paths
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	program := filepath.Join(dir, "libvirt_lxc")
	build := exec.Command("go", "build", "-o", program, "virtlxcd/cmd/libvirt_lxc")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)

	busybox, err := exec.LookPath("busybox")
	require.NoError(t, err, "install busybox-static")
	content, err := os.ReadFile(busybox)
	require.NoError(t, err)
	root = filepath.Join(dir, "root")
	require.NoError(t, os.MkdirAll(filepath.Join(root, "bin"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(root, "bin/sleep"), content, 0o755))
	return Config{Prefix: dir, Controller: program, Stderr: os.Stderr}, root
}

// connect waits until the daemon answers: its socket is there before it is.
func connect(t *testing.T, socket string, ended <-chan error) *client.Client {
	var c *client.Client
	require.Eventually(t, func() bool {
		select {
		case err := <-ended:
			require.NoError(t, err, "the daemon ended")
		default:
		}
		var err error
		c, err = client.Dial(socket)
		return err == nil
	}, 10*time.Second, 5*time.Millisecond)
	require.NoError(t, c.Open(t.Context(), "lxc:///system", 0))
	return c
}

func cycle(t *testing.T, c *client.Client, root string) {
	t.Helper()
	document := fmt.Sprintf(`<domain type='lxc'><name>vlxcycle</name><memory unit='MiB'>64</memory>`+
		`<os><type>exe</type><init>/bin/sleep</init><initarg>1000</initarg></os><features><privnet/></features><devices>`+
		`<filesystem type='mount'><source dir='%s'/><target dir='/'/></filesystem><console type='pty'/></devices></domain>`, root)
	var ret protocol.DomainCreateXMLRet
	require.NoError(t, c.Remote(t.Context(), protocol.ProcDomainCreateXML, &protocol.DomainCreateXMLArgs{XMLDesc: document}, &ret))
	require.NoError(t, c.Remote(t.Context(), protocol.ProcDomainDestroy, &protocol.DomainDestroyArgs{Dom: ret.Dom}, nil))
}
