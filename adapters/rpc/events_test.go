package rpc

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"

	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/adapters/rpc/protocol"
)

func TestEvent(t *testing.T) {
	bench := newBench(DefaultOptions())
	c := bench.pipe(t)
	session := <-bench.session
	session.SendEvent(testProgram, 318, &protocol.Error{Message: ptr(strings.Repeat("x", maxText+1))})
	session.SendEvent(testProgram, 318, Raw{0, 0, 0, 27})
	packet := c.receive()
	want := callHeader(318, 1)
	want.Type = frame.Message
	assert.Equal(t, want, packet.Header)
	assert.Equal(t, []byte{0, 0, 0, 27}, packet.Payload)
	c.quiet()
}

// TestEventsNobodyReads: the sender never waits, and the client that lets the queue
// overflow is disconnected, by number as well as by size.
func TestEventsNobodyReads(t *testing.T) {
	for _, row := range []struct{ size, fits int }{
		{0, maxEvents}, {1 << 20, maxEventBytes / (1<<20 + frame.HeaderSize)},
	} {
		synctest.Test(t, func(t *testing.T) {
			bench := newBench(DefaultOptions())
			c := bench.pipe(t)
			session := <-bench.session
			body := Raw(make([]byte, row.size))
			session.SendEvent(testProgram, 318, body) // goes to the writer, who waits
			synctest.Wait()
			for range row.fits {
				session.SendEvent(testProgram, 318, body)
			}
			synctest.Wait()
			assert.NoError(t, session.Context().Err())
			session.SendEvent(testProgram, 318, body)
			assert.Error(t, session.Context().Err())
			<-bench.gone
			c.closed()
			assert.Zero(t, len(session.outbox.queue))
		})
	}
}

// TestPongsNobodyReads: a flood of pings does not fill the memory.
func TestPongsNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bench := newBench(DefaultOptions())
		c := bench.pipe(t)
		session := <-bench.session
		session.SendEvent(testProgram, 318, nil) // its writer waits for the client
		synctest.Wait()
		for range 10 * maxPongs {
			c.send(frame.Header{Program: keep, Version: 1, Procedure: 1, Type: frame.Message}, nil)
		}
		synctest.Wait()
		assert.Len(t, session.outbox.queue, maxPongs)
		for range 1 + maxPongs {
			c.receive()
		}
		c.quiet()
	})
}
