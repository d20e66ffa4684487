package remote

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/domain/access"
)

// panics counts what the server logs when a handler panics.
type panics struct{ atomic.Int32 }

func (p *panics) Write(line []byte) (int, error) {
	if strings.Contains(string(line), "panicked") || strings.Contains(string(line), "answered twice") {
		p.Add(1)
	}
	return len(line), nil
}

// FuzzCall sends any call with any arguments, on an open connection and before.
// The server may refuse, but no handler may panic, and an answer, if there is one,
// follows the schema of the call.
func FuzzCall(f *testing.F) {
	name := defaultURI
	seed := func(procedure int32, args protocol.Message) {
		payload := []byte(nil)
		if args != nil {
			payload, _ = args.AppendXDR(nil)
		}
		for program := range uint8(3) {
			f.Add(program, procedure, payload, true, false)
		}
		f.Add(uint8(0), procedure, payload, false, true)
	}
	for _, row := range protocol.Procedures(protocol.Program) {
		if row.Callable() {
			seed(row.Number, emptyArgs(&row))
		}
	}
	seed(protocol.ProcConnectOpen, &protocol.ConnectOpenArgs{Name: &name})
	seed(protocol.ProcDomainSetMetadata, &protocol.DomainSetMetadataArgs{Dom: cap1, Type: 2, Metadata: &name, Key: &name, URI: &name})
	seed(protocol.ProcConnectSetIdentity, identity(protocol.ULLongParam("unix-user-id", 3)))
	f.Fuzz(func(t *testing.T, program uint8, procedure int32, payload []byte, opened, quick bool) {
		if len(payload) > 1<<16 {
			return
		}
		number := []uint32{protocol.Program, protocol.LxcProgram, protocol.QemuProgram}[program%3]
		fuzzOne(t, number, procedure, payload, opened, quick)
	})
}

func fuzzOne(t *testing.T, program uint32, procedure int32, payload []byte, opened, quick bool) {
	log := new(panics)
	logger := slog.New(slog.NewTextHandler(log, nil))
	driver := &stub{containers: list(running(7)), console: &deafConsole{}, namespaces: nullFiles(t, 1)}
	defer driver.namespaces[0].Close()
	service := New(driver, printer{}, Options{Log: logger, QuickReads: quick})
	options := rpc.DefaultOptions()
	options.Start = service.Start
	server := rpc.New(options, logger, service.Programs()...)
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.ServeConn(theirs, access.Caller{}, rpc.Socket{})
	}()
	reader := frame.NewReader(ours)
	if opened {
		name := defaultURI
		args, err := (&protocol.ConnectOpenArgs{Name: &name}).AppendXDR(nil)
		require.NoError(t, err)
		exchange(t, ours, reader, protocol.Program, protocol.ProcConnectOpen, args)
	}
	// Descriptors cannot pass here, so that call may end the connection.
	if answer := exchange(t, ours, reader, program, procedure, payload); answer != nil {
		checkAnswer(t, program, procedure, answer)
	}
	ours.Close()
	<-done
	require.NoError(t, server.Close(context.Background()))
	require.Zero(t, log.Load(), "a handler panicked")
}

// exchange makes a call; no answer means that the server hung up.
func exchange(t *testing.T, conn net.Conn, reader *frame.Reader, program uint32, procedure int32, payload []byte) *frame.Packet {
	packet := append(frame.AppendHeader(nil, frame.Header{Program: program, Version: 1, Procedure: procedure, Serial: 9}), payload...)
	binary.BigEndian.PutUint32(packet, uint32(len(packet)))
	sent := make(chan error, 1)
	go func() {
		_, err := conn.Write(packet)
		sent <- err
	}()
	answer := new(frame.Packet)
	err := reader.Read(answer)
	<-sent
	if err != nil {
		require.ErrorIs(t, err, io.EOF)
		return nil
	}
	return answer
}

func checkAnswer(t *testing.T, program uint32, procedure int32, answer *frame.Packet) {
	row := protocol.Find(program, procedure)
	var want protocol.Message
	switch {
	case answer.Header.Status == frame.Error:
		want = new(protocol.Error)
	case row != nil && row.Ret != nil:
		want = row.Ret()
	default:
		require.Empty(t, answer.Payload)
		return
	}
	d := decoderOf(answer)
	require.NoError(t, want.DecodeXDR(d))
	require.Zero(t, d.Remaining())
}
