package harness

import (
	"encoding/binary"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/adapters/rpc/client"
	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/adapters/rpc/xdr"
	"virtlxcd/domain/access"
)

// listener is the client's end of a socket. Memory that grows is the daemon's:
// of clients this process keeps no more than descriptors.
type listener int

func join(t testing.TB, path string) listener {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	require.NoError(t, unix.Connect(fd, &unix.SockaddrUnix{Name: path}))
	return listener(fd)
}

func (l listener) Read(b []byte) (int, error) {
	n, err := unix.Read(int(l), b)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// call makes a call and waits for its answer, which is a success.
func (l listener) call(t testing.TB, serial uint32, procedure int32, args protocol.Message) {
	t.Helper()
	packet := frame.AppendHeader(nil, frame.Header{
		Program: protocol.Program, Version: protocol.ProtocolVersion, Procedure: procedure, Serial: serial,
	})
	packet, err := args.AppendXDR(packet)
	require.NoError(t, err)
	require.NoError(t, frame.Finish(packet))
	_, err = unix.Write(int(l), packet)
	require.NoError(t, err)
	answer := l.receive(t)
	require.EqualValues(t, procedure, answer.word(2))
	require.EqualValues(t, serial, answer.word(4))
	require.Zero(t, answer.word(5), "status")
}

// received is a packet without its length.
type received []byte

func (r received) word(i int) uint32 { return binary.BigEndian.Uint32(r[4*i:]) }

func (r received) payload() *xdr.Decoder { return xdr.NewDecoder(r[frame.HeaderSize-4:]) }

func (l listener) receive(t testing.TB) received {
	t.Helper()
	var length [4]byte
	_, err := io.ReadFull(l, length[:])
	require.NoError(t, err)
	packet := make(received, binary.BigEndian.Uint32(length[:])-4)
	_, err = io.ReadFull(l, packet)
	require.NoError(t, err)
	return packet
}

// resident is the memory this process occupies, in bytes.
func resident(t testing.TB) int {
	t.Helper()
	runtime.GC()
	debug.FreeOSMemory()
	statm, err := os.ReadFile("/proc/self/statm")
	require.NoError(t, err)
	pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
	require.NoError(t, err)
	return pages * os.Getpagesize()
}

// manyFiles lets this process have so many descriptors more.
func manyFiles(t testing.TB, more uint64) {
	t.Helper()
	var limit unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	if limit.Cur >= more+1000 {
		return
	}
	raised := unix.Rlimit{Cur: more + 1000, Max: max(limit.Max, more+1000)}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &raised); err != nil {
		t.Skipf("needs %d descriptors, has %d and may not raise that: %v", raised.Cur, limit.Cur, err)
	}
	t.Cleanup(func() { require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)) })
}

// TestListeners: clients that have opened a connection and wait for events, as
// management tools do, cost little, before the first event and after it.
func TestListeners(t *testing.T) {
	const most, budget = 4999, 20_000 // clients with one that works among them; bytes for each
	manyFiles(t, 2*most)
	m := New(Config{Prefix: shortDir(t)})
	require.NoError(t, m.Start(t.Context()))
	worker, err := m.Dial(t.Context(), access.Caller{})
	require.NoError(t, err)
	m.Host.AddRoot("/srv/web")
	before := resident(t)

	listeners := make([]listener, most)
	for i := range listeners {
		l := join(t, m.Socket(false))
		listeners[i] = l
		l.call(t, 1, protocol.ProcConnectOpen, &protocol.ConnectOpenArgs{Name: new("lxc:///system")})
		l.call(t, 2, protocol.ProcConnectDomainEventCallbackRegisterAny, &protocol.ConnectDomainEventCallbackRegisterAnyArgs{})
	}
	idle := (resident(t) - before) / most
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	t.Logf("%d listeners: %d bytes each (heap %d, stacks %d)", most, idle, stats.HeapInuse/most, stats.StackInuse/most)

	defineWeb(t, worker)
	for _, l := range listeners {
		event := l.receive(t)
		require.EqualValues(t, protocol.ProcDomainEventCallbackLifecycle, event.word(2))
		var message protocol.DomainEventCallbackLifecycleMsg
		require.NoError(t, message.DecodeXDR(event.payload()))
		require.Equal(t, "web", message.Msg.Dom.Name)
	}
	after := (resident(t) - before) / most
	runtime.ReadMemStats(&stats)
	t.Logf("after an event: %d bytes each (heap %d, stacks %d)", after, stats.HeapInuse/most, stats.StackInuse/most)
	if !raced {
		assert.Less(t, idle, budget)
		assert.Less(t, after, budget)
	}
	for _, l := range listeners {
		require.NoError(t, unix.Close(int(l)))
	}
	require.NoError(t, worker.Disconnect(t.Context()))
	require.NoError(t, m.Stop(t.Context()))
}

func defineWeb(t testing.TB, worker *client.Client) {
	t.Helper()
	var ret protocol.DomainDefineXMLFlagsRet
	document := "<domain type='lxc'><name>web</name><memory>65536</memory><os><type>exe</type><init>/sbin/init</init></os>" +
		"<devices><filesystem><source dir='/srv/web'/><target dir='/'/></filesystem></devices></domain>"
	require.NoError(t, worker.Remote(t.Context(), protocol.ProcDomainDefineXMLFlags,
		&protocol.DomainDefineXMLFlagsArgs{XML: document}, &ret))
}
