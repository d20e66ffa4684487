package cgroup

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/fault"
)

func TestFreezeAndThaw(t *testing.T) {
	c := realHost(t)
	g := create(t, c, "lxc-1-a")
	p := spawn(t, g, `while read x; do echo $x; done`)
	require.NoError(t, g.Freeze(within(t)))
	require.NoError(t, g.Freeze(within(t)), "twice is fine")
	u, err := g.Usage(within(t))
	require.NoError(t, err)
	assert.True(t, u.Frozen)
	assert.True(t, u.Populated)
	_, err = p.in.Write([]byte("hello\n"))
	require.NoError(t, err)
	require.NoError(t, g.Thaw(within(t)))
	require.NoError(t, g.Thaw(within(t)), "twice is fine")
	assert.Equal(t, "hello\n", p.line(t))
	u, err = g.Usage(within(t))
	require.NoError(t, err)
	assert.False(t, u.Frozen)
}

func TestSignalReachesSubgroups(t *testing.T) {
	c := realHost(t)
	g := create(t, c, "lxc-1-a")
	inside := &Group{layout: g.layout, path: g.path + "/inside", log: g.log}
	for i, h := range g.all {
		dir := g.dirs[i] + "/inside"
		require.NoError(t, os.Mkdir(dir, 0o755))
		inside.dirs = append(inside.dirs, dir)
		if !h.unified { // there, a group that hands controllers down holds no processes
			require.NoError(t, c.equip(i, dir), h.root)
		}
	}
	script := `trap 'echo caught; exit 0' USR1; echo ready; while :; do read x || sleep 0.01; done`
	outer, inner := spawn(t, g, script), spawn(t, inside, script)
	require.Equal(t, "ready\n", outer.line(t))
	require.Equal(t, "ready\n", inner.line(t))
	require.NoError(t, g.Signal(within(t), int(unix.SIGUSR1)))
	for _, p := range []*child{outer, inner} {
		_ = p.in.Close()
		assert.Equal(t, "caught\n", p.line(t))
	}
}

func TestKill(t *testing.T) {
	for _, frozen := range []bool{false, true} {
		c := realHost(t)
		g := create(t, c, "lxc-1-a")
		p := spawn(t, g, `trap '' TERM; (while :; do sleep 1; done) & (sleep 1000) & echo up; sleep 1000`)
		require.Equal(t, "up\n", p.line(t))
		if frozen {
			require.NoError(t, g.Freeze(within(t)))
		}
		require.NoError(t, g.Kill(within(t)))
		u, err := g.Usage(within(t))
		require.NoError(t, err)
		assert.False(t, u.Populated)
		require.NoError(t, g.Kill(within(t)), "killing what is empty is fine")
		p.end()
	}
}

func TestKillEachWithoutTheFile(t *testing.T) {
	c := realHost(t)
	g := create(t, c, "lxc-1-a")
	p := spawn(t, g, `(while :; do sleep 0.01; done) & (sleep 1000) & echo up; sleep 1000`)
	require.Equal(t, "up\n", p.line(t))
	require.NoError(t, g.killEach(within(t)))
	occupied, err := populated(g.dirs[0])
	require.NoError(t, err)
	assert.False(t, occupied)
	p.end()
}

func TestRemoveWaitsForTheLastProcess(t *testing.T) {
	c := realHost(t)
	g := create(t, c, "lxc-1-a")
	for _, dir := range g.dirs {
		require.NoError(t, os.MkdirAll(dir+"/deep/er", 0o755))
	}
	p := spawn(t, g, `read x`)
	short, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, g.Remove(short), fault.Timeout)
	done := make(chan error, 1)
	go func() { done <- g.Remove(within(t)) }()
	_ = p.in.Close()
	p.end()
	require.NoError(t, <-done)
	for _, dir := range g.dirs {
		assert.NoDirExists(t, dir)
	}
	require.NoError(t, g.Remove(within(t)), "removing what is gone is fine")
	require.NoError(t, g.Kill(within(t)), "so is killing it")
	_, err := g.Usage(within(t))
	require.ErrorIs(t, err, fault.NotFound)
	require.ErrorIs(t, g.Freeze(within(t)), fault.NotFound)
	require.Error(t, g.Apply(within(t), defaultLimits()))
}
