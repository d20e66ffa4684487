package rpc

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/adapters/rpc/xdr"
	"virtlxcd/domain/access"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Procedures of the program the tests serve.
const (
	testProgram = 0x20008086

	procEcho       = iota // High
	procEchoInline        // Inline
	procEchoLow
	procWait   // low: answers when the test releases it
	procPanic  // panics
	procSilent // gives no answer
	procTwice  // gives two answers
	procClose  // inline, hangs up
	procFiles  // answers the contents of the files it got, and passes them back
	procTake   // keeps the files
	procStream // opens the test's stream
	procAuth   // Open: authenticates
	procAlive  // enables keepalive
	procLong   // fails with an enormous text
	procHuge   // answers more than a packet holds
	procUnfit  // answers a body that does not encode
	procDecode // cannot decode its arguments
	procWaitHigh
	procOpenWait // high, Open
	procLast
)

// bench is a server with the test program and what its handlers hand to the test.
type bench struct {
	server  *Server
	log     *logged
	release chan struct{}             // one receive lets one procWait go
	started chan struct{}             // one send per procWait that runs
	gone    chan struct{}             // one send per session whose hooks ran
	source  func() io.ReadWriteCloser // what procStream opens
	taken   chan []*os.File
	session chan *Session // sessions that started
}

func newBench(options Options) *bench {
	b := &bench{
		release: make(chan struct{}), started: make(chan struct{}, 1000), gone: make(chan struct{}, 1000),
		taken: make(chan []*os.File, 10), session: make(chan *Session, 1000),
	}
	b.log = new(logged)
	options.Start = func(s *Session) {
		b.session <- s
		s.OnClose(func() { b.gone <- struct{}{} })
	}
	b.server = New(options, slog.New(slog.NewTextHandler(b.log, nil)), Program{
		Number: testProgram, Version: 1, Procedure: b.procedure,
	})
	return b
}

// logged is what was logged.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

func (b *bench) procedure(number int32) *Procedure {
	if number < procEcho || number >= procLast {
		return nil
	}
	return &Procedure{
		Name: "test", High: number == procEcho || number == procWaitHigh || number == procAlive,
		Inline: number == procEchoInline || number == procClose, Open: number == procAuth || number == procOpenWait,
		Handle: func(ctx context.Context, call *Call) { b.handle(ctx, call) },
	}
}

func (b *bench) handle(ctx context.Context, call *Call) {
	switch call.Number() {
	case procEcho, procEchoInline, procEchoLow:
		call.Reply(Raw(call.Payload()))
	case procWait, procWaitHigh, procOpenWait:
		b.started <- struct{}{}
		select {
		case <-b.release:
		case <-ctx.Done():
		}
		call.Reply(Raw(call.Payload()))
	case procPanic:
		call.Reply(nil)
		panic("deliberate")
	case procTwice:
		call.Reply(Raw{0, 0, 0, 1})
		call.Reply(Raw{0, 0, 0, 2})
		call.Fail(rpcError("too late"))
	case procClose:
		call.Reply(nil)
		call.Hangup()
	case procFiles:
		call.ReplyFiles(Raw(readAll(call.Files())), call.TakeFiles()...)
	case procTake:
		b.taken <- call.TakeFiles()
		call.Reply(nil)
	case procStream:
		call.ReplyStream(b.source())
	default:
		b.handleOdd(call)
	}
}

func (b *bench) handleOdd(call *Call) {
	switch call.Number() {
	case procAuth:
		call.Session().SetAuthenticated()
		call.Reply(nil)
	case procAlive:
		call.Session().EnableKeepalive()
		call.Reply(nil)
	case procLong:
		call.Fail(rpcError(strings.Repeat("ä", maxText/2) + "x"))
	case procHuge:
		call.Reply(Raw(make([]byte, frame.MaxPayload+1)))
	case procUnfit:
		call.Reply(&protocol.Error{Message: ptr(strings.Repeat("x", maxText+1))})
	case procDecode:
		call.FailDecoding()
	}
}

func ptr[T any](v T) *T { return &v }

func readAll(files []*os.File) []byte {
	var all []byte
	for _, f := range files {
		text := make([]byte, 16)
		n, _ := f.ReadAt(text, 0)
		all = append(all, text[:n]...)
	}
	return all
}

// client is the other end of a session, as raw as can be.
type client struct {
	t      testing.TB
	conn   net.Conn
	reader *frame.Reader
}

func newClient(t testing.TB, conn net.Conn) *client {
	return &client{t: t, conn: conn, reader: frame.NewReader(conn)}
}

// pipe connects over memory. The session ends when the test ends.
func (b *bench) pipe(t testing.TB) *client {
	return b.pipeSocket(t, Socket{})
}

func (b *bench) pipeSocket(t testing.TB, socket Socket) *client {
	return b.pipeAs(t, socket, access.Caller{UID: 7})
}

func (b *bench) pipeAs(t testing.TB, socket Socket, caller access.Caller) *client {
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.server.ServeConn(theirs, caller, socket)
	}()
	t.Cleanup(func() {
		ours.Close()
		<-done
	})
	return newClient(t, ours)
}

// listen serves a socket until the test ends and returns its path.
func (b *bench) listen(t testing.TB, socket Socket) string {
	path := filepath.Join(t.TempDir(), "sock")
	listener, err := net.Listen("unix", path)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- b.server.Serve(listener, socket) }()
	t.Cleanup(func() {
		require.NoError(t, b.server.Close(context.Background()))
		require.NoError(t, <-done)
	})
	return path
}

// dial connects to a socket.
func dial(t testing.TB, path string) *client {
	conn, err := net.Dial("unix", path)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	return newClient(t, conn)
}

// unix serves a socket and connects to it.
func (b *bench) unix(t testing.TB) *client { return dial(t, b.listen(t, Socket{})) }

func encoded(header frame.Header, payload []byte) []byte {
	packet := append(frame.AppendHeader(nil, header), payload...)
	binary.BigEndian.PutUint32(packet, uint32(len(packet)))
	return packet
}

func callHeader(procedure int32, serial uint32) frame.Header {
	return frame.Header{Program: testProgram, Version: 1, Procedure: procedure, Serial: serial}
}

func (c *client) send(header frame.Header, payload []byte) {
	c.t.Helper()
	c.write(encoded(header, payload))
}

func (c *client) write(data []byte) {
	c.t.Helper()
	_, err := c.conn.Write(data)
	require.NoError(c.t, err)
}

func (c *client) call(procedure int32, serial uint32, payload ...byte) {
	c.t.Helper()
	c.send(callHeader(procedure, serial), payload)
}

func (c *client) receive() frame.Packet {
	c.t.Helper()
	var packet frame.Packet
	require.NoError(c.t, c.reader.Read(&packet))
	return packet
}

// receiveHeader takes the bytes of a packet that ends with a count of descriptors.
func (c *client) receiveHeader() {
	c.t.Helper()
	_, err := io.ReadFull(c.conn, make([]byte, frame.HeaderSize+4))
	require.NoError(c.t, err)
}

// reply receives a packet and checks that it answers the serial with success.
func (c *client) reply(serial uint32) []byte {
	c.t.Helper()
	packet := c.receive()
	require.Equal(c.t, serial, packet.Header.Serial)
	require.Equal(c.t, frame.Reply, packet.Header.Type)
	require.Equal(c.t, frame.OK, packet.Header.Status)
	return packet.Payload
}

// failure receives a packet of the type and decodes the error in it.
func (c *client) failure(kind frame.Type, serial uint32) *protocol.Error {
	c.t.Helper()
	packet := c.receive()
	require.Equal(c.t, serial, packet.Header.Serial)
	require.Equal(c.t, kind, packet.Header.Type)
	require.Equal(c.t, frame.Error, packet.Header.Status)
	var failure protocol.Error
	require.NoError(c.t, failure.DecodeXDR(xdr.NewDecoder(packet.Payload)))
	return &failure
}

// closed checks that the server says nothing more and hangs up.
func (c *client) closed() {
	c.t.Helper()
	var packet frame.Packet
	err := c.reader.Read(&packet)
	require.Error(c.t, err, "unexpected packet %+v", packet.Header)
	require.NotErrorIs(c.t, err, os.ErrDeadlineExceeded)
}

// quiet checks that everything sent before was handled without a word: the answer to
// a further call is the next packet.
func (c *client) quiet() {
	c.t.Helper()
	c.call(procEcho, 4711)
	c.reply(4711)
}
