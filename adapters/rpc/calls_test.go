package rpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc/frame"
)

// TestPipelined sends more calls than may run at a time: all are answered, never
// more than five run, and pings behind the waiting ones are answered at once.
func TestPipelined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		options := DefaultOptions()
		bench := newBench(options)
		c := bench.pipe(t)
		for serial := range uint32(40) {
			c.call(procWait, serial)
		}
		c.send(frame.Header{Program: keep, Version: 1, Procedure: 1, Type: frame.Message}, nil)
		assert.EqualValues(t, keep, c.receive().Header.Program, "a ping overtakes calls without a slot")
		synctest.Wait()
		assert.Len(t, bench.started, options.MaxRequests)

		seen := make(map[uint32]bool)
		for i := range 40 {
			bench.release <- struct{}{}
			seen[c.receive().Header.Serial] = true
			synctest.Wait()
			assert.Len(t, bench.started, min(40, options.MaxRequests+i+1), "one goes, one comes")
		}
		assert.Len(t, seen, 40)
		assert.Equal(t, 1, bench.log.count("Client hit max requests limit 5. This may result in keep-alive timeouts. "+
			"Consider tuning the max_client_requests server parameter"))
	})
}

// TestSlotsCountUnreadAnswers: an answer that the client does not read keeps its slot.
func TestSlotsCountUnreadAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bench := newBench(DefaultOptions())
		c := bench.pipe(t)
		for serial := range uint32(20) {
			c.call(procWait, serial)
		}
		for range 5 {
			bench.release <- struct{}{}
		}
		synctest.Wait()
		assert.Len(t, bench.started, 5, "five answers wait to be read")
		c.receive()
		synctest.Wait()
		assert.Greater(t, len(bench.started), 5)
		c.conn.Close()
	})
}

// TestReadingStops: what waits for a slot is bounded; the rest stays with the client.
func TestReadingStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bench := newBench(DefaultOptions())
		c := bench.pipe(t)
		var sent atomic.Int64
		var serial uint32
		go func() {
			payload := make([]byte, 100<<10)
			for {
				_, err := c.conn.Write(encoded(callHeader(procWait, serial), payload))
				if err != nil {
					return
				}
				serial++
				sent.Add(1)
			}
		}()
		synctest.Wait()
		assert.InDelta(t, 5+maxHeld/(100<<10)+1, sent.Load(), 1)
		stopped := sent.Load()
		for range 5 {
			bench.release <- struct{}{}
			c.receive()
		}
		synctest.Wait()
		assert.Equal(t, stopped+5, sent.Load(), "reading goes on as answers leave")
		(<-bench.session).Close()
	})
}

func TestFastOvertakesSlow(t *testing.T) {
	bench := newBench(Options{MaxRequests: 5, MaxWorkers: 1})
	c := bench.pipe(t)
	c.call(procWait, 1)
	<-bench.started
	c.call(procEchoLow, 2) // waits for the only worker
	c.call(procEcho, 3)
	c.reply(3)
	c.call(procEchoInline, 4)
	c.reply(4)
	other := bench.pipe(t)
	other.call(procWaitHigh, 1)
	<-bench.started
	other.call(procEcho, 2)
	other.reply(2)
	assert.Equal(t, Workers{Max: 1, Now: 1, Queued: 1}, bench.server.Workers())
	bench.release <- struct{}{}
	bench.release <- struct{}{}
	c.reply(1)
	c.reply(2)
	other.reply(1)
}

// TestWorkersAreNotHeldByReaders: a client that does not read its answer keeps its
// slot but gives the worker back.
func TestWorkersAreNotHeldByReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bench := newBench(Options{MaxRequests: 5, MaxWorkers: 1})
		lazy, busy := bench.pipe(t), bench.pipe(t)
		lazy.call(procEchoLow, 1)
		synctest.Wait()
		busy.call(procEchoLow, 2)
		busy.reply(2)
		lazy.reply(1)
	})
}

func TestWorkersGrow(t *testing.T) {
	bench := newBench(Options{MaxRequests: 50, MinWorkers: 2, MaxWorkers: 3, PrioWorkers: 4})
	assert.Equal(t, Workers{Min: 2, Max: 3, Prio: 4, Now: 2, Free: 2}, bench.server.Workers())
	c := bench.pipe(t)
	for serial := range uint32(6) {
		c.call(procWait, serial)
	}
	for range 3 {
		<-bench.started
	}
	c.quiet()
	assert.Equal(t, Workers{Min: 2, Max: 3, Prio: 4, Now: 3, Queued: 3}, bench.server.Workers())
	bench.server.SetWorkers(1, 5, 4)
	<-bench.started
	<-bench.started
	assert.Equal(t, Workers{Min: 1, Max: 5, Prio: 4, Now: 5, Queued: 1}, bench.server.Workers())
	for range 6 {
		bench.release <- struct{}{}
		c.receive()
	}
}

// TestHangUpInMidCall: the call's context ends, the call finishes, its answer is
// thrown away, and only then the hooks run. Calls that never got a worker never run.
func TestHangUpInMidCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bench := newBench(Options{MaxRequests: 3, MaxWorkers: 1})
		blocker := bench.pipe(t)
		blocker.call(procWait, 1)
		<-bench.started
		<-bench.session
		c := bench.pipe(t)
		session := <-bench.session
		c.call(procWaitHigh, 1)
		<-bench.started
		for serial := range uint32(8) {
			c.call(procWait, serial+2)
		}
		synctest.Wait()
		assert.Empty(t, bench.gone)
		c.conn.Close()
		<-bench.gone
		assert.Error(t, session.Context().Err())
		assert.Empty(t, bench.started, "a call that had not started must not run")
		assert.Zero(t, bench.server.Workers().Queued)
		synctest.Wait()
		assert.Len(t, bench.server.Sessions(), 1)
		bench.release <- struct{}{}
		blocker.reply(1)
	})
}

func TestHooks(t *testing.T) {
	bench := newBench(DefaultOptions())
	c := bench.pipe(t)
	c.quiet()
	session := <-bench.session
	var order []int
	session.OnClose(func() { order = append(order, 1) })
	session.OnClose(func() { order = append(order, 2) })
	session.Close()
	session.Close()
	<-bench.gone
	assert.Equal(t, []int{2, 1}, order)
	require.NoError(t, bench.server.Close(context.Background()))
	session.OnClose(func() { order = append(order, 3) })
	assert.Equal(t, []int{2, 1, 3}, order, "a late hook runs at once")
	session.SendEvent(1, 1, nil)
	session.EnableKeepalive()
}

// TestAnswersAreWhole mixes large and small answers and events from many goroutines.
func TestAnswersAreWhole(t *testing.T) {
	bench := newBench(Options{MaxRequests: 8, MaxWorkers: 8})
	c := bench.unix(t)
	c.quiet()
	session := <-bench.session
	const calls, events = 400, 400
	go func() {
		for i := range uint32(events) {
			session.SendEvent(testProgram, 318, Raw(binary.BigEndian.AppendUint32(nil, i)))
		}
	}()
	go func() {
		procedures := []int32{procEcho, procEchoInline, procEchoLow}
		for serial := range uint32(calls) {
			payload := bytes.Repeat([]byte{byte(serial)}, int(4*(serial*serial%9000)))
			if _, err := c.conn.Write(encoded(callHeader(procedures[serial%3], serial), payload)); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	next := uint32(0)
	answered := make(map[uint32]bool)
	for range calls + events {
		packet := c.receive()
		if packet.Header.Type == frame.Message {
			require.Equal(t, next, binary.BigEndian.Uint32(packet.Payload), "events keep their order")
			next++
			continue
		}
		serial := packet.Header.Serial
		require.False(t, answered[serial])
		answered[serial] = true
		size := int(4 * (serial * serial % 9000))
		require.True(t, bytes.Equal(packet.Payload, bytes.Repeat([]byte{byte(serial)}, size)))
	}
}
