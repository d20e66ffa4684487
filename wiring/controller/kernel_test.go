package controller_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/adapters/control"
	"virtlxcd/adapters/linux/cgroup"
	"virtlxcd/adapters/linux/proc"
	"virtlxcd/adapters/linux/process"
	"virtlxcd/adapters/linux/pty"
	"virtlxcd/domain/container"
	"virtlxcd/domain/device"
	"virtlxcd/domain/host"
	"virtlxcd/domain/launch"
	"virtlxcd/ports"
	"virtlxcd/ports/porttest"
)

// TestControllersOnKernel runs the contract suite against real controllers,
// real first processes and real control groups.
func TestControllersOnKernel(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes namespaces, mounts and control groups")
	}
	program := build(t)
	porttest.TestControllers(t, func(t *testing.T) porttest.ControllersHarness { return newHost(t, program).harness() })
}

// build makes the controller's binary.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "libvirt_lxc")
	command := exec.Command("go", "build", "-o", program, "virtlxcd/cmd/libvirt_lxc")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := command.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return program
}

// kernelHost is this machine, with everything below names of its own.
type kernelHost struct {
	t       *testing.T
	program string
	dir     string
	root    string
	facts   *host.Facts
	cgroups *cgroup.Cgroups
	slaves  map[container.UUID]string
	next    int
}

func newHost(t *testing.T, program string) *kernelHost {
	log := slog.New(slog.DiscardHandler)
	cgroups, err := cgroup.New(cgroup.Options{Base: "/vlx-" + strconv.Itoa(os.Getpid())}, log)
	require.NoError(t, err)
	t.Cleanup(func() { cgroups.Close() })
	facts, err := proc.New("/").Facts(t.Context())
	require.NoError(t, err)
	h := &kernelHost{t: t, program: program, dir: t.TempDir(), facts: facts, cgroups: cgroups, slaves: map[container.UUID]string{}}
	h.root = h.makeRoot()
	return h
}

// makeRoot makes a root filesystem of busybox alone.
func (h *kernelHost) makeRoot() string {
	root := filepath.Join(h.dir, "root")
	for _, dir := range []string{"bin", "etc", "tmp"} {
		require.NoError(h.t, os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	busybox, err := exec.LookPath("busybox")
	require.NoError(h.t, err, "install busybox-static")
	content, err := os.ReadFile(busybox)
	require.NoError(h.t, err)
	require.NoError(h.t, os.WriteFile(filepath.Join(root, "bin", "busybox"), content, 0o755))
	for _, name := range []string{"sh", "sleep", "reboot"} {
		require.NoError(h.t, os.Symlink("busybox", filepath.Join(root, "bin", name)))
	}
	return root
}

func (h *kernelHost) harness() porttest.ControllersHarness {
	return porttest.ControllersHarness{
		Controllers: h.controllers(h.t), Again: h.controllers, Order: h.order, Kill: kill, Console: h.console,
	}
}

func (h *kernelHost) controllers(t *testing.T) ports.Controllers {
	c, err := control.New(control.Options{
		Program: h.program, State: filepath.Join(h.dir, "state"), Log: filepath.Join(h.dir, "log"),
		Group: h.cgroups.ControllersGroup, Home: h.cgroups.HomeTasks,
	}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return mortal{c, t}
}

// mortal ends what it launched with the test: controllers are made to live on.
type mortal struct {
	*control.Controllers
	t *testing.T
}

func (m mortal) Launch(ctx context.Context, identity container.Identity) (ports.Controller, error) {
	controller, err := m.Controllers.Launch(ctx, identity)
	if err != nil {
		return nil, err
	}
	process, err := process.New()
	require.NoError(m.t, err)
	ref := controller.Ref()
	m.t.Cleanup(func() {
		defer process.Close()
		if alive, err := process.Open(context.Background(), ref.PID, ref.Start); err == nil {
			alive.Signal(int(unix.SIGKILL))
			<-alive.Done()
			alive.Close()
		}
	})
	return controller, nil
}

var inits = map[porttest.InitKind]container.Init{
	porttest.Sleeps:  {Path: "/bin/sleep", Args: []string{"1000"}},
	porttest.Exits3:  {Path: "/bin/sh", Args: []string{"-c", "exit 3"}},
	porttest.Absent:  {Path: "/bin/absent"},
	porttest.Speaks:  {Path: "/bin/sh", Args: []string{"-c", "echo hello; while read line; do echo $line; done"}},
	porttest.Reboots: {Path: "/bin/sh", Args: []string{"-c", "read line; reboot -f"}},
}

func (h *kernelHost) order(t *testing.T, wanted porttest.Wanted) ports.Order {
	h.next++
	identity := container.Identity{Name: wanted.Name, UUID: container.UUID{byte(h.next)}, ID: h.next}
	group, err := h.cgroups.Create(t.Context(), "/machine", launch.MachineName(h.next, wanted.Name))
	require.NoError(t, err)
	terminal, err := pty.New().Open(t.Context())
	require.NoError(t, err)
	h.slaves[identity.UUID] = terminal.Path
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		group.Kill(ctx)
		group.Remove(ctx)
		terminal.Master.Close()
	})
	return h.plan(t, wanted, identity, group, terminal.Master)
}

func (h *kernelHost) plan(t *testing.T, wanted porttest.Wanted, identity container.Identity, group ports.Cgroup, terminal *os.File) ports.Order {
	definition := &container.Definition{
		Name: identity.Name, UUID: identity.UUID, Arch: h.facts.Arch, Init: inits[wanted.Init], PrivateNet: wanted.Network,
		Filesystems: []device.Filesystem{{Kind: device.HostDir, Source: h.root, Target: "/"}},
		Consoles:    []device.Console{{Kind: "pty"}},
	}
	var dirs []launch.CgroupDir
	for _, dir := range group.(ports.CgroupEntry).Mounts() {
		dirs = append(dirs, launch.CgroupDir(dir))
	}
	plan, err := launch.New(launch.Request{Definition: definition, Facts: h.facts, Cgroups: dirs})
	require.NoError(t, err)
	return ports.Order{
		Identity: identity, Prepare: plan.Prepare, Enter: plan.Enter, Slots: plan.Slots, Terminals: plan.Terminals,
		Namespaces: plan.Namespaces, WaitLinks: wanted.WaitLinks, HostTerminals: []*os.File{terminal}, Cgroup: group,
	}
}

func (h *kernelHost) console(t *testing.T, order ports.Order) io.ReadWriteCloser {
	stream, err := pty.New().Attach(t.Context(), h.slaves[order.Identity.UUID])
	require.NoError(t, err)
	return stream
}

// kill ends a controller and waits for its death through a pidfd.
func kill(t *testing.T, ref container.Controller) {
	pidfd, err := unix.PidfdOpen(ref.PID, 0)
	require.NoError(t, err)
	defer unix.Close(pidfd)
	require.NoError(t, unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0))
	_, err = unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 10_000)
	require.NoError(t, err)
}
