package rpc

import (
	"io"
	"net"
	"testing"

	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/domain/access"
)

// FuzzSession feeds bytes to a session. It must neither panic nor leave anything
// running (the package checks for goroutines when the tests end), and it must end
// when the client hangs up.
func FuzzSession(f *testing.F) {
	for _, row := range refused {
		f.Add(encoded(row.header, []byte("abcd")))
	}
	stream := encoded(callHeader(procStream, 8), nil)
	for status := frame.OK; status < 4; status++ {
		stream = append(stream, encoded(streamHeader(8, status), []byte("data"))...)
	}
	f.Add(stream)
	f.Add(append(encoded(callHeader(procClose, 8), nil), encoded(callHeader(procEcho, 8), nil)...))
	f.Add(encoded(frame.Header{Program: keep, Version: 1, Procedure: 1, Type: frame.Message}, nil))
	f.Add([]byte{0, 0, 0, 32, 0x20, 0, 0x80, 0x86, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0})

	f.Fuzz(func(t *testing.T, data []byte) {
		bench := newBench(DefaultOptions())
		close(bench.release)
		bench.source = func() io.ReadWriteCloser {
			ours, theirs := net.Pipe()
			go io.Copy(ours, ours)
			return theirs
		}
		ours, theirs := net.Pipe()
		done := make(chan error)
		go func() { done <- bench.server.ServeConn(theirs, access.Caller{}, Socket{}) }()
		go io.Copy(io.Discard, ours)
		ours.Write(data) // fails when the session has ended already
		ours.Close()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if len(bench.gone) != 1 {
			t.Fatal("hooks did not run once")
		}
	})
}
