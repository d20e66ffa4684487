package rpc

import (
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// roundTrips makes n calls one after the other.
func roundTrips(conn net.Conn, packet []byte, n int) error {
	answer := make([]byte, 4096)
	for range n {
		if _, err := conn.Write(packet); err != nil {
			return err
		}
		for got := 0; got < len(packet); {
			m, err := conn.Read(answer)
			if err != nil {
				return err
			}
			got += m
		}
	}
	return nil
}

func benchmarkRoundTrip(b *testing.B, procedure int32, connections int) {
	bench := newBench(DefaultOptions())
	path := bench.listen(b, Socket{})
	packet := encoded(callHeader(procedure, 1), make([]byte, 36))
	conns := make([]net.Conn, connections)
	for i := range conns {
		conn, err := net.Dial("unix", path)
		require.NoError(b, err)
		defer conn.Close()
		conns[i] = conn
	}
	b.ReportAllocs()
	b.ResetTimer()
	var wait sync.WaitGroup
	for i, conn := range conns {
		n := b.N / connections
		if i < b.N%connections {
			n++
		}
		wait.Go(func() {
			if err := roundTrips(conn, packet, n); err != nil {
				b.Error(err)
			}
		})
	}
	wait.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

func BenchmarkRoundTrip(b *testing.B) {
	for _, row := range []struct {
		name      string
		procedure int32
	}{{"high", procEcho}, {"inline", procEchoInline}, {"low", procEchoLow}} {
		b.Run(row.name+"/1", func(b *testing.B) { benchmarkRoundTrip(b, row.procedure, 1) })
		b.Run(row.name+"/64", func(b *testing.B) { benchmarkRoundTrip(b, row.procedure, 64) })
	}
}
