package rpc

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc/frame"
)

var pongHeader = frame.Header{Program: keep, Version: 1, Procedure: 2, Type: frame.Message}

// silence collects when pings arrive until the server hangs up.
func (c *client) silence(since time.Time) (pings []time.Duration, end time.Duration) {
	for {
		var packet frame.Packet
		if err := c.reader.Read(&packet); err != nil {
			return pings, time.Since(since)
		}
		require.Equal(c.t, frame.Header{Program: keep, Version: 1, Procedure: 1, Type: frame.Message}, packet.Header)
		pings = append(pings, time.Since(since))
	}
}

func seconds(list ...int) []time.Duration {
	var d []time.Duration
	for _, n := range list {
		d = append(d, time.Duration(n)*time.Second)
	}
	return d
}

func TestKeepaliveSilence(t *testing.T) {
	for _, row := range []struct {
		interval time.Duration
		count    int
		pings    []time.Duration
		end      time.Duration
	}{
		{5 * time.Second, 5, seconds(5, 10, 15, 20, 25), 30 * time.Second},
		{2 * time.Second, 1, seconds(2), 4 * time.Second},
		{3 * time.Second, 0, nil, 3 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			options := DefaultOptions()
			options.KeepaliveInterval, options.KeepaliveCount = row.interval, row.count
			c := newBench(options).pipe(t)
			time.Sleep(time.Minute) // nothing happens before the client asks for it
			c.call(procAlive, 1)
			start := time.Now()
			c.reply(1)
			pings, end := c.silence(start)
			assert.Equal(t, row.pings, pings)
			assert.Equal(t, row.end, end)
		})
	}
}

func TestKeepaliveOff(t *testing.T) {
	for _, interval := range []time.Duration{0, -time.Second} {
		synctest.Test(t, func(t *testing.T) {
			options := DefaultOptions()
			options.KeepaliveInterval = interval
			c := newBench(options).pipe(t)
			c.call(procAlive, 1)
			c.reply(1)
			time.Sleep(time.Hour)
			c.quiet()
		})
	}
}

// TestKeepaliveAnyPacketCounts: whatever arrives starts the interval anew, and the
// question may be asked again without effect.
func TestKeepaliveAnyPacketCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newBench(DefaultOptions()).pipe(t)
		start := time.Now()
		c.call(procAlive, 1)
		c.reply(1)
		time.Sleep(4 * time.Second)
		c.send(frame.Header{Type: 9}, nil) // dropped, and yet a sign of life
		time.Sleep(4 * time.Second)
		c.call(procAlive, 2)
		c.reply(2)
		for _, at := range seconds(13, 18) { // two pings, then a pong
			c.receive()
			assert.Equal(t, at, time.Since(start))
		}
		time.Sleep(time.Second)
		c.send(pongHeader, nil)
		pings, end := c.silence(start)
		assert.Equal(t, seconds(24, 29, 34, 39, 44), pings)
		assert.Equal(t, 49*time.Second, end)
	})
}

func TestKeepaliveAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newBench(DefaultOptions()).pipe(t)
		start := time.Now()
		c.call(procAlive, 1)
		c.reply(1)
		for range 100 {
			c.receive()
			c.send(pongHeader, nil)
		}
		assert.Equal(t, 500*time.Second, time.Since(start))
	})
}

// TestKeepaliveUnread: a client that reads nothing and says nothing is found out even
// though the pings can not be written.
func TestKeepaliveUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bench := newBench(DefaultOptions())
		c := bench.pipe(t)
		c.call(procAlive, 1)
		c.reply(1)
		start := time.Now()
		<-bench.gone
		assert.Equal(t, 30*time.Second, time.Since(start))
		_, err := c.conn.Read(make([]byte, 1))
		assert.ErrorIs(t, err, io.EOF)
	})
}

// TestKeepaliveSpareCalls: slow calls without slots for more do not make the client
// look dead, neither to the server nor to itself.
func TestKeepaliveSpareCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bench := newBench(DefaultOptions())
		c := bench.pipe(t)
		c.call(procAlive, 1)
		c.reply(1)
		for serial := range uint32(12) {
			c.call(procWait, serial)
		}
		for range 20 {
			assert.EqualValues(t, 1, c.receive().Header.Procedure)
			c.send(pongHeader, nil)
			c.send(frame.Header{Program: keep, Version: 1, Procedure: 1, Type: frame.Message}, nil)
			assert.EqualValues(t, 2, c.receive().Header.Procedure)
		}
		for range 12 {
			bench.release <- struct{}{}
			c.receive()
		}
	})
}

// fill sends calls until the server reads no more and returns how to stop.
func fill(conn net.Conn) (stop func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		packet := encoded(callHeader(procWait, 1), make([]byte, 64<<10))
		for {
			if _, err := conn.Write(packet); err != nil {
				return
			}
		}
	}()
	return func() { <-done }
}

// TestKeepaliveWhenNotReading: while the server itself does not read, the client's
// silence does not count, but its hang-up is noticed.
func TestKeepaliveWhenNotReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bench := newBench(DefaultOptions())
		c := bench.pipe(t)
		c.call(procAlive, 1)
		c.reply(1)
		stopped := fill(c.conn)
		start := time.Now()
		for range 20 {
			assert.EqualValues(t, 1, c.receive().Header.Procedure)
		}
		assert.Equal(t, 100*time.Second, time.Since(start))
		assert.Empty(t, bench.gone)
		c.conn.Close()
		stopped()
		<-bench.gone
		assert.LessOrEqual(t, time.Since(start), 105*time.Second)
	})
}
