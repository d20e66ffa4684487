package client

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/adapters/rpc/xdr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// peer is the server's end, driven by a test.
type peer struct {
	t      testing.TB
	conn   net.Conn
	reader *frame.Reader
}

// dial gives a client and its server's end, over real sockets.
func dial(t testing.TB, opts ...Option) (*Client, *peer) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	socks := make([]net.Conn, 2)
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		socks[i], err = net.FileConn(f)
		require.NoError(t, err)
		f.Close()
	}
	return ends(t, socks[0], socks[1], opts...)
}

func ends(t testing.TB, mine, theirs net.Conn, opts ...Option) (*Client, *peer) {
	c := New(mine, opts...)
	t.Cleanup(func() { c.Close(); theirs.Close() })
	return c, &peer{t: t, conn: theirs, reader: frame.NewReader(theirs)}
}

func (p *peer) read() frame.Packet {
	var packet frame.Packet
	if err := p.reader.Read(&packet); err != nil {
		p.t.Errorf("peer: %v", err)
	}
	return packet
}

func (p *peer) write(h frame.Header, body protocol.Message, files ...*os.File) {
	b := frame.AppendHeader(nil, h)
	if len(files) > 0 {
		b = frame.AppendHeaderFDs(nil, h, len(files))
	}
	if body != nil {
		b, _ = body.AppendXDR(b)
	}
	if frame.Finish(b) != nil || frame.Write(p.conn, b, files) != nil {
		p.t.Error("peer: cannot write")
	}
}

func (p *peer) reply(to frame.Header, body protocol.Message) {
	to.Type, to.Status = frame.Reply, frame.OK
	p.write(to, body)
}

func (p *peer) refuse(to frame.Header, e *protocol.Error) {
	to.Status = frame.Error
	if to.Type != frame.Stream {
		to.Type = frame.Reply
	}
	p.write(to, e)
}

func data(text string) *raw { r := raw(text); return &r }

func TestAnswersInAnyOrder(t *testing.T) {
	c, p := dial(t)
	const n = 50
	go func() {
		var calls []frame.Packet
		for range n {
			calls = append(calls, p.read())
		}
		for i := range calls {
			call := calls[n-1-i]
			var args protocol.DomainLookupByNameArgs
			assert.NoError(t, args.DecodeXDR(xdr.NewDecoder(call.Payload)))
			p.reply(call.Header, &protocol.DomainLookupByNameRet{Dom: protocol.Domain{Name: args.Name}})
		}
	}()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			name := fmt.Sprint("c", i)
			var ret protocol.DomainLookupByNameRet
			err := c.Remote(t.Context(), protocol.ProcDomainLookupByName, &protocol.DomainLookupByNameArgs{Name: name}, &ret)
			assert.NoError(t, err)
			assert.Equal(t, name, ret.Dom.Name)
		})
	}
	wg.Wait()
}

func TestErrorsAreWhole(t *testing.T) {
	c, p := dial(t)
	go func() {
		p.refuse(p.read().Header, &protocol.Error{
			Code: 42, Domain: 17, Message: new("Domain not found: x"), Level: 2, Str1: new("Domain not found: %s"),
			Str2: new("x"), Int1: -1, Int2: 3,
		})
	}()
	err := c.Remote(t.Context(), protocol.ProcDomainCreate, &protocol.DomainCreateArgs{}, nil)
	var refusal *Error
	require.ErrorAs(t, err, &refusal)
	assert.Equal(t, &Error{
		Code: 42, Domain: 17, Level: 2, Message: "Domain not found: x",
		Str1: "Domain not found: %s", Str2: "x", Int1: -1, Int2: 3,
	}, refusal)
	assert.Equal(t, "Domain not found: x (code 42, domain 17)", refusal.Error())
}

func TestAnswersThatCannotBeDecoded(t *testing.T) {
	c, p := dial(t)
	go func() { p.reply(p.read().Header, data("xx")) }()
	assert.ErrorIs(t, c.Remote(t.Context(), protocol.ProcConnectGetType, nil, &protocol.ConnectGetTypeRet{}), xdr.ErrShort)
}

func TestArgumentsThatCannotBeEncoded(t *testing.T) {
	c, p := dial(t)
	long := string(make([]byte, protocol.StringMax+1))
	err := c.Remote(t.Context(), protocol.ProcDomainLookupByName, &protocol.DomainLookupByNameArgs{Name: long}, nil)
	assert.ErrorIs(t, err, xdr.ErrTooLong)
	go func() { p.reply(p.read().Header, nil) }()
	assert.NoError(t, c.Remote(t.Context(), protocol.ProcConnectClose, nil, nil), "nothing was sent of the other")
}

func TestGivingUpOnAnAnswer(t *testing.T) {
	c, p := dial(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		first := p.read()
		cancel()
		second := p.read()
		p.reply(first.Header, &protocol.ConnectGetTypeRet{Type: "late"})
		p.reply(second.Header, &protocol.ConnectGetTypeRet{Type: "LXC"})
	}()
	var ret protocol.ConnectGetTypeRet
	assert.ErrorIs(t, c.Remote(ctx, protocol.ProcConnectGetType, nil, &ret), context.Canceled)
	require.NoError(t, c.Remote(t.Context(), protocol.ProcConnectGetType, nil, &ret))
	assert.Equal(t, "LXC", ret.Type)
}

func TestOpen(t *testing.T) {
	c, p := dial(t)
	go func() {
		p.reply(p.read().Header, &protocol.AuthListRet{Types: []protocol.AuthType{protocol.AuthTypePolkit}})
		polkit := p.read()
		assert.EqualValues(t, protocol.ProcAuthPolkit, polkit.Header.Procedure)
		p.reply(polkit.Header, &protocol.AuthPolkitRet{Complete: 1})
		open := p.read()
		var args protocol.ConnectOpenArgs
		assert.NoError(t, args.DecodeXDR(xdr.NewDecoder(open.Payload)))
		assert.Equal(t, protocol.ConnectOpenArgs{Name: new("lxc:///system"), Flags: 1}, args)
		p.reply(open.Header, nil)
		p.reply(p.read().Header, nil)
	}()
	require.NoError(t, c.Open(t.Context(), "lxc:///system", 1))
	require.NoError(t, c.Disconnect(t.Context()))
	assert.ErrorIs(t, c.Err(), ErrClosed)
}

func TestEvents(t *testing.T) {
	c, p := dial(t)
	h := frame.Header{Program: protocol.Program, Version: 1, Procedure: protocol.ProcDomainEventCallbackReboot, Type: frame.Message, Serial: 1}
	for i := range int32(3) {
		p.write(h, &protocol.DomainEventCallbackRebootMsg{CallbackID: i})
	}
	p.write(frame.Header{Program: 5, Procedure: 6, Type: frame.Message}, data("what?"))
	p.conn.Close()
	<-c.Done()
	for i := range int32(3) {
		e, err := c.NextEvent(t.Context())
		require.NoError(t, err)
		assert.Equal(t, &protocol.DomainEventCallbackRebootMsg{CallbackID: i}, e.Message)
	}
	e, err := c.NextEvent(t.Context())
	require.NoError(t, err)
	assert.Equal(t, Event{Program: 5, Procedure: 6, Payload: []byte("what?")}, e)
	_, err = c.NextEvent(t.Context())
	assert.Equal(t, io.EOF, err)
}

func TestEventFunction(t *testing.T) {
	got := make(chan Event, 1)
	_, p := dial(t, OnEvent(func(e Event) { got <- e }))
	p.write(frame.Header{Program: protocol.Program, Procedure: protocol.ProcDomainEventReboot, Type: frame.Message}, &protocol.DomainEventRebootMsg{})
	assert.Equal(t, &protocol.DomainEventRebootMsg{}, (<-got).Message)
}

func TestFilesBothWays(t *testing.T) {
	c, p := dial(t)
	go func() {
		call := p.read()
		assert.Len(t, call.Files, 2)
		call.Header.Type = frame.ReplyWithFDs
		p.write(call.Header, nil, call.Files[1], call.Files[0])
		call.CloseFiles()
	}()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	files, err := c.CallFiles(t.Context(), protocol.LxcProgram, protocol.LxcProcDomainOpenNamespace,
		&protocol.LxcDomainOpenNamespaceArgs{}, nil, []*os.File{r, w})
	require.NoError(t, err)
	require.Len(t, files, 2)
	defer closeFiles(files)
	_, err = files[0].Write([]byte("through"))
	require.NoError(t, err)
	buf := make([]byte, 7)
	_, err = io.ReadFull(files[1], buf)
	require.NoError(t, err)
	assert.Equal(t, "through", string(buf))
}

// console opens a stream whose server's end is p.
func console(t *testing.T, c *Client, p *peer) (*Stream, frame.Header) {
	t.Helper()
	opened := make(chan frame.Header, 1)
	go func() {
		h := p.read().Header
		p.reply(h, nil)
		h.Type, h.Status = frame.Stream, frame.Continue
		p.write(h, data("hello"))
		opened <- h
	}()
	s, err := c.OpenStream(t.Context(), protocol.Program, protocol.ProcDomainOpenConsole, &protocol.DomainOpenConsoleArgs{}, nil)
	require.NoError(t, err)
	got, err := s.Recv(t.Context())
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))
	return s, <-opened
}

func TestStreamFinish(t *testing.T) {
	c, p := dial(t)
	s, h := console(t, c, p)
	require.NoError(t, s.Send([]byte("ls\n")))
	assert.Equal(t, "ls\n", string(p.read().Payload))
	big := make([]byte, frame.MaxStreamData+10)
	go func() { assert.NoError(t, s.Send(big)) }()
	assert.Len(t, p.read().Payload, frame.MaxStreamData)
	assert.Len(t, p.read().Payload, 10)
	p.write(h, nil)
	_, err := s.Recv(t.Context())
	assert.Equal(t, io.EOF, err)
	go func() {
		finish := p.read().Header
		assert.Equal(t, frame.OK, finish.Status)
		p.write(h, data("late"))
		p.write(finish, nil)
	}()
	require.NoError(t, s.Finish(t.Context()))
	got, err := s.Recv(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "late", string(got))
	_, err = s.Recv(t.Context())
	assert.Equal(t, io.EOF, err)
}

func TestStreamAbort(t *testing.T) {
	c, p := dial(t)
	s, _ := console(t, c, p)
	go func() {
		abort := p.read().Header
		assert.Equal(t, frame.Error, abort.Status)
		abort.Status = frame.OK
		p.write(abort, nil)
	}()
	assert.NoError(t, s.Abort(t.Context()))
}

func TestStreamFailure(t *testing.T) {
	c, p := dial(t)
	s, h := console(t, c, p)
	p.refuse(h, &protocol.Error{Code: 39, Domain: 38, Message: new("stream had I/O failure")})
	_, err := s.Recv(t.Context())
	var refusal *Error
	require.ErrorAs(t, err, &refusal)
	assert.EqualValues(t, 38, refusal.Domain)
}

func TestStreamRefused(t *testing.T) {
	c, p := dial(t)
	go func() { p.refuse(p.read().Header, &protocol.Error{Code: 55}) }()
	_, err := c.OpenStream(t.Context(), protocol.Program, protocol.ProcDomainOpenConsole, &protocol.DomainOpenConsoleArgs{}, nil)
	assert.Error(t, err)
}

func TestEndByTheServer(t *testing.T) {
	c, p := dial(t)
	s, _ := console(t, c, p)
	go func() { p.read(); p.conn.Close() }()
	assert.Equal(t, io.EOF, c.Remote(t.Context(), protocol.ProcConnectGetType, nil, nil))
	_, err := s.Recv(t.Context())
	assert.Equal(t, io.ErrUnexpectedEOF, err)
	assert.Equal(t, io.EOF, c.Remote(t.Context(), protocol.ProcConnectGetType, nil, nil), "and every call after")
	assert.Error(t, s.Send([]byte("x")))
}

func TestCloseFailsWhatIsInFlight(t *testing.T) {
	c, p := dial(t)
	go func() { p.read(); c.Close() }()
	assert.ErrorIs(t, c.Remote(t.Context(), protocol.ProcConnectGetType, nil, nil), ErrClosed)
	assert.NoError(t, c.Close())
}

func TestKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mine, theirs := net.Pipe()
		c, p := ends(t, mine, theirs, KeepAlive(5*time.Second, 2))
		ping := frame.Header{Program: protocol.KeepaliveProgram, Version: 1, Procedure: protocol.KeepalivePing, Type: frame.Message}
		pong := ping
		pong.Procedure = protocol.KeepalivePong
		start := time.Now()
		assert.Equal(t, ping, p.read().Header)
		assert.Equal(t, 5*time.Second, time.Since(start))
		p.write(pong, nil)
		assert.Equal(t, ping, p.read().Header)
		p.write(ping, nil)
		assert.Equal(t, pong, p.read().Header)
		assert.EqualValues(t, 1, c.Pings())
		p.read()
		p.read()
		assert.NoError(t, c.Err())
		<-c.Done()
		assert.ErrorIs(t, c.Err(), ErrKeepAlive)
	})
}

func TestMute(t *testing.T) {
	c, p := dial(t, Mute())
	p.write(frame.Header{Program: protocol.KeepaliveProgram, Version: 1, Procedure: protocol.KeepalivePing, Type: frame.Message}, nil)
	go func() {
		for range 2 {
			call := p.read()
			assert.EqualValues(t, protocol.Program, call.Header.Program, "a call, not a pong")
			p.reply(call.Header, nil)
		}
	}()
	for range 2 {
		assert.NoError(t, c.Remote(t.Context(), protocol.ProcConnectClose, nil, nil))
		assert.EqualValues(t, 1, c.Pings(), "the ping came before the first answer")
	}
}

func TestDial(t *testing.T) {
	path := t.TempDir() + "/sock"
	_, err := Dial(path)
	assert.Error(t, err)
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	defer l.Close()
	c, err := Dial(path)
	require.NoError(t, err)
	assert.NoError(t, c.Close())
}

func BenchmarkCalls(b *testing.B) {
	c, p := dial(b)
	go func() {
		var packet frame.Packet
		for p.reader.Read(&packet) == nil {
			p.reply(packet.Header, nil)
		}
	}()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := c.Remote(context.Background(), protocol.ProcConnectClose, nil, nil); err != nil {
				b.Error(err)
			}
		}
	})
}
