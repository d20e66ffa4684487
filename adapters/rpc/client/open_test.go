package client

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/adapters/rpc/protocol"
)

// Opening stops at the first refusal, and asks nothing behind it.
func TestOpenRefused(t *testing.T) {
	steps := []int32{protocol.ProcAuthList, protocol.ProcAuthPolkit, protocol.ProcConnectOpen}
	for refused := range steps {
		c, p := dial(t)
		asked := make(chan int32, len(steps))
		go func() {
			for i := range refused + 1 {
				h := p.read().Header
				asked <- h.Procedure
				switch {
				case i == refused:
					p.refuse(h, &protocol.Error{Code: 45, Message: new("no")})
				case i == 0:
					p.reply(h, &protocol.AuthListRet{Types: []protocol.AuthType{protocol.AuthTypePolkit}})
				default:
					p.reply(h, &protocol.AuthPolkitRet{Complete: 1})
				}
			}
		}()
		var refusal *Error
		require.ErrorAs(t, c.Open(t.Context(), "lxc:///system", 0), &refusal)
		assert.EqualValues(t, 45, refusal.Code)
		for _, step := range steps[:refused+1] {
			assert.Equal(t, step, <-asked)
		}
		assert.NoError(t, c.Err(), "the connection is there for another try")
	}
}

// A server without a method that this client knows is asked to open all the same: it
// says why not.
func TestOpenWithoutAMethod(t *testing.T) {
	for _, methods := range [][]protocol.AuthType{nil, {protocol.AuthTypeNone}, {protocol.AuthTypeSASL}} {
		c, p := dial(t)
		go func() {
			p.reply(p.read().Header, &protocol.AuthListRet{Types: methods})
			h := p.read().Header
			assert.EqualValues(t, protocol.ProcConnectOpen, h.Procedure)
			p.reply(h, nil)
		}()
		assert.NoError(t, c.Open(t.Context(), "", 0))
	}
}

// Leaving a server that refuses to let go, or is gone, closes the connection.
func TestDisconnectFromAnybody(t *testing.T) {
	c, p := dial(t)
	go func() { p.refuse(p.read().Header, &protocol.Error{Code: 1, Message: new("stay")}) }()
	assert.ErrorContains(t, c.Disconnect(t.Context()), "stay")
	assert.ErrorIs(t, c.Err(), ErrClosed)

	alone, gone := dial(t)
	go func() { gone.read(); gone.conn.Close() }()
	assert.Error(t, alone.Disconnect(t.Context()))
	<-alone.Done()
}

// Closing fails every call and ends every stream, once, whoever does it.
func TestManyEndAtOnce(t *testing.T) {
	c, p := dial(t)
	s, _ := console(t, c, p)
	const n = 20
	var calls sync.WaitGroup
	for range n {
		calls.Go(func() {
			assert.ErrorIs(t, c.Remote(context.Background(), protocol.ProcConnectGetType, nil, nil), ErrClosed)
		})
	}
	for range n {
		p.read()
	}
	var closers sync.WaitGroup
	for range 5 {
		closers.Go(func() { assert.NoError(t, c.Close()) })
	}
	closers.Wait()
	calls.Wait()
	_, err := s.Recv(t.Context())
	assert.ErrorIs(t, err, ErrClosed)
	assert.ErrorIs(t, s.Abort(t.Context()), ErrClosed)
}

// Without a count the first silence is the last.
func TestKeepAliveCountOfZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mine, theirs := net.Pipe()
		c, _ := ends(t, mine, theirs, KeepAlive(time.Second, 0))
		start := time.Now()
		<-c.Done()
		assert.Equal(t, time.Second, time.Since(start))
		assert.ErrorIs(t, c.Err(), ErrKeepAlive)
	})
}

// Any packet of the server is a sign of life, known or not.
func TestKeepAliveHearsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mine, theirs := net.Pipe()
		c, p := ends(t, mine, theirs, KeepAlive(time.Second, 0))
		for _, h := range []frame.Header{
			{Program: 77, Type: frame.Message}, {Program: 77, Type: frame.Stream}, {Program: 77, Type: frame.Reply, Serial: 9},
			{Program: 77, Type: 55}, {Program: protocol.KeepaliveProgram, Type: frame.Message, Procedure: 99},
		} {
			time.Sleep(900 * time.Millisecond)
			p.write(h, nil)
			synctest.Wait()
			assert.NoError(t, c.Err())
		}
		assert.Zero(t, c.Pings())
	})
}
