package driver_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"virtlxcd/app/driver"
	"virtlxcd/domain/access"
	"virtlxcd/domain/container"
	"virtlxcd/fakes"
	"virtlxcd/ports"
)

// openAccess knows at once that everything is allowed.
type openAccess struct{}

func (openAccess) Check(context.Context, access.Caller, access.Permission, ports.AccessObject) error {
	return nil
}

func BenchmarkList1000(b *testing.B) {
	h := fakes.NewHost()
	entropy := fakes.NewEntropy(h)
	for i := range 1000 {
		one := plain(fmt.Sprintf("c%04d", i), byte(i))
		one.UUID[1] = byte(i >> 8)
		require.NoError(b, fakes.NewStore(h).SaveDefinition(b.Context(), one))
	}
	d, err := driver.New(driver.Ports{
		Store: fakes.NewStore(h), Codec: codec{entropy}, Controllers: fakes.NewControllers(h),
		Cgroups: fakes.NewCgroups(h), Links: fakes.NewLinks(h), Terminals: fakes.NewTerminals(h),
		Processes: fakes.NewProcesses(h), HostInfo: fakes.NewHostInfo(h), Access: openAccess{}, Entropy: entropy,
		Hooks: fakes.NewHooks(h), Machines: fakes.NewMachines(h), Escrow: fakes.NewEscrow(h), Auditor: fakes.NewAuditor(h),
	}, driver.Options{}, slog.New(slog.DiscardHandler))
	require.NoError(b, err)
	require.NoError(b, d.Recover(b.Context()))
	client, err := d.Connect(b.Context(), access.Caller{})
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	for name, filter := range map[string]container.Filter{"all": {}, "inactive": {Inactive: true}, "persistent": {Persistent: true}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				all, err := client.List(ctx, filter)
				if err != nil || len(all) != 1000 {
					b.Fatal(len(all), err)
				}
			}
		})
	}
	require.NoError(b, client.Close())
	require.NoError(b, d.Shutdown(b.Context()))
}
