package client

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/adapters/rpc/xdr"
)

// What a server may not send, or sends too late, and what a caller does when its
// server behaves like that.

// open counts the descriptors of this process that are open on path.
func openOn(t *testing.T, path string) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	n := 0
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && target == path {
			n++
		}
	}
	return n
}

func passed(t *testing.T) *os.File {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "passed")
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// Files that come with an answer which nobody can take are closed.
func TestFilesNobodyTakes(t *testing.T) {
	file := passed(t)
	sends := map[string]func(p *peer, h frame.Header){
		"answer that cannot be decoded": func(p *peer, h frame.Header) {
			h.Type = frame.ReplyWithFDs
			p.write(h, data("x"), file)
		},
		"refusal": func(p *peer, h frame.Header) {
			h.Type, h.Status = frame.ReplyWithFDs, frame.Error
			p.write(h, &protocol.Error{Code: 1}, file)
		},
		"answer to nobody": func(p *peer, h frame.Header) {
			late := h
			late.Serial, late.Type = h.Serial+1000, frame.ReplyWithFDs
			p.write(late, nil, file)
			p.refuse(h, &protocol.Error{Code: 1})
		},
		"call by the server": func(p *peer, h frame.Header) {
			mine := h
			mine.Type = frame.CallWithFDs
			p.write(mine, nil, file)
			p.refuse(h, &protocol.Error{Code: 1})
		},
	}
	for name, send := range sends {
		t.Run(name, func(t *testing.T) {
			c, p := dial(t)
			go func() { send(p, p.read().Header) }()
			var ret protocol.ConnectGetTypeRet
			files, err := c.CallFiles(t.Context(), protocol.Program, protocol.ProcConnectGetType, nil, &ret, nil)
			require.Error(t, err)
			assert.Empty(t, files)
			assert.Equal(t, 1, openOn(t, file.Name()), "the test's own")
			assert.NoError(t, c.Err(), "the connection is good for more")
		})
	}
}

func TestFilesWithAStream(t *testing.T) {
	file := passed(t)
	c, p := dial(t)
	go func() {
		h := p.read().Header
		h.Type = frame.ReplyWithFDs
		p.write(h, nil, file)
	}()
	_, err := c.OpenStream(t.Context(), protocol.Program, protocol.ProcDomainOpenConsole, &protocol.DomainOpenConsoleArgs{}, nil)
	require.NoError(t, err)
	assert.Equal(t, 1, openOn(t, file.Name()), "the test's own")
}

// An error whose payload is broken is an error still, and not a refusal.
func TestBrokenErrors(t *testing.T) {
	whole, err := (&protocol.Error{Code: 42, Message: new("gone"), Str1: new("%s")}).AppendXDR(nil)
	require.NoError(t, err)
	for n := range whole {
		require.ErrorIs(t, decodeError(whole[:n]), xdr.ErrShort, "after %d bytes", n)
	}
	var refusal *Error
	require.ErrorAs(t, decodeError(whole), &refusal)
	assert.Equal(t, &Error{Code: 42, Message: "gone", Str1: "%s"}, refusal)
	require.ErrorIs(t, decodeError(append(whole[:12:12], 0xff, 0xff, 0xff, 0xff)), xdr.ErrTooLong)
}

// A server that ends inside a packet is told from one that ends between two.
func TestServerCutAtEachByte(t *testing.T) {
	h := frame.Header{Program: protocol.Program, Version: 1, Procedure: protocol.ProcConnectGetType, Type: frame.Reply, Serial: 1}
	answer, err := (&protocol.ConnectGetTypeRet{Type: "LXC"}).AppendXDR(frame.AppendHeader(nil, h))
	require.NoError(t, err)
	require.NoError(t, frame.Finish(answer))
	for n := range answer {
		c, p := dial(t)
		go func() {
			p.read()
			_, _ = p.conn.Write(answer[:n])
			p.conn.Close()
		}()
		err := c.Remote(t.Context(), protocol.ProcConnectGetType, nil, new(protocol.ConnectGetTypeRet))
		if n == 0 {
			require.Equal(t, io.EOF, err)
			continue
		}
		require.Equal(t, io.ErrUnexpectedEOF, err, "after %d bytes", n)
	}
}

func TestLengthsNoPacketHas(t *testing.T) {
	for _, head := range []string{"\x00\x00\x00\x00", "\x00\x00\x00\x1b", "\x02\x00\x00\x05", "\xff\xff\xff\xff"} {
		c, p := dial(t)
		_, err := p.conn.Write([]byte(head))
		require.NoError(t, err)
		<-c.Done()
		require.ErrorIs(t, c.Err(), frame.ErrLength)
	}
}

// A reader that never comes ends the connection, not the memory.
func TestOverflow(t *testing.T) {
	h := frame.Header{Program: 5, Procedure: 6, Type: frame.Message}
	one := frame.AppendHeader(nil, h)
	require.NoError(t, frame.Finish(one))
	flood := func(t *testing.T, c *Client, p *peer, packet []byte, held int) {
		t.Helper()
		block := []byte(strings.Repeat(string(packet), 1<<10))
		for range held>>10 - 1 {
			_, err := p.conn.Write(block)
			require.NoError(t, err)
		}
		go func() {
			for c.Err() == nil {
				if _, err := p.conn.Write(packet); err != nil {
					return
				}
			}
		}()
		<-c.Done()
		assert.Equal(t, ErrOverflow, c.Err())
	}
	t.Run("events", func(t *testing.T) {
		c, p := dial(t)
		flood(t, c, p, one, eventsHeld)
		for range eventsHeld {
			_, err := c.NextEvent(t.Context())
			require.NoError(t, err, "what came before is there")
		}
	})
	t.Run("stream", func(t *testing.T) {
		c, p := dial(t)
		s, h := console(t, c, p)
		packet := frame.AppendHeader(nil, h)
		require.NoError(t, frame.Finish(packet))
		flood(t, c, p, packet, chunksHeld)
		assert.ErrorIs(t, s.Send([]byte("x")), ErrOverflow)
	})
}

// Every wait ends with its context, and says so.
func TestContextsEndWaits(t *testing.T) {
	c, p := dial(t)
	s, _ := console(t, c, p)
	go func() { // takes what is sent and answers nothing
		var packet frame.Packet
		for p.reader.Read(&packet) == nil {
			packet.CloseFiles()
		}
	}()
	waits := map[string]func(context.Context) error{
		"call":   func(ctx context.Context) error { return c.Remote(ctx, protocol.ProcConnectGetType, nil, nil) },
		"event":  func(ctx context.Context) error { _, err := c.NextEvent(ctx); return err },
		"data":   func(ctx context.Context) error { _, err := s.Recv(ctx); return err },
		"finish": s.Finish,
		"abort":  s.Abort,
		"stream": func(ctx context.Context) error {
			_, err := c.OpenStream(ctx, protocol.Program, protocol.ProcDomainOpenConsole, nil, nil)
			return err
		},
		"files": func(ctx context.Context) error {
			_, err := c.CallFiles(ctx, protocol.Program, protocol.ProcDomainCreateWithFiles, nil, nil, []*os.File{passed(t)})
			return err
		},
	}
	for name, wait := range waits {
		t.Run(name, func(t *testing.T) {
			gone, leave := context.WithCancel(t.Context())
			leave()
			require.ErrorIs(t, wait(gone), context.Canceled)
			short, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
			defer cancel()
			require.ErrorIs(t, wait(short), context.DeadlineExceeded)
		})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	assert.Empty(t, c.pending, "nothing is remembered of calls that were given up")
}

// Nothing piles up for a connection that has ended.
func TestSendAfterTheEnd(t *testing.T) {
	c, p := dial(t)
	s, _ := console(t, c, p)
	require.NoError(t, c.Close())
	for range 100 {
		require.ErrorIs(t, s.Send(make([]byte, 1000)), ErrClosed)
	}
	require.ErrorIs(t, s.Finish(t.Context()), ErrClosed)
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	assert.Empty(t, c.out.bytes)
}
