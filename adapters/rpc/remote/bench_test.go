package remote

import (
	"testing"

	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/adapters/rpc/xdr"
)

func decoderOf(packet *frame.Packet) *xdr.Decoder { return xdr.NewDecoder(packet.Payload) }

// measure makes one call over and over, as a client that waits for each answer.
func measure(b *testing.B, driver *stub, quick bool, procedure int32, args protocol.Message) {
	p := open(b, driver, how{quick: quick})
	packet := frame.AppendHeader(nil, frame.Header{Program: protocol.Program, Version: 1, Procedure: procedure, Serial: 1})
	packet, err := args.AppendXDR(packet)
	require.NoError(b, err)
	require.NoError(b, frame.Finish(packet))
	var answer frame.Packet
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.conn.Write(packet); err != nil {
			b.Fatal(err)
		}
		if err := p.reader.Read(&answer); err != nil {
			b.Fatal(err)
		}
	}
	require.Equal(b, frame.OK, answer.Header.Status)
}

func BenchmarkListAll1000(b *testing.B) {
	driver := &stub{containers: many(1000)}
	for name, quick := range map[string]bool{"goroutine": false, "quick": true} {
		b.Run(name, func(b *testing.B) {
			measure(b, driver, quick, protocol.ProcConnectListAllDomains, &protocol.ConnectListAllDomainsArgs{NeedResults: 1})
		})
	}
}

func BenchmarkGetInfo(b *testing.B) {
	measure(b, &stub{containers: list(running(7))}, false, protocol.ProcDomainGetInfo, &protocol.DomainGetInfoArgs{Dom: cap1})
}

func BenchmarkGetState(b *testing.B) {
	driver := &stub{containers: list(running(7))}
	for name, quick := range map[string]bool{"goroutine": false, "quick": true} {
		b.Run(name, func(b *testing.B) {
			measure(b, driver, quick, protocol.ProcDomainGetState, &protocol.DomainGetStateArgs{Dom: cap1})
		})
	}
}
