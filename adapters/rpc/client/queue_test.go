package client

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/adapters/rpc/protocol"
)

func TestQueueKeepsOrder(t *testing.T) {
	q, ended := newQueue[int](), make(chan struct{})
	for i := range 5 {
		assert.Equal(t, i+1, q.put(i), "how many wait")
	}
	close(ended)
	for i := range 5 {
		v, ok, err := q.get(t.Context(), ended)
		require.NoError(t, err)
		require.True(t, ok, "what was there at the end is given")
		assert.Equal(t, i, v)
	}
	_, ok, err := q.get(t.Context(), ended)
	assert.NoError(t, err)
	assert.False(t, ok)
}

// Several who wait share what comes: each value is had once, and one wake-up that
// stands for many values wakes all.
func TestQueueWithManyTakers(t *testing.T) {
	const takers, values = 8, 400
	q, ended := newQueue[int](), make(chan struct{})
	got := make(chan int, values)
	var wg sync.WaitGroup
	for range takers {
		wg.Go(func() {
			for range values / takers {
				v, ok, err := q.get(context.Background(), ended)
				if assert.NoError(t, err) && assert.True(t, ok) {
					got <- v
				}
			}
		})
	}
	for i := range values {
		q.put(i)
	}
	wg.Wait()
	close(got)
	seen := map[int]int{}
	for v := range got {
		seen[v]++
	}
	assert.Len(t, seen, values)
}

// A message that cannot be encoded leaves nothing of itself among the others.
func TestOutboxForgetsWhatCannotBeEncoded(t *testing.T) {
	o := newOutbox()
	h := frame.Header{Program: 1, Serial: 7}
	_, err := o.put(h, data("before"), nil, false)
	require.NoError(t, err)
	long := protocol.DomainLookupByNameArgs{Name: string(make([]byte, protocol.StringMax+1))}
	_, err = o.put(h, &long, nil, true)
	require.Error(t, err)
	huge := raw(make([]byte, frame.MaxPayload+1))
	_, err = o.put(h, &huge, nil, true)
	require.ErrorIs(t, err, frame.ErrLength)
	written, err := o.put(h, data("after!"), nil, true)
	require.NoError(t, err)
	bytes, marks := o.take()
	assert.Len(t, bytes, 2*(frame.HeaderSize+6))
	assert.Equal(t, []mark{{end: len(bytes), written: marks[0].written}}, marks)
	assert.NotNil(t, written)
	bytes, marks = o.take()
	assert.Empty(t, bytes)
	assert.Empty(t, marks)
}

// FuzzServer lets a server send anything: the client ends for a reason, and every
// call with it.
func FuzzServer(f *testing.F) {
	h := frame.Header{Program: protocol.Program, Version: 1, Procedure: protocol.ProcConnectGetType, Type: frame.Reply, Serial: 1}
	for _, kind := range []frame.Type{frame.Reply, frame.Message, frame.Stream, frame.ReplyWithFDs, frame.StreamHole} {
		for _, status := range []frame.Status{frame.OK, frame.Error, frame.Continue} {
			h.Type, h.Status = kind, status
			b := append(frame.AppendHeader(nil, h), 0, 0, 0, 3, 'L', 'X', 'C', 0)
			require.NoError(f, frame.Finish(b))
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		c, p := dial(t)
		answered := make(chan error, 1)
		go func() {
			answered <- c.Remote(context.Background(), protocol.ProcConnectGetType, nil, new(protocol.ConnectGetTypeRet))
		}()
		call := p.read()
		require.EqualValues(t, 1, call.Header.Serial)
		_, _ = p.conn.Write(sent)
		p.conn.Close()
		<-c.Done()
		<-answered
		require.Error(t, c.Err())
		require.Error(t, c.Remote(context.Background(), protocol.ProcConnectGetType, nil, nil))
	})
}
