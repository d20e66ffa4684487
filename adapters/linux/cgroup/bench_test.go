package cgroup

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"virtlxcd/domain/policy"
)

func BenchmarkCreateApplyRemove(b *testing.B) {
	c := realHost(b)
	ctx := context.Background()
	_, err := c.Create(ctx, "/machine", "warm")
	require.NoError(b, err)
	defer func() {
		removed, err := c.Sweep(ctx, func(string) bool { return false })
		require.NoError(b, err)
		require.NotEmpty(b, removed)
	}()
	for i := 0; b.Loop(); i++ {
		g, err := c.Create(ctx, "/machine", fmt.Sprintf("lxc-%d-b", i))
		require.NoError(b, err)
		require.NoError(b, g.Apply(ctx, defaultLimits()))
		require.NoError(b, g.AllowDevices(ctx, policy.DefaultDevices()))
		b.StopTimer()
		require.NoError(b, g.Remove(ctx))
		b.StartTimer()
	}
}

func BenchmarkRemove(b *testing.B) {
	c := realHost(b)
	ctx := context.Background()
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		g, err := c.Create(ctx, "/machine", fmt.Sprintf("lxc-%d-b", i))
		require.NoError(b, err)
		b.StartTimer()
		require.NoError(b, g.Remove(ctx))
	}
}

func BenchmarkApply(b *testing.B) {
	g := create(b, realHost(b), "lxc-1-b")
	for b.Loop() {
		require.NoError(b, g.Apply(context.Background(), defaultLimits()))
	}
}

func BenchmarkAllowDevices(b *testing.B) {
	g := create(b, realHost(b), "lxc-1-b")
	_, version, _ := g.dir("devices")
	for b.Loop() {
		g.fresh = version == 1
		require.NoError(b, g.AllowDevices(context.Background(), policy.DefaultDevices()))
	}
}

func BenchmarkUsage(b *testing.B) {
	g := create(b, realHost(b), "lxc-1-b")
	ctx := context.Background()
	for b.Loop() {
		if _, err := g.Usage(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDeviceProgram(b *testing.B) {
	c := realHost(b)
	if !c.unified() {
		b.Skip("no version 2 tree on this host")
	}
	list, err := newDeviceList(policy.DefaultDevices())
	require.NoError(b, err)
	ctx := context.Background()
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		g, err := c.Create(ctx, "/machine", fmt.Sprintf("lxc-%d-b", i))
		require.NoError(b, err)
		b.StartTimer()
		require.NoError(b, allowByProgram(g.(*Group).dirs[0], list, true))
		b.StopTimer()
		require.NoError(b, g.Remove(ctx))
		b.StartTimer()
	}
}
