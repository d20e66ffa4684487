package rpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc/frame"
)

// terminal is the test's end of a stream's source.
type terminal struct {
	net.Conn
	closed chan struct{} // closed when the server has closed its end
}

// console is the server's end. It may be closed only once.
type console struct {
	net.Conn
	closed chan struct{}
}

func (c *console) Close() error {
	close(c.closed)
	return c.Conn.Close()
}

// streamBench opens terminals; the other ends come out of the channel.
func streamBench(options Options) (*bench, chan *terminal) {
	b := newBench(options)
	ends := make(chan *terminal, 10)
	b.source = func() io.ReadWriteCloser {
		ours, theirs := net.Pipe()
		closed := make(chan struct{})
		ends <- &terminal{Conn: ours, closed: closed}
		return &console{Conn: theirs, closed: closed}
	}
	return b, ends
}

func streamHeader(serial uint32, status frame.Status) frame.Header {
	header := callHeader(procStream, serial)
	header.Type, header.Status = frame.Stream, status
	return header
}

// opened opens a stream with serial 8.
func (c *client) opened(ends chan *terminal) *terminal {
	c.t.Helper()
	c.call(procStream, 8)
	c.reply(8)
	return <-ends
}

func (c *client) expectStream(status frame.Status, data string) {
	c.t.Helper()
	packet := c.receive()
	require.Equal(c.t, streamHeader(8, status), packet.Header)
	require.Equal(c.t, data, string(packet.Payload))
}

func TestStreamBothWays(t *testing.T) {
	bench, ends := streamBench(DefaultOptions())
	c := bench.pipe(t)
	end := c.opened(ends)
	go end.Write([]byte("hello"))
	c.expectStream(frame.Continue, "hello")
	c.send(streamHeader(8, frame.Continue), []byte("echo hi\r"))
	c.send(streamHeader(8, frame.Continue), []byte("x"))
	got := make([]byte, 9)
	_, err := io.ReadFull(end, got)
	require.NoError(t, err)
	assert.Equal(t, "echo hi\rx", string(got))

	c.send(streamHeader(8, frame.OK), nil)
	c.expectStream(frame.OK, "")
	<-end.closed
	c.send(streamHeader(8, frame.Continue), []byte("late"))
	c.send(streamHeader(8, frame.OK), nil)
	c.send(streamHeader(8, frame.Error), nil)
	c.quiet()
	c.opened(ends) // the serial may be used again
}

func TestStreamEnds(t *testing.T) {
	rows := []struct {
		name string
		do   func(c *client, end *terminal)
		want func(t *testing.T, c *client)
	}{
		{"finish", func(c *client, _ *terminal) { c.send(streamHeader(8, frame.OK), nil) }, confirmed},
		{"abort", func(c *client, _ *terminal) { c.send(streamHeader(8, frame.Error), nil) }, confirmed},
		{"finish and abort", func(c *client, _ *terminal) {
			c.send(streamHeader(8, frame.OK), nil)
			c.send(streamHeader(8, frame.Error), nil)
		}, confirmed},
		{"odd status", func(c *client, _ *terminal) { c.send(streamHeader(8, 5), nil) },
			failedWith(39, 38, "stream aborted with unexpected status 5")},
		{"end of source, then finish", func(c *client, end *terminal) {
			end.Close()
			c.expectStream(frame.Continue, "")
			c.send(streamHeader(8, frame.OK), nil)
		}, confirmed},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			bench, ends := streamBench(DefaultOptions())
			c := bench.pipe(t)
			end := c.opened(ends)
			row.do(c, end)
			row.want(t, c)
			<-end.closed
			c.quiet()
		})
	}
}

func confirmed(t *testing.T, c *client) {
	t.Helper()
	c.expectStream(frame.OK, "")
}

func failedWith(code, domain int32, text string) func(*testing.T, *client) {
	return func(t *testing.T, c *client) {
		t.Helper()
		failure := c.failure(frame.Stream, 8)
		assert.Equal(t, code, failure.Code)
		assert.Equal(t, domain, failure.Domain)
		assert.Equal(t, text, *failure.Message)
	}
}

// broken fails on one side.
type broken struct {
	readErr, writeErr error
	closed            chan struct{}
	once              sync.Once
}

func (b *broken) Read([]byte) (int, error) {
	if b.readErr != nil {
		return 0, b.readErr
	}
	<-b.closed
	return 0, os.ErrClosed
}

func (b *broken) Write([]byte) (int, error) { return 0, b.writeErr }

func (b *broken) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

func TestStreamFailures(t *testing.T) {
	rows := []struct {
		name   string
		source *broken
		want   func(*testing.T, *client)
	}{
		{"source", &broken{readErr: errors.New("no more")}, failedWith(39, 38, "stream had I/O failure")},
		{"sink", &broken{writeErr: &os.PathError{Op: "write", Err: syscall.EIO}},
			failedWith(38, 38, "cannot write to stream: Input/output error")},
		{"sink gone", &broken{writeErr: io.ErrClosedPipe}, failedWith(39, 38, "stream had unexpected termination")},
		{"sink odd", &broken{writeErr: errors.New("odd")}, failedWith(39, 38, "stream had I/O failure")},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			bench := newBench(DefaultOptions())
			row.source.closed = make(chan struct{})
			bench.source = func() io.ReadWriteCloser { return row.source }
			c := bench.pipe(t)
			c.call(procStream, 8)
			c.reply(8)
			if row.source.writeErr != nil {
				c.send(streamHeader(8, frame.Continue), []byte("abc"))
			}
			row.want(t, c)
			<-row.source.closed
			c.send(streamHeader(8, frame.OK), nil) // the stream is gone: no answer
			c.quiet()
		})
	}
}

func TestHoleIntoOpenStreamCloses(t *testing.T) {
	bench, ends := streamBench(DefaultOptions())
	c := bench.pipe(t)
	end := c.opened(ends)
	header := streamHeader(8, frame.Continue)
	header.Type = frame.StreamHole
	c.send(header, make([]byte, 12))
	c.closed()
	<-end.closed
	<-bench.gone
}

func TestStreamsEndWithTheSession(t *testing.T) {
	bench, ends := streamBench(DefaultOptions())
	c := bench.pipe(t)
	first := c.opened(ends)
	c.call(procStream, 9)
	c.reply(9)
	second := <-ends
	c.send(streamHeader(8, frame.Continue), []byte("nobody reads this"))
	c.conn.Close()
	<-first.closed
	<-second.closed
	<-bench.gone
}

// TestSecondAnswerIsClosed: a stream given as a second answer is not leaked.
func TestSecondAnswerIsClosed(t *testing.T) {
	bench := newBench(DefaultOptions())
	ours, theirs := net.Pipe()
	bench.server.programs = []Program{{Number: testProgram, Version: 1, Procedure: func(int32) *Procedure {
		return &Procedure{Handle: func(_ context.Context, call *Call) {
			call.Reply(nil)
			call.ReplyStream(theirs)
		}}
	}}}
	c := bench.pipe(t)
	c.call(1, 1)
	c.reply(1)
	_, err := ours.Read(make([]byte, 1))
	assert.ErrorIs(t, err, io.EOF)
}

// TestPanicAfterStream: the stream of a handler that panics is not leaked.
func TestPanicAfterStream(t *testing.T) {
	bench := newBench(DefaultOptions())
	ours, theirs := net.Pipe()
	bench.server.programs = []Program{{Number: testProgram, Version: 1, Procedure: func(int32) *Procedure {
		return &Procedure{Handle: func(_ context.Context, call *Call) {
			call.ReplyStream(theirs)
			panic("deliberate")
		}}
	}}}
	c := bench.pipe(t)
	c.call(1, 1)
	c.failure(frame.Reply, 1)
	_, err := ours.Read(make([]byte, 1))
	assert.ErrorIs(t, err, io.EOF)
}

func TestStreamSerialInUse(t *testing.T) {
	bench, ends := streamBench(DefaultOptions())
	c := bench.pipe(t)
	first := c.opened(ends)
	c.call(procStream, 8)
	assert.EqualValues(t, 39, c.failure(frame.Reply, 8).Code)
	second := <-ends
	<-second.closed
	go first.Write([]byte("still there"))
	c.expectStream(frame.Continue, "still there")
}

// endless yields data without end and counts it.
type endless struct {
	mu     sync.Mutex
	served int
	broken
}

func (e *endless) Read(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.served += len(p)
	return len(p), nil
}

func (e *endless) Write(p []byte) (int, error) { return len(p), nil }

// TestSourceWaitsForClient: a client that does not read stops the source; one that
// does gets ever larger packets, up to what old clients accept.
func TestSourceWaitsForClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bench := newBench(DefaultOptions())
		source := &endless{broken: broken{closed: make(chan struct{})}}
		bench.source = func() io.ReadWriteCloser { return source }
		c := bench.pipe(t)
		c.call(procStream, 8)
		c.reply(8)
		synctest.Wait()
		assert.Equal(t, firstRead, source.served, "one packet is on its way")
		largest := 0
		for range 20 {
			packet := c.receive()
			largest = max(largest, len(packet.Payload))
		}
		assert.Equal(t, 262120, largest)
		synctest.Wait()
		stopped := source.served
		c.send(streamHeader(8, frame.Error), nil)
		synctest.Wait()
		packet := c.receive() // what was on its way
		assert.Equal(t, frame.Continue, packet.Header.Status)
		c.expectStream(frame.OK, "")
		assert.LessOrEqual(t, source.served, stopped+largest)
	})
}

// TestSinkThatTakesNothing: data for a stream that nobody reads is bounded, takes no
// call's slot, and abort gets through.
func TestSinkThatTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bench, ends := streamBench(DefaultOptions())
		c := bench.pipe(t)
		end := c.opened(ends)
		for range 1000 {
			c.send(streamHeader(8, frame.Continue), []byte("x"))
		}
		c.quiet()
		c.send(frame.Header{Program: keep, Version: 1, Procedure: 1, Type: frame.Message}, nil)
		assert.Equal(t, pongHeader, c.receive().Header)
		c.send(streamHeader(8, frame.OK), nil)
		c.quiet()
		c.send(streamHeader(8, frame.Error), nil)
		c.expectStream(frame.OK, "")
		<-end.closed
		session := <-bench.session
		synctest.Wait()
		assert.Zero(t, session.inbox.bytes)
	})
}

// TestSinkLimit: reading stops when too much waits for a sink and goes on when it is
// taken; nothing is lost.
func TestSinkLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bench, ends := streamBench(DefaultOptions())
		c := bench.pipe(t)
		end := c.opened(ends)
		const packets, size = 40, 100 << 10
		sent := 0
		go func() {
			for i := range packets {
				data := bytes.Repeat([]byte{byte(i)}, size)
				if _, err := c.conn.Write(encoded(streamHeader(8, frame.Continue), data)); err != nil {
					return
				}
				sent++
			}
			c.conn.Write(encoded(streamHeader(8, frame.OK), nil))
		}()
		synctest.Wait()
		assert.InDelta(t, maxHeld/size, sent, 3)
		for i := range packets {
			got := make([]byte, size)
			_, err := io.ReadFull(end, got)
			require.NoError(t, err)
			require.Equal(t, bytes.Repeat([]byte{byte(i)}, size), got)
		}
		c.expectStream(frame.OK, "")
	})
}

// halves notes that the client has no more data.
type halves struct {
	net.Conn
	half chan struct{}
}

func (h *halves) CloseWrite() error {
	close(h.half)
	return nil
}

func TestClientHasNoMoreData(t *testing.T) {
	bench := newBench(DefaultOptions())
	ours, theirs := net.Pipe()
	source := &halves{Conn: theirs, half: make(chan struct{})}
	bench.source = func() io.ReadWriteCloser { return source }
	c := bench.pipe(t)
	c.call(procStream, 8)
	c.reply(8)
	c.send(streamHeader(8, frame.Continue), nil)
	<-source.half
	go ours.Write([]byte("more"))
	c.expectStream(frame.Continue, "more")
	c.send(streamHeader(8, frame.OK), nil)
	c.expectStream(frame.OK, "")
}

// TestManyStreams runs echoes side by side over one socket.
func TestManyStreams(t *testing.T) {
	bench, ends := streamBench(DefaultOptions())
	c := bench.unix(t)
	const count = 20
	for serial := range uint32(count) {
		c.call(procStream, serial)
		c.reply(serial)
		end := <-ends
		go io.Copy(end, end)
	}
	for serial := range uint32(count) {
		c.send(streamHeader(serial, frame.Continue), []byte{byte(serial), 1})
	}
	got := make(map[uint32]string)
	for len(got) < count || !allOf(got, 2) {
		packet := c.receive()
		got[packet.Header.Serial] += string(packet.Payload)
	}
	for serial := range uint32(count) {
		assert.Equal(t, string([]byte{byte(serial), 1}), got[serial])
	}
	require.NoError(t, bench.server.Close(context.Background()))
}

func allOf(got map[uint32]string, size int) bool {
	for _, text := range got {
		if len(text) < size {
			return false
		}
	}
	return true
}
