package rpc

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc/frame"
)

// openFiles makes files that hold the texts.
func openFiles(t *testing.T, texts ...string) []*os.File {
	var files []*os.File
	for _, text := range texts {
		path := filepath.Join(t.TempDir(), "file")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		file, err := os.Open(path)
		require.NoError(t, err)
		t.Cleanup(func() { file.Close() })
		files = append(files, file)
	}
	return files
}

func (c *client) callFiles(procedure int32, serial uint32, files []*os.File) {
	c.t.Helper()
	header := callHeader(procedure, serial)
	header.Type = frame.CallWithFDs
	packet := frame.AppendHeaderFDs(nil, header, len(files))
	require.NoError(c.t, frame.Finish(packet))
	require.NoError(c.t, frame.Write(c.conn, packet, files))
}

func descriptors(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries)
}

func TestFilesBothWays(t *testing.T) {
	bench := newBench(DefaultOptions())
	c := bench.unix(t)
	files := openFiles(t, "one", "two", "three")
	c.quiet()
	before := descriptors(t)
	for serial := range uint32(10) {
		c.callFiles(procFiles, serial, files)
		packet := c.receive()
		assert.Equal(t, frame.ReplyWithFDs, packet.Header.Type)
		assert.Equal(t, frame.OK, packet.Header.Status)
		assert.Equal(t, "onetwothree", string(packet.Payload))
		require.Len(t, packet.Files, 3)
		assert.Equal(t, "onetwothree", string(readAll(packet.Files)))
		packet.CloseFiles()
	}
	c.conn.Close()
	<-bench.gone
	assert.Equal(t, before-2, descriptors(t), "only the two ends of the connection are gone")
}

func TestNoFilesIsAnOrdinaryReply(t *testing.T) {
	c := newBench(DefaultOptions()).unix(t)
	c.call(procFiles, 1)
	assert.Empty(t, c.reply(1))
}

// TestFilesAreClosed: whatever becomes of a call, files that nobody took are closed.
func TestFilesAreClosed(t *testing.T) {
	bench := newBench(Options{MaxRequests: 1, MaxWorkers: 1})
	c := bench.unix(t)
	files := openFiles(t, "one", "two")
	c.quiet()
	before := descriptors(t)
	for _, procedure := range []int32{procEcho, procEchoInline, procEchoLow, procPanic, 9999} {
		c.callFiles(procedure, 1, files)
		c.receive()
	}
	c.quiet()
	assert.Equal(t, before, descriptors(t))

	c.callFiles(procWait, 1, files)
	<-bench.started
	c.callFiles(procEcho, 2, files) // never served
	c.call(procEcho, 3)
	c.conn.Close()
	<-bench.gone
	assert.LessOrEqual(t, descriptors(t), before-1, "the connection is closed, too")
}

// TestFilesNeedASocket: a connection that can not pass descriptors fails.
func TestFilesNeedASocket(t *testing.T) {
	bench := newBench(DefaultOptions())
	passed := openFiles(t, "one")
	bench.server.programs = []Program{{Number: testProgram, Version: 1, Procedure: func(int32) *Procedure {
		return &Procedure{Handle: func(_ context.Context, call *Call) { call.ReplyFiles(nil, passed...) }}
	}}}
	c := bench.pipe(t)
	c.call(1, 1)
	c.receiveHeader()
	c.closed()
	<-bench.gone
	assert.Error(t, passed[0].Close(), "the server has closed it")
}

// TestTooManyFiles: an answer with more descriptors than a packet may bring.
func TestTooManyFiles(t *testing.T) {
	bench := newBench(DefaultOptions())
	bench.server.programs = []Program{{Number: testProgram, Version: 1, Procedure: func(int32) *Procedure {
		return &Procedure{Handle: func(_ context.Context, call *Call) {
			call.ReplyFiles(nil, make([]*os.File, frame.MaxFDs+1)...)
		}}
	}}}
	c := bench.unix(t)
	c.call(1, 1)
	assert.Equal(t, "Unable to encode message payload", *c.failure(frame.Reply, 1).Message)
}

func TestTakenFilesStayOpen(t *testing.T) {
	bench := newBench(DefaultOptions())
	c := bench.unix(t)
	c.callFiles(procTake, 1, openFiles(t, "mine"))
	c.reply(1)
	c.conn.Close()
	<-bench.gone
	taken := <-bench.taken
	assert.Equal(t, "mine", string(readAll(taken)))
	closeFiles(taken)
}
