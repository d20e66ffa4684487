package cgroup

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
)

// lives puts a process into a group's list, and takes it out when it has ended.
func lives(t *testing.T, list string) (pid int, ended chan struct{}) {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	require.NoError(t, cmd.Start())
	write(t, list, fmt.Sprintf("%d\n", cmd.Process.Pid))
	ended = make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
		_ = os.WriteFile(list, nil, 0o600)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	return cmd.Process.Pid, ended
}

// TestKillByLayout: version 2 trees without cgroup.kill (before Linux 5.14) and
// version 1 are killed one process after the other, frozen or not.
func TestKillByLayout(t *testing.T) {
	everyLayout(t, func(t *testing.T, c *Cgroups) {
		g := fakeGroup(t, c, nil)
		if !c.unified() {
			write(t, g.dirs[g.processes()]+"/freezer.state", "THAWED")
		}
		_, ended := lives(t, g.dirs[g.processes()]+"/cgroup.procs")
		require.NoError(t, g.Kill(within(t)))
		<-ended
		require.NoError(t, g.Kill(within(t)), "nobody is left")
		if !c.unified() {
			assert.Equal(t, "THAWED", value(t, g.dirs[g.processes()]+"/freezer.state"))
		}
		require.NoError(t, removeTreeOfFiles(g))
		require.NoError(t, g.Kill(within(t)), "nor the group")
	})
}

func removeTreeOfFiles(g *Group) error {
	for _, dir := range g.dirs {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

func TestKillThatIsRefused(t *testing.T) {
	g := fakeGroup(t, fakeHost(t, "", newHost...), nil)
	require.NoError(t, os.Mkdir(g.dirs[0]+"/cgroup.kill", 0o755))
	err := g.Kill(within(t))
	require.ErrorIs(t, err, unix.EISDIR)
	assert.ErrorContains(t, err, g.short())
}

// TestKillEachEndsWithTheContext, and leaves nothing frozen.
func TestKillEachEndsWithTheContext(t *testing.T) {
	g := fakeGroup(t, fakeHost(t, "", oldHost...), nil)
	dir := g.dirs[g.processes()]
	write(t, dir+"/freezer.state", "THAWED")
	pid, _ := lives(t, dir+"/cgroup.procs")
	require.ErrorIs(t, g.Kill(ended(t)), fault.Aborted)
	assert.Equal(t, "THAWED", value(t, dir+"/freezer.state"))
	require.NoError(t, unix.Kill(pid, 0))
}

func TestAListThatCannotBeRead(t *testing.T) {
	for name, call := range map[string]func(g *Group) error{
		"signal": func(g *Group) error { return g.Signal(within(t), 0) },
		"kill":   func(g *Group) error { return g.Kill(within(t)) },
		"wait":   func(g *Group) error { return g.waitOne(within(t)) },
		"usage":  func(g *Group) error { _, err := g.Usage(within(t)); return err },
	} {
		g := fakeGroup(t, fakeHost(t, "", oldHost...), map[string]string{"freezer.state": "THAWED"})
		require.NoError(t, os.Mkdir(g.dirs[g.processes()]+"/cgroup.procs", 0o755))
		err := call(g)
		require.ErrorIs(t, err, unix.EISDIR, name)
		require.ErrorIs(t, err, fault.System, name)
	}
}

// TestFreezeThatFailsThaws: a process in uninterruptible sleep does not freeze.
func TestFreezeThatFailsThaws(t *testing.T) {
	g := fakeGroup(t, fakeHost(t, "", newHost...), map[string]string{"cgroup.freeze": "0", "cgroup.events": "populated 1\nfrozen 0\n"})
	err := g.Freeze(t.Context()) // these events never come
	require.ErrorIs(t, err, fault.System)
	assert.Equal(t, "0", value(t, g.dirs[0]+"/cgroup.freeze"))

	g = fakeGroup(t, fakeHost(t, "", newHost...), map[string]string{"cgroup.freeze": "0", "cgroup.events": "populated 1\nfrozen 0\n"})
	require.ErrorIs(t, g.Freeze(ended(t)), fault.Aborted)
	assert.Equal(t, "0", value(t, g.dirs[0]+"/cgroup.freeze"), "whatever ended it")
}

// TestOldFreezerIsAskedAgain: it may say FREEZING, and a fork may be missed.
func TestOldFreezerIsAskedAgain(t *testing.T) {
	g := fakeGroup(t, fakeHost(t, "", oldHost...), nil)
	state := g.dirs[g.processes()] + "/freezer.state"
	require.NoError(t, unix.Mkfifo(state, 0o600))
	fd, err := unix.Open(state, unix.O_RDWR, 0) // what is written is what is read
	require.NoError(t, err)
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte("FREEZING\n"))
	require.NoError(t, err)
	require.NoError(t, g.setFrozen(within(t), true), "the second answer counts")

	wrong := fakeGroup(t, fakeHost(t, "", oldHost...), nil)
	require.NoError(t, os.Mkdir(wrong.dirs[wrong.processes()]+"/freezer.state", 0o755))
	require.ErrorIs(t, wrong.Freeze(t.Context()), unix.EISDIR)
	require.NoError(t, removeTreeOfFiles(wrong))
	require.ErrorIs(t, wrong.Freeze(t.Context()), fault.NotFound)
	require.ErrorIs(t, wrong.Thaw(t.Context()), fault.NotFound)
}

func TestWhatIsGoneHasNoDeviceList(t *testing.T) {
	everyLayout(t, func(t *testing.T, c *Cgroups) {
		g := c.group("/machine/lxc-1-a.libvirt-lxc")
		require.ErrorIs(t, g.AllowDevices(t.Context(), nil), fault.NotFound)
		require.ErrorIs(t, g.AllowDevices(ended(t), nil), fault.Aborted)
		require.ErrorIs(t, g.Apply(ended(t), defaultLimits()), fault.Aborted)
		g.fresh = true
		require.ErrorIs(t, g.AllowDevices(t.Context(), nil), fault.NotFound)
		assert.True(t, g.fresh, "nothing was written yet")
	})
}

// TestOldDeviceListKeepsWhatIsShared: the list is changed, never emptied in between.
func TestOldDeviceListKeepsWhatIsShared(t *testing.T) {
	g := fakeGroup(t, fakeHost(t, "", oldHost...), map[string]string{
		"devices.list": "c 1:3 rw\nc 1:5 r\n", "devices.allow": "", "devices.deny": "",
	})
	dir, _, _ := g.dir("devices")
	list := deviceList{{charType, 1, 3}: mayRead, {charType, 1, 7}: mayRead}
	require.NoError(t, g.allowV1(dir, list))
	assert.Equal(t, "c 1:7 r", value(t, dir+"/devices.allow"))
	assert.Equal(t, "c 1:3 wc 1:5 r", value(t, dir+"/devices.deny"))

	for name, file := range map[string]string{"read": "devices.list", "extend": "devices.allow", "shorten": "devices.deny"} {
		g := fakeGroup(t, fakeHost(t, "", oldHost...), map[string]string{
			"devices.list": "c 1:3 rw\nc 1:5 r\n", "devices.allow": "", "devices.deny": "",
		})
		dir, _, _ := g.dir("devices")
		require.NoError(t, os.Remove(dir+"/"+file))
		require.NoError(t, os.Mkdir(dir+"/"+file, 0o755))
		err := g.allowV1(dir, list)
		require.ErrorIs(t, err, unix.EISDIR)
		assert.ErrorContains(t, err, name)
		assert.ErrorContains(t, err, g.short())
	}
}

// TestHolderThatCannotBeMoved: a scope whose processes are not the service manager's
// to give.
func TestHolderThatCannotBeMoved(t *testing.T) {
	c := fakeHost(t, "", newHost...)
	scope := c.all[0].root + testScope
	write(t, scope+"/cgroup.procs", strconv.Itoa(os.Getpid())+"\n")
	_, err := c.CreateIn(t.Context(), testScope, os.Getpid())
	require.ErrorIs(t, err, unix.ENOENT, "there is no list to be moved to")
	assert.ErrorContains(t, err, scope+"/"+holderGroup)
	write(t, scope+"/"+holderGroup+"/cgroup.procs", "")
	_, err = c.CreateIn(t.Context(), testScope, os.Getpid())
	require.ErrorIs(t, err, fault.Busy, "a list that does not get shorter")
	assert.NoDirExists(t, scope+"/"+insideScope)
	write(t, scope+"/cgroup.procs", "")
	_, err = c.CreateIn(t.Context(), testScope, 1)
	require.ErrorIs(t, err, fault.NotFound, "another is aside")
	require.NoError(t, os.Remove(scope+"/cgroup.procs"))
	require.NoError(t, os.Mkdir(scope+"/cgroup.procs", 0o755))
	_, err = c.CreateIn(context.Background(), testScope, 1)
	require.ErrorIs(t, err, unix.EISDIR)
}
