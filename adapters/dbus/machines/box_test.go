package machines

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd/cgroups/v3/cgroup2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/dbus/bus"
	"virtlxcd/domain/launch"
	"virtlxcd/ports"
)

// needSystemd keeps tests to hosts that are meant for them: what they make and
// restart are the host's own services.
func needSystemd(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes units")
	}
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		t.Skip("needs systemd as process 1: makes units and registers machines")
	}
	if !inBox() && os.Getenv("VIRTLXCD_TEST_SYSTEMD") == "" {
		t.Skip("needs a system of its own (or VIRTLXCD_TEST_SYSTEMD=1): restarts systemd-machined and systemd")
	}
}

// inBox: process 1 was told that it is in a container.
func inBox() bool {
	text, err := os.ReadFile("/run/systemd/container")
	return err == nil && strings.TrimSpace(string(text)) == "box"
}

// guest is a controller and an init, made of sleeping shells.
type guest struct {
	machine ports.Machine
	place   string
	holder  *exec.Cmd
	leader  *exec.Cmd
}

func sleeper(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { end(cmd) })
	return cmd
}

func end(cmd *exec.Cmd) {
	if cmd.ProcessState == nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// enclose starts a controller and gives it a scope.
func enclose(t *testing.T, m *Machines, partition string, shares *uint64) *guest {
	t.Helper()
	g := &guest{holder: sleeper(t)}
	g.machine = ports.Machine{
		Name: launch.MachineName(g.holder.Process.Pid, "vlx-test.1"), UUID: [16]byte{1, 2, 3},
		Partition: partition, Holder: g.holder.Process.Pid, Shares: shares,
	}
	g.place = m.Place(t.Context(), partition, g.machine.Name)
	require.NotEmpty(t, g.place)
	require.NoError(t, m.Enclose(t.Context(), g.machine))
	require.Equal(t, g.place, groupOfProcess(t, g.holder.Process.Pid))
	return g
}

// run makes the groups inside and the init in its own, in the hierarchies that
// systemd made the scope in.
func (g *guest) run(t *testing.T) {
	t.Helper()
	g.leader = sleeper(t)
	g.machine.Leader = g.leader.Process.Pid
	g.machine.Links = []int{1}
	for _, scope := range scopesOf(t, g.place) {
		for name, pid := range map[string]int{"supervisor": g.machine.Holder, "libvirt": g.machine.Leader} {
			require.NoError(t, os.MkdirAll(scope+"/"+name, 0o755))
			require.NoError(t, os.WriteFile(scope+"/"+name+"/cgroup.procs", []byte(strconv.Itoa(pid)), 0o600))
		}
	}
}

func scopesOf(t *testing.T, place string) []string {
	t.Helper()
	var found []string
	for _, root := range append([]string{"/sys/fs/cgroup"}, subdirs("/sys/fs/cgroup")...) {
		if _, err := os.Stat(root + place + "/cgroup.procs"); err == nil {
			found = append(found, root+place)
		}
	}
	require.NotEmpty(t, found)
	return found
}

func subdirs(dir string) []string {
	list, _ := filepath.Glob(dir + "/*/cgroup.procs")
	for i := range list {
		list[i] = filepath.Dir(list[i])
	}
	return list
}

// groupOfProcess is where systemd has a process.
func groupOfProcess(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	require.NoError(t, err)
	unified := ""
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch parts[1] {
		case "name=systemd":
			return parts[2]
		case "":
			unified = parts[2]
		}
	}
	return unified
}

// weight reads the scope's weight and its default.
func weight(t *testing.T, place string) (file string, value string) {
	t.Helper()
	for _, file := range []string{"/sys/fs/cgroup/cpu" + place + "/cpu.shares", "/sys/fs/cgroup" + place + "/cpu.weight"} {
		if text, err := os.ReadFile(file); err == nil {
			return file, strings.TrimSpace(string(text))
		}
	}
	t.Skip("the cpu controller cannot be had")
	return "", ""
}

func run(t *testing.T, command string) string {
	t.Helper()
	out, err := exec.Command("/bin/sh", "-c", command).CombinedOutput()
	require.NoError(t, err, command+"\n"+string(out))
	return strings.TrimSpace(string(out))
}

func onHost(t *testing.T) *Machines {
	t.Helper()
	needSystemd(t)
	b := bus.New(bus.Options{}, quiet())
	m := New(b, Options{Weight: func(shares uint64) (uint64, bool) {
		if _, err := os.Stat("/sys/fs/cgroup/cpu"); err == nil {
			return shares, false
		}
		return cgroup2.ConvertCPUSharesToCgroupV2Value(shares), true
	}}, quiet())
	t.Cleanup(func() {
		require.NoError(t, m.Close())
		require.NoError(t, b.Close())
	})
	return m
}

func show(name string) string {
	out, _ := exec.Command("machinectl", "show", name, "-p", "Leader", "-p", "Unit", "-p", "Service", "-p", "Class", "-p", "Id").CombinedOutput()
	return strings.TrimSpace(string(out))
}

func TestBoxLife(t *testing.T) {
	m := onHost(t)
	g := enclose(t, m, "/machine", nil)
	g.run(t)
	require.NoError(t, m.Register(t.Context(), g.machine))
	want := strings.Join([]string{
		"Id=01020300000000000000000000000000", "Service=libvirt-lxc", "Unit=" + scopeUnit(g.machine.Name),
		"Leader=" + strconv.Itoa(g.machine.Leader), "Class=container",
	}, "\n")
	sorted := func(text string) string { return run(t, "sort <<'END'\n"+text+"\nEND") }
	assert.Equal(t, sorted(want), sorted(show(g.machine.Name)))
	assert.Contains(t, run(t, "machinectl list --no-legend"), g.machine.Name)
	assert.Contains(t, run(t, "machinectl status "+g.machine.Name), "Iface: lo", "the links")
	require.NoError(t, m.Register(t.Context(), g.machine), "known already")

	properties := run(t, "systemctl show -p After -p Before -p Delegate -p CollectMode -p TasksMax -p Slice '"+scopeUnit(g.machine.Name)+"'")
	for _, part := range []string{"virtlxcd.service", "libvirtd.service", "virt-guest-shutdown.target", "Delegate=yes",
		"CollectMode=inactive-or-failed", "TasksMax=infinity", "Slice=machine.slice"} {
		assert.Contains(t, properties, part)
	}
	require.NoError(t, m.Release(t.Context(), g.machine.Name))
	require.NoError(t, m.Release(t.Context(), g.machine.Name), "unknown")
	assert.NotContains(t, run(t, "machinectl list --no-legend"), g.machine.Name)
	assert.Equal(t, g.place+"/supervisor", groupOfProcess(t, g.machine.Holder), "the controller is left alone")
	end(g.leader)
	end(g.holder)
	if _, err := os.Stat("/sys/fs/cgroup/unified"); err != nil && inBox() && scopesOf(t, "/init.scope")[0] != "/sys/fs/cgroup/init.scope" {
		t.Log("not checked: no system inside another hears that a version 1 group has become empty")
		return
	}
	require.Eventually(t, func() bool {
		out, _ := exec.Command("systemctl", "show", "-p", "LoadState", "--value", scopeUnit(g.machine.Name)).Output()
		return strings.TrimSpace(string(out)) == "not-found"
	}, 10*time.Second, 20*time.Millisecond, "the unit ends by itself")
}

func TestBoxPartitions(t *testing.T) {
	m := onHost(t)
	for _, partition := range []string{"/machine/production", "/vlx-odd/a.b/_c", "/memory", "/"} {
		g := enclose(t, m, partition, nil)
		g.run(t)
		require.NoError(t, m.Register(t.Context(), g.machine), partition)
		require.NoError(t, m.Release(t.Context(), g.machine.Name))
	}
}

func TestBoxWeightSurvivesReload(t *testing.T) {
	m := onHost(t)
	shares := uint64(512)
	g := enclose(t, m, "/machine", &shares)
	g.run(t)
	file, before := weight(t, g.place)
	assert.Contains(t, []string{"512", "59", "50"}, before, file)
	for _, command := range []string{"systemctl daemon-reload", "systemctl daemon-reexec", "systemctl daemon-reload"} {
		run(t, command)
		_, after := weight(t, g.place)
		assert.Equal(t, before, after, command)
		assert.Equal(t, g.place+"/libvirt", groupOfProcess(t, g.machine.Leader))
		next := enclose(t, m, "/machine", nil)
		next.run(t)
		require.NoError(t, m.Register(t.Context(), next.machine), "after "+command)
		_, after = weight(t, g.place)
		assert.Equal(t, before, after, command+" and another scope")
		require.NoError(t, m.Release(t.Context(), next.machine.Name))
	}
}

func TestBoxMachinedRestarts(t *testing.T) {
	m := onHost(t)
	g := enclose(t, m, "/machine", nil)
	g.run(t)
	require.NoError(t, m.Register(t.Context(), g.machine))
	there := func() bool { return strings.Contains(show(g.machine.Name), fmt.Sprintf("Leader=%d", g.machine.Leader)) }
	run(t, "systemctl restart systemd-machined")
	require.Eventually(t, there, 10*time.Second, 20*time.Millisecond)
	run(t, "systemctl stop systemd-machined; rm -f /run/systemd/machines/*; systemctl start systemd-machined")
	require.Eventually(t, there, 10*time.Second, 20*time.Millisecond, "what it has lost is told again")
	run(t, "systemctl reload dbus || systemctl restart dbus")
	require.Eventually(t, there, 10*time.Second, 20*time.Millisecond)
	require.NoError(t, m.Release(context.WithoutCancel(t.Context()), g.machine.Name))
	assert.False(t, there())
}

// A container without a unit is not registered.
func TestBoxWithoutScope(t *testing.T) {
	m := onHost(t)
	holder := sleeper(t)
	machine := ports.Machine{Name: launch.MachineName(holder.Process.Pid, "bare"), Partition: "/machine", Leader: holder.Process.Pid}
	require.NoError(t, m.Register(t.Context(), machine))
	assert.NotContains(t, run(t, "machinectl list --no-legend"), machine.Name)
	require.NoError(t, m.Release(t.Context(), machine.Name))
}

func TestBoxHolderIsGone(t *testing.T) {
	m := onHost(t)
	holder := sleeper(t)
	machine := ports.Machine{Name: launch.MachineName(holder.Process.Pid, "gone"), Partition: "/machine", Holder: holder.Process.Pid}
	end(holder)
	require.NotEmpty(t, m.Place(t.Context(), machine.Partition, machine.Name))
	require.Error(t, m.Enclose(t.Context(), machine))
	assert.Empty(t, m.Place(t.Context(), machine.Partition, machine.Name), "not tried again for a while")
}

// Speed is what a start waits for.
func BenchmarkBoxEnclose(b *testing.B) {
	if !inBox() {
		b.Skip("needs a system of its own")
	}
	system := bus.New(bus.Options{}, quiet())
	defer system.Close()
	m := New(system, Options{}, quiet())
	defer m.Close()
	for b.Loop() {
		cmd := exec.Command("sleep", "1000")
		require.NoError(b, cmd.Start())
		machine := ports.Machine{Name: launch.MachineName(cmd.Process.Pid, "x"), Partition: "/machine", Holder: cmd.Process.Pid}
		require.NoError(b, m.Enclose(b.Context(), machine))
		machine.Leader = cmd.Process.Pid
		require.NoError(b, m.Register(b.Context(), machine))
		require.NoError(b, m.Release(b.Context(), machine.Name))
		end(cmd)
	}
}
