package rpc

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/domain/access"
)

// A packet that is begun must be finished in time, however it is cut; between packets
// there is no limit.
func TestPacketLimit(t *testing.T) {
	header := callHeader(procEcho, 7)
	header.Type = frame.CallWithFDs
	whole := encoded(callHeader(procEcho, 7), []byte("payload."))
	for name, part := range map[string][]byte{
		"one byte": whole[:1], "length": whole[:4], "header": whole[:28], "half a payload": whole[:31],
		"no descriptor count": encoded(header, []byte{0, 0, 0, 1})[:30],
		"no descriptor":       encoded(header, []byte{0, 0, 0, 1}),
		"packet and a half":   append(whole[:len(whole):len(whole)], whole[:9]...),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bench := newBench(DefaultOptions())
				c := bench.pipe(t)
				time.Sleep(24 * time.Hour)
				c.quiet()
				time.Sleep(24 * time.Hour)
				c.write(part)
				start := time.Now()
				if len(part) > len(whole) {
					c.reply(7)
				}
				<-bench.gone
				assert.Equal(t, 30*time.Second, time.Since(start))
				c.closed()
				assert.Equal(t, 1, bench.log.count("did not finish it in time"))
			})
		})
	}
}

// What arrives in pieces within the limit is a packet like others, and the limit of
// one packet is forgotten when the next begins. Trickling does not extend it.
func TestPacketInPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bench := newBench(DefaultOptions())
		c := bench.pipe(t)
		whole := encoded(callHeader(procEcho, 7), []byte("pay!"))
		for range 3 {
			for _, b := range whole[:28] {
				c.write([]byte{b})
				time.Sleep(time.Second)
			}
			c.write(whole[28:])
			assert.Equal(t, "pay!", string(c.reply(7)))
			time.Sleep(time.Hour)
		}
		start := time.Now()
		for i := range 31 {
			if _, err := c.conn.Write(whole[i : i+1]); err != nil {
				break
			}
			time.Sleep(time.Second)
		}
		<-bench.gone
		assert.Equal(t, 30*time.Second, time.Since(start).Truncate(2*time.Second))
	})
}

func TestPacketLimitOfASocket(t *testing.T) {
	options := DefaultOptions()
	options.PacketLimit = 50 * time.Millisecond
	bench := newBench(options)
	path := bench.listen(t, Socket{})
	other := dial(t, path)
	other.quiet()
	c := dial(t, path)
	c.quiet()
	c.write([]byte{0, 0})
	c.closed()
	other.quiet() // silent for longer than the limit
}

func TestNoPacketLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newBench(Options{}).pipe(t)
		whole := encoded(callHeader(procEcho, 7), nil)
		c.write(whole[:9])
		time.Sleep(24 * time.Hour)
		c.write(whole[9:])
		c.reply(7)
	})
}

func TestAuthLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bench := newBench(DefaultOptions())
		start := time.Now()
		c := bench.pipeSocket(t, Socket{Authenticate: true})
		time.Sleep(50 * time.Second)
		c.call(procEcho, 1) // being refused is no reason to stay
		c.receive()
		<-bench.gone
		assert.Equal(t, time.Minute, time.Since(start))
		c.closed()
		assert.Equal(t, 1, bench.log.count("did not authenticate in time"))
	})
}

func TestAuthInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bench := newBench(DefaultOptions())
		c := bench.pipeSocket(t, Socket{Authenticate: true})
		time.Sleep(59 * time.Second)
		c.call(procAuth, 1)
		c.reply(1)
		time.Sleep(24 * time.Hour)
		c.quiet()
		plain := bench.pipe(t)
		time.Sleep(24 * time.Hour)
		plain.quiet()
	})
}

// While a person is asked, time does not run out.
func TestAuthWhileAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bench := newBench(DefaultOptions())
		asked := bench.server.programs[0].Procedure
		bench.server.programs[0].Procedure = func(number int32) *Procedure {
			procedure := asked(number)
			procedure.Open = true
			return procedure
		}
		start := time.Now()
		c := bench.pipeSocket(t, Socket{Authenticate: true})
		c.call(procWait, 1)
		time.Sleep(10*time.Minute + time.Second)
		bench.release <- struct{}{}
		c.reply(1)
		<-bench.gone
		assert.Equal(t, 11*time.Minute, time.Since(start))
	})
}

// A client that is authenticated when it is gone already does not upset the count.
func TestAuthenticatedTooLate(t *testing.T) {
	bench := newBench(DefaultOptions())
	c := bench.pipeSocket(t, Socket{Authenticate: true})
	session := <-bench.session
	assert.Equal(t, Socket{Authenticate: true}, session.Socket())
	assert.Equal(t, Clients{Max: 5000, MaxAnonymous: 20, Now: 1, Anonymous: 1}, bench.server.Clients())
	c.conn.Close()
	<-bench.gone
	require.Eventually(t, func() bool { return bench.server.Clients().Now == 0 }, 20*time.Second, time.Millisecond)
	session.SetAuthenticated()
	session.SetAuthenticated()
	assert.Equal(t, Clients{Max: 5000, MaxAnonymous: 20}, bench.server.Clients())
}

// A user who fills the places of the unauthenticated keeps nobody out.
func TestSilentClientsMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		options := DefaultOptions()
		options.MaxAnonymous = 4
		bench := newBench(options)
		socket := Socket{Authenticate: true}
		enter := func(uid uint32) *client {
			c := bench.pipeAs(t, socket, access.Caller{UID: uid})
			<-bench.session
			return c
		}
		other, busy := enter(8), enter(7)
		busy.call(procOpenWait, 1) // is being asked for a password, say
		<-bench.started
		silent := []*client{enter(7), enter(7)}
		start := time.Now()
		root := enter(0)
		root.call(procAuth, 1)
		root.reply(1)
		assert.Equal(t, shyness, time.Since(start), "nobody has to go in the first moment")
		silent[0].closed()
		late := enter(9) // there is room
		late.call(procAuth, 1)
		late.reply(1)
		assert.Equal(t, shyness, time.Since(start))
		other.call(procAuth, 1)
		other.reply(1)
		silent[1].call(procAuth, 1)
		silent[1].reply(1)
		bench.release <- struct{}{}
		busy.reply(1)
		assert.Equal(t, 1, bench.log.count("makes room for another"))
	})
}

func TestOccupied(t *testing.T) {
	options := DefaultOptions()
	options.MaxClients = 1
	told := make(chan int, 8)
	options.Occupied = func(delta int) { told <- delta }
	options.Admit = func(access.Caller) error { return nil }
	bench := newBench(options)
	path := bench.listen(t, Socket{Authenticate: true})
	first := dial(t, path)
	first.call(procEcho, 1)
	first.receive()
	assert.Equal(t, 1, <-told, "also without authentication")
	second := dial(t, path)
	second.hasNoPlace()
	assert.Empty(t, told, "waiting is not being served")
	first.conn.Close()
	second.reply(1)
	assert.Zero(t, <-told+<-told, "one goes and one comes, in either order")
	second.conn.Close()
	require.NoError(t, bench.server.Close(t.Context()))
	assert.Equal(t, -1, <-told)
	assert.Empty(t, told)
}

// Who is turned away was never there.
func TestOccupiedNotByTheUnwelcome(t *testing.T) {
	options := DefaultOptions()
	options.Occupied = func(int) { t.Error("somebody counts") }
	options.Admit = func(access.Caller) error { return os.ErrPermission }
	bench := newBench(options)
	dial(t, bench.listen(t, Socket{})).closed()
}

func TestSetMaxRequests(t *testing.T) {
	bench := newBench(DefaultOptions())
	path := bench.listen(t, Socket{})
	early := dial(t, path)
	early.quiet()
	bench.server.SetMaxRequests(2)
	late := dial(t, path)
	for serial := range uint32(7) {
		late.call(procWait, serial)
		early.call(procWait, serial)
	}
	for range 2 + 5 {
		<-bench.started
	}
	early.call(procEcho, 4711) // waits behind the others
	assert.Empty(t, bench.started)
	for range 14 {
		bench.release <- struct{}{}
	}
	for range 7 {
		late.receive()
	}
	for range 8 {
		early.receive()
	}
}

func TestSetKeepalive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bench := newBench(DefaultOptions())
		early := bench.pipe(t)
		early.quiet() // its session has begun
		bench.server.SetKeepalive(2*time.Second, 1)
		late := bench.pipe(t)
		for _, row := range []struct {
			c     *client
			pings []time.Duration
			end   time.Duration
		}{
			{late, seconds(2), 4 * time.Second},
			{early, seconds(5, 10, 15, 20, 25), 30 * time.Second},
		} {
			row.c.call(procAlive, 1)
			start := time.Now()
			row.c.reply(1)
			pings, end := row.c.silence(start)
			assert.Equal(t, row.pings, pings)
			assert.Equal(t, row.end, end)
		}
	})
}

// What follows an answer runs when the answer is out, or given up.
func TestThen(t *testing.T) {
	for _, procedure := range []int32{procEcho, procClose} {
		ran := make(chan struct{}, 2)
		bench := newBench(DefaultOptions())
		plain := bench.server.programs[0].Procedure
		bench.server.programs[0].Procedure = func(number int32) *Procedure {
			found := plain(number)
			handle := found.Handle
			found.Handle = func(ctx context.Context, call *Call) {
				call.Then(func() { ran <- struct{}{} })
				handle(ctx, call)
			}
			return found
		}
		c := bench.pipe(t)
		c.call(procedure, 1)
		assert.Never(t, func() bool { return len(ran) > 0 }, 20*time.Millisecond, time.Millisecond, "unread")
		c.reply(1)
		<-ran
		c.conn.Close()
		<-bench.gone
		assert.Empty(t, ran)

		dead := bench.pipe(t)
		dead.call(procedure, 1)
		dead.conn.Close()
		<-ran
	}
}

// A label is known where the kernel labels sockets, and never an error.
func TestLabel(t *testing.T) {
	bench := newBench(DefaultOptions())
	path := filepath.Join(t.TempDir(), "sock")
	listener, err := net.Listen("unix", path)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- bench.server.Serve(listener, Socket{}) }()
	c := dial(t, path)
	c.quiet()
	session := <-bench.session
	assert.NotContains(t, session.Label(), "\x00")
	if _, err := os.Stat("/sys/fs/selinux/enforce"); err != nil {
		assert.Empty(t, session.Label(), "no SELinux here")
	} else {
		assert.NotEmpty(t, session.Label())
	}
	require.NoError(t, bench.server.Close(t.Context()))
	require.NoError(t, <-done)
	assert.Empty(t, session.Label())
}
