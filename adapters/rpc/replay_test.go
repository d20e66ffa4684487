package rpc

import (
	"context"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc/capture"
	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/adapters/rpc/xdr"
)

// recorded is a program that knows just enough of the recorded daemon to replay what
// this package is responsible for.
func recorded(source func() io.ReadWriteCloser, dom protocol.Domain) Program {
	handlers := map[int32]func(*Call){
		protocol.ProcConnectClose: func(c *Call) { c.Reply(nil); c.Hangup() },
		protocol.ProcConnectGetType: func(c *Call) {
			c.Reply(&protocol.ConnectGetTypeRet{Type: "LXC"})
		},
		protocol.ProcConnectGetHostname: func(c *Call) {
			c.Reply(&protocol.ConnectGetHostnameRet{Hostname: "rpcbox"})
		},
		protocol.ProcDomainLookupByName:             func(c *Call) { lookup(c, dom) },
		protocol.ProcDomainGetState:                 func(c *Call) { c.Reply(&protocol.DomainGetStateRet{State: 1, Reason: 5}) },
		protocol.ProcDomainOpenConsole:              func(c *Call) { c.ReplyStream(source()) },
		protocol.ProcConnectUnregisterCloseCallback: func(c *Call) { c.Reply(nil) },
	}
	return Program{Number: protocol.Program, Version: 1, Procedure: func(number int32) *Procedure {
		handle := handlers[number]
		if handle == nil {
			return nil
		}
		return &Procedure{
			Name: "recorded", Inline: number == protocol.ProcConnectClose,
			Handle: func(_ context.Context, call *Call) { handle(call) },
		}
	}}
}

func lookup(call *Call, dom protocol.Domain) {
	var args protocol.DomainLookupByNameArgs
	if args.DecodeXDR(xdr.NewDecoder(call.Payload())) != nil {
		call.FailDecoding()
		return
	}
	if args.Name == dom.Name {
		call.Reply(&protocol.DomainLookupByNameRet{Dom: dom})
		return
	}
	text := "No domain with matching name '" + args.Name + "'"
	call.Fail(newError(42, 17, "Domain not found: %s", text, "Domain not found: "+text))
}

// transport are the recorded cases that do not depend on what the daemon serves.
var transport = []string{
	"unknown program", "known program wrong version", "unknown procedure 9999", "procedure 0", "procedure -1",
	"event proc as call (318)", "call status=1", "call status=7 (invalid enum)", "type=1 reply from client",
	"type=2 message", "type=3 stream stray", "type=6 hole stray", "type=9 invalid",
	"short args (lookup by name no payload)", "string longer than payload", "trailing garbage after args",
	"nonzero padding", "embedded NUL in string", "length=3", "length=4 (empty)", "length=20 short header",
	"length=33554437 too big", "length=0xffffffff", "call-with-fds n=33", "call-with-fds n=0",
	"call-with-fds n=1 but plain byte", "keepalive ping", "keepalive ping serial 9 status 2", "keepalive proc 3",
	"keepalive as call", "keepalive v2",
}

func TestReplayMalformed(t *testing.T) {
	recording, err := capture.Load("malformed")
	require.NoError(t, err)
	sections := make(map[string]capture.Exchange)
	for _, section := range recording.Sections() {
		sections[section.Name] = section
	}
	bench := newBench(DefaultOptions())
	bench.server.programs = []Program{recorded(nil, protocol.Domain{})}
	path := bench.listen(t, Socket{})
	for _, name := range transport {
		t.Run(name, func(t *testing.T) {
			section, ok := sections[name]
			require.True(t, ok, "no such recording")
			replay(t, dial(t, path), section.Items)
		})
	}
}

// replay sends what the client sent and checks that the server says what it said.
func replay(t *testing.T, c *client, items []capture.Item) {
	over := false
	for _, item := range items {
		switch {
		case over:
			return // what the recording client sent into the closed connection
		case item.Kind == capture.Packet && item.From == capture.Client:
			require.True(t, item.Complete(), item.Label)
			c.write(item.Bytes)
		case item.Kind == capture.Packet:
			c.expectBytes(item)
		case item.Kind == capture.End && item.From == capture.Server:
			c.closed()
			over = true
		}
	}
}

// expectBytes receives a packet and compares it with the recorded one.
func (c *client) expectBytes(item capture.Item) {
	c.t.Helper()
	packet := c.receive()
	got := append(frame.AppendHeader(nil, packet.Header), packet.Payload...)
	if packet.Header.Type.HasFDs() {
		got = append(frame.AppendHeaderFDs(nil, packet.Header, len(packet.Files)), packet.Payload...)
	}
	packet.CloseFiles()
	require.NoError(c.t, frame.Finish(got))
	require.NoError(c.t, item.Compare(got))
}

// TestReplayConsole replays the recorded console sessions: the source yields what it
// yielded then, and ends when it ended.
func TestReplayConsole(t *testing.T) {
	for _, row := range []struct {
		name     string
		id       int32
		from, to uint32 // serials to replay; what lies outside is not this package's
	}{{"console", 430, 6, 10}, {"console-eof", 430, 6, 10}, {"stream-abort", 10105, 4, 6}} {
		t.Run(row.name, func(t *testing.T) {
			recording, err := capture.Load(row.name)
			require.NoError(t, err)
			bench, ends := streamBench(DefaultOptions())
			dom := protocol.Domain{Name: "cap1", ID: row.id, UUID: protocol.UUID{
				0x11, 0x11, 0x11, 0x11, 0x22, 0x22, 0x43, 0x33, 0x84, 0x44, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55}}
			bench.server.programs = []Program{recorded(func() io.ReadWriteCloser { return bench.source() }, dom)}
			var items []capture.Item
			for _, item := range recording.Items {
				if item.Kind == capture.Packet && within(item, row.from, row.to) {
					items = append(items, item)
				}
			}
			replayConsole(t, bench.unix(t), ends, items)
		})
	}
}

func within(item capture.Item, from, to uint32) bool {
	serial := frame.ParseHeader(item.Bytes).Serial
	return from <= serial && serial <= to
}

func replayConsole(t *testing.T, c *client, ends chan *terminal, items []capture.Item) {
	var end *terminal
	for _, item := range items {
		header, data := frame.ParseHeader(item.Bytes), item.Bytes[frame.HeaderSize:]
		onStream := header.Type == frame.Stream && header.Status == frame.Continue
		switch {
		case item.From == capture.Client:
			c.write(item.Bytes)
			if onStream {
				typed := make([]byte, len(data))
				_, err := io.ReadFull(end, typed)
				require.NoError(t, err)
				require.Equal(t, data, typed)
			}
			continue
		case header.Procedure == protocol.ProcDomainOpenConsole && header.Type == frame.Reply:
			end = <-ends
		case onStream && len(data) == 0:
			end.Close()
		case onStream:
			go end.Write(data)
		}
		c.expectBytes(item)
	}
}

// TestReplayNamespaces compares an answer that brings descriptors.
func TestReplayNamespaces(t *testing.T) {
	recording, err := capture.Load("lxc-enter-namespace")
	require.NoError(t, err)
	bench := newBench(DefaultOptions())
	bench.server.programs = []Program{{
		Number: protocol.LxcProgram, Version: 1,
		Procedure: func(int32) *Procedure {
			return &Procedure{Handle: func(_ context.Context, call *Call) {
				var files []*os.File
				for _, name := range []string{"user", "ipc", "uts", "net", "pid", "mnt"} {
					file, err := os.Open("/proc/self/ns/" + name)
					if err != nil {
						call.Fail(internalError(err.Error()))
						return
					}
					files = append(files, file)
				}
				call.ReplyFiles(nil, files...)
			}}
		},
	}}
	c := bench.unix(t)
	compared := 0
	for _, item := range recording.Items {
		if item.Kind != capture.Packet || frame.ParseHeader(item.Bytes).Program != protocol.LxcProgram {
			continue
		}
		compared++
		if item.From == capture.Client {
			c.write(item.Bytes)
			continue
		}
		c.expectBytes(item)
	}
	require.Equal(t, 2, compared)
}
