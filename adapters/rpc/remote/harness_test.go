package remote

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/adapters/rpc/xdr"
	"virtlxcd/domain/access"
	"virtlxcd/ports"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for an answer that should be there at once.
const patience = 20 * time.Second

// peer is the other end of a served session.
type peer struct {
	t      testing.TB
	driver *stub
	conn   *net.UnixConn
	reader *frame.Reader
	serial uint32
	// session is the served side, once it has begun.
	session chan *rpc.Session
	done    chan struct{} // closed when the session is over, hooks included
}

// how says what kind of client connects.
type how struct {
	caller access.Caller
	socket rpc.Socket
	quick  bool
	keeper ports.Gatekeeper
}

// connect serves one session of a server on the stub. Nothing is left of it when
// the test ends.
func connect(t testing.TB, driver *stub, h how) *peer { return connectTo(t, driver, driver, h) }

// connectTo is connect with a connector in front of the stub.
func connectTo(t testing.TB, driver *stub, connector ports.Connector, h how) *peer {
	service := New(connector, printer{}, Options{Log: slog.New(slog.DiscardHandler), QuickReads: h.quick, Gatekeeper: h.keeper})
	options := rpc.DefaultOptions()
	session := make(chan *rpc.Session, 1)
	options.Start = func(s *rpc.Session) {
		service.Start(s)
		session <- s
	}
	server := rpc.New(options, slog.New(slog.DiscardHandler), service.Programs()...)
	ours, theirs := socketPair(t)
	p := &peer{t: t, driver: driver, conn: ours, reader: frame.NewReader(ours), session: session, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		server.ServeConn(theirs, h.caller, h.socket)
	}()
	t.Cleanup(func() {
		ours.Close()
		<-p.done
		require.NoError(t, server.Close(context.Background()))
	})
	require.NoError(t, ours.SetDeadline(time.Now().Add(patience)))
	return p
}

func socketPair(t testing.TB) (a, b *net.UnixConn) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	return socketOf(t, fds[0]), socketOf(t, fds[1])
}

func socketOf(t testing.TB, fd int) *net.UnixConn {
	file := os.NewFile(uintptr(fd), "pair")
	defer file.Close()
	conn, err := net.FileConn(file)
	require.NoError(t, err)
	return conn.(*net.UnixConn)
}

// open is connect by a client that has opened its connection.
func open(t testing.TB, driver *stub, h how) *peer {
	p := connect(t, driver, h)
	name := defaultURI
	p.must(protocol.ProcConnectOpen, &protocol.ConnectOpenArgs{Name: &name}, nil)
	return p
}

// send sends a call to the remote program.
func (p *peer) send(procedure int32, args protocol.Message) {
	p.sendTo(protocol.Program, procedure, args)
}

func (p *peer) sendTo(program uint32, procedure int32, args protocol.Message) {
	p.t.Helper()
	p.serial++
	packet := frame.AppendHeader(nil, frame.Header{Program: program, Version: 1, Procedure: procedure, Serial: p.serial})
	if args != nil {
		var err error
		packet, err = args.AppendXDR(packet)
		require.NoError(p.t, err)
	}
	p.write(packet)
}

// write sends a packet whose length is filled in here.
func (p *peer) write(packet []byte) {
	p.t.Helper()
	p.driver.settle()
	binary.BigEndian.PutUint32(packet, uint32(len(packet)))
	_, err := p.conn.Write(packet)
	require.NoError(p.t, err)
}

func (p *peer) receive() *frame.Packet {
	p.t.Helper()
	packet := new(frame.Packet)
	require.NoError(p.t, p.reader.Read(packet))
	p.driver.settle()
	return packet
}

// ask makes a call and decodes the answer into ret, or returns the error.
func (p *peer) ask(procedure int32, args, ret protocol.Message) *protocol.Error {
	p.t.Helper()
	return p.askOf(protocol.Program, procedure, args, ret)
}

func (p *peer) askOf(program uint32, procedure int32, args, ret protocol.Message) *protocol.Error {
	p.t.Helper()
	p.sendTo(program, procedure, args)
	answer := p.receive()
	require.Equal(p.t, p.serial, answer.Header.Serial)
	require.Equal(p.t, procedure, answer.Header.Procedure)
	d := xdr.NewDecoder(answer.Payload)
	if answer.Header.Status == frame.Error {
		failure := new(protocol.Error)
		require.NoError(p.t, failure.DecodeXDR(d))
		require.Zero(p.t, d.Remaining())
		return failure
	}
	if row := protocol.Find(program, procedure); ret == nil && row.Ret != nil {
		ret = row.Ret() // the answer has to follow its schema even if nobody wants it
	}
	if ret != nil {
		require.NoError(p.t, ret.DecodeXDR(d))
	}
	require.Zero(p.t, d.Remaining(), "bytes behind the answer")
	return nil
}

// must is ask for calls that succeed.
func (p *peer) must(procedure int32, args, ret protocol.Message) {
	p.t.Helper()
	failure := p.ask(procedure, args, ret)
	if failure != nil {
		require.FailNow(p.t, "call failed", *failure.Message)
	}
}

// refused is ask for calls that fail; it returns code, origin and message.
func (p *peer) refused(procedure int32, args protocol.Message) (code, from int32, message string) {
	p.t.Helper()
	failure := p.ask(procedure, args, nil)
	require.NotNil(p.t, failure, "call succeeded")
	require.EqualValues(p.t, severity, failure.Level)
	return failure.Code, failure.Domain, *failure.Message
}
