package endpoint

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/adapters/control/wire"
	"virtlxcd/domain/launch/step"
	"virtlxcd/ports/hold"
)

// handler remembers what it was told.
type handler struct {
	handled     []*hold.Message
	found, lost int
}

func (h *handler) Handle(m *hold.Message) { h.handled = append(h.handled, m) }
func (h *handler) DaemonFound()           { h.found++ }
func (h *handler) DaemonLost()            { h.lost++ }

// plain is a hold.Descriptors that only closes.
type plain struct{}

func (plain) Read(hold.FD, []byte) (int, bool)  { return 0, false }
func (plain) Write(hold.FD, []byte) (int, bool) { return 0, false }
func (plain) Watch(hold.FD, hold.Interest)      {}
func (plain) WatchOpens(hold.FD)                {}
func (plain) Attached(hold.FD) bool             { return false }
func (plain) Forget(hold.FD)                    {}
func (plain) Close(fd hold.FD)                  { unix.Close(int(fd)) }
func (plain) Load(hold.FD) (*step.Script, bool) { return nil, false }

// served is an endpoint with a connected daemon, and the daemon's end.
func served(t *testing.T) (*Endpoint, *handler, int) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { unix.Close(ends[0]) })
	listener, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	require.NoError(t, err)
	require.NoError(t, unix.Bind(listener, &unix.SockaddrUnix{Name: t.TempDir() + "/s"}))
	require.NoError(t, unix.Listen(listener, 1))
	require.NoError(t, unix.SetNonblock(ends[1], true))
	h := &handler{}
	e := New(hold.FD(listener), hold.FD(ends[1]), plain{})
	e.Serve(h)
	t.Cleanup(func() { e.hangUp(); unix.Close(listener) })
	return e, h, ends[0]
}

func TestMessagesGoBothWays(t *testing.T) {
	e, h, daemon := served(t)
	packet, _ := wire.Append(nil, nil, &hold.Message{Kind: hold.Proceed, UUID: [16]byte{7}, Files: hold.NoFiles()})
	require.NoError(t, wire.Send(daemon, packet, nil))
	require.True(t, e.Ready(e.daemon))
	require.Len(t, h.handled, 1)
	assert.Equal(t, hold.Proceed, h.handled[0].Kind)

	assert.True(t, e.Send(&hold.Message{Kind: hold.Running, Files: hold.NoFiles()}))
	buffer := make([]byte, wire.Size+1)
	n, fds, err := wire.Receive(daemon, buffer)
	require.NoError(t, err)
	m, err := wire.Decode(buffer[:n], fds)
	require.NoError(t, err)
	assert.Equal(t, hold.Running, m.Kind)
	assert.False(t, e.Ready(hold.FD(9999)), "not its own")
}

// TestPacketsThatCannotBeRead end the connection, and nothing else: the next daemon
// is let in.
func TestPacketsThatCannotBeRead(t *testing.T) {
	whole, _ := wire.Append(nil, nil, &hold.Message{Kind: hold.Reclaim, Files: hold.NoFiles()})
	wanting := &hold.Message{Kind: hold.Begin, Files: hold.NoFiles()}
	wanting.Files.Plan = 0
	unsent, _ := wire.Append(nil, nil, wanting)
	other := append([]byte(nil), whole...)
	other[0]++
	for name, packet := range map[string][]byte{
		"empty": {}, "cut": whole[:wire.Size-1], "too long": append(whole[:wire.Size:wire.Size], 0),
		"much too long": make([]byte, 9000), "without its descriptor": unsent, "of another version": other,
	} {
		e, h, daemon := served(t)
		require.NoError(t, wire.Send(daemon, packet, nil))
		require.True(t, e.Ready(e.daemon))
		assert.False(t, e.Connected(), name)
		assert.Equal(t, 1, h.lost, name)
		assert.Empty(t, h.handled, name)
		connect(t, e)
		e.Ready(e.listener)
		assert.True(t, e.Connected(), name)
		assert.Equal(t, 1, h.found, name)
	}
}

// TestKindsAreTheHandlersBusiness: it answers what it does not know.
func TestKindsAreTheHandlersBusiness(t *testing.T) {
	e, h, daemon := served(t)
	packet, _ := wire.Append(nil, nil, &hold.Message{Kind: 999, Files: hold.NoFiles()})
	require.NoError(t, wire.Send(daemon, packet, nil))
	e.Ready(e.daemon)
	require.Len(t, h.handled, 1)
	assert.EqualValues(t, 999, h.handled[0].Kind)
	assert.True(t, e.Connected())
}

// TestTheEndOfADaemon is seen after all it has sent.
func TestTheEndOfADaemon(t *testing.T) {
	e, h, daemon := served(t)
	packet, _ := wire.Append(nil, nil, &hold.Message{Kind: hold.Acknowledge, Files: hold.NoFiles()})
	require.NoError(t, wire.Send(daemon, packet, nil))
	require.NoError(t, unix.Shutdown(daemon, unix.SHUT_RDWR))
	e.Ready(e.daemon)
	assert.Len(t, h.handled, 1)
	assert.True(t, e.Connected())
	assert.False(t, e.Send(&hold.Message{Kind: hold.Running, Files: hold.NoFiles()}), "it would not arrive")
	e.Ready(e.daemon)
	assert.False(t, e.Connected())
	assert.Equal(t, 1, h.lost)
}

// TestEventsWithoutCause: an event may be old.
func TestEventsWithoutCause(t *testing.T) {
	e, h, _ := served(t)
	e.Ready(e.listener)
	e.Ready(e.daemon)
	assert.True(t, e.Connected())
	assert.Zero(t, h.lost+h.found)
}

// connect is what the next daemon does.
func connect(t *testing.T, e *Endpoint) {
	t.Helper()
	address, err := unix.Getsockname(int(e.listener))
	require.NoError(t, err)
	next, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { unix.Close(next) })
	require.NoError(t, unix.Connect(next, address))
}

func TestGarbageEndsTheConnectionAndClosesWhatCame(t *testing.T) {
	e, h, daemon := served(t)
	var pipe [2]int
	require.NoError(t, unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK))
	defer unix.Close(pipe[0])
	require.NoError(t, wire.Send(daemon, []byte("what is this?"), []int{pipe[1]}))
	unix.Close(pipe[1])
	e.Ready(e.daemon)
	assert.False(t, e.Connected())
	assert.Equal(t, 1, h.lost)
	assert.Empty(t, h.handled)
	n, err := unix.Read(pipe[0], make([]byte, 1))
	assert.NoError(t, err)
	assert.Zero(t, n, "nobody holds the other end any more")
	assert.False(t, e.Send(&hold.Message{Kind: hold.Running, Files: hold.NoFiles()}))
}

func TestANewDaemonTakesThePlaceOfTheOld(t *testing.T) {
	e, h, _ := served(t)
	connect(t, e)
	e.Ready(e.listener)
	assert.True(t, e.Connected())
	assert.Equal(t, 1, h.lost)
	assert.Equal(t, 1, h.found)
}
