package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/adapters/rpc/protocol"
)

// request is a whole packet, made once and sent again and again. Its serial is always 0:
// the server does not look whether it repeats.
// What cannot be encoded is a mistake in this program, hence the panic.
func request(procedure int32, args protocol.Message) []byte {
	packet := frame.AppendHeader(nil, frame.Header{Program: protocol.Program, Version: protocol.ProtocolVersion, Procedure: procedure, Type: frame.Call})
	if args != nil {
		var err error
		if packet, err = args.AppendXDR(packet); err != nil {
			panic(err) // the arguments are ours
		}
	}
	if err := frame.Finish(packet); err != nil {
		panic(err)
	}
	return packet
}

// hammer sends the same call over n connections for a while and returns the
// calls a second. It does as little as a client can, so that the daemon is
// what is measured.
// Calls are counted that were answered before the deadline or were under way then.
// The error of any connection makes the figure worthless, so it is returned instead.
func (b *benchmark) hammer(call []byte, n int, long time.Duration) (float64, error) {
	var calls atomic.Int64
	var failed atomic.Pointer[error]
	var work sync.WaitGroup
	deadline := time.Now().Add(long)
	for range n {
		work.Go(func() {
			done, err := strike(b.socket, call, deadline)
			calls.Add(done)
			if err != nil {
				failed.Store(&err)
			}
		})
	}
	work.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(calls.Load()) / long.Seconds(), nil
}

// strike is one connection of hammer: it opens the driver and then calls until the deadline,
// one call at a time.
// Each connection has its own goroutine and waits for each reply: 64 of them are 64
// calls under way, as of 64 clients.
func strike(socket string, call []byte, deadline time.Time) (done int64, err error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	replies := bufio.NewReaderSize(conn, 64<<10)
	// The shortest way in: no features asked for, no keepalive, no events.
	name := "lxc:///system"
	for _, opening := range [][]byte{
		request(protocol.ProcAuthList, nil),
		request(protocol.ProcConnectOpen, &protocol.ConnectOpenArgs{Name: &name}),
	} {
		if err := exchange(conn, replies, opening); err != nil {
			return 0, err
		}
	}
	for time.Now().Before(deadline) {
		if err := exchange(conn, replies, call); err != nil {
			return done, err
		}
		done++
	}
	return done, nil
}

// exchange sends a call and skips its reply, which must say that all is well: an error that
// came quickly would look like speed. The status is the last word of the header.
// The body is not decoded: that would measure the client.
func exchange(conn net.Conn, replies *bufio.Reader, call []byte) error {
	if _, err := conn.Write(call); err != nil {
		return err
	}
	var header [frame.HeaderSize]byte
	if _, err := io.ReadFull(replies, header[:]); err != nil {
		return err
	}
	rest := int(binary.BigEndian.Uint32(header[:])) - len(header)
	if status := binary.BigEndian.Uint32(header[24:]); status != 0 {
		text := make([]byte, min(rest, 200))
		io.ReadFull(replies, text)
		return fmt.Errorf("the call was refused: %q", text)
	}
	_, err := replies.Discard(rest)
	return err
}
