package protocol_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc/capture"
	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/adapters/rpc/xdr"
)

// tally counts what became of the recorded packets.
type tally struct{ messages, empty, opaque, abbreviated, malformed int }

// TestRecordedPackets decodes every packet that was recorded whole and encodes
// it again, byte for byte.
func TestRecordedPackets(t *testing.T) {
	var sum tally
	for _, name := range capture.Names() {
		t.Run(name, func(t *testing.T) {
			e, err := capture.Load(name)
			require.NoError(t, err)
			for _, item := range e.Items {
				if item.Kind == capture.Packet {
					sum.judge(t, name, item)
				}
			}
		})
	}
	t.Logf("%+v", sum)
	assert.Equal(t, tally{messages: 242, empty: 204, opaque: 4, abbreviated: 42, malformed: 50}, sum)
}

func (c *tally) judge(t *testing.T, name string, item capture.Item) {
	t.Helper()
	if !item.Complete() {
		c.abbreviated++
		return
	}
	if name == "malformed" && item.From == capture.Client {
		c.malformed++
		return
	}
	m, head := message(item)
	if m == nil {
		c.opaque++ // stream data, or nothing: there is no message to decode
		return
	}
	payload := item.Bytes[head:]
	if len(payload) == 0 {
		c.empty++
	} else {
		c.messages++
	}
	d := xdr.NewDecoder(payload)
	require.NoError(t, m.DecodeXDR(d), item.Label)
	assert.Zero(t, d.Remaining(), item.Label)
	again, err := m.AppendXDR(header(item.Bytes))
	require.NoError(t, err, item.Label)
	require.NoError(t, frame.Finish(again))
	assert.Equal(t, straightened(item.Bytes, head), again, item.Label)
}

// header encodes a packet's header and number of descriptors again.
func header(packet []byte) []byte {
	h := frame.ParseHeader(packet)
	if h.Type.HasFDs() {
		return frame.AppendHeaderFDs(nil, h, int(packet[frame.HeaderSize+3]))
	}
	return frame.AppendHeader(nil, h)
}

// straightened puts right the one thing a client is known to write in its own
// way: the discriminator of an optional, with its bytes reversed.
func straightened(packet []byte, head int) []byte {
	want := append([]byte{}, packet...)
	if bytes.HasPrefix(want[head:], []byte{1, 0, 0, 0}) {
		copy(want[head:], []byte{0, 0, 0, 1})
	}
	return want
}

// nothing is the message without bytes.
type nothing struct{}

func (nothing) AppendXDR(b []byte) ([]byte, error) { return b, nil }
func (nothing) DecodeXDR(d *xdr.Decoder) error     { return d.Err() }

// message is the empty message of a packet and where its bytes begin.
func message(item capture.Item) (protocol.Message, int) {
	h := frame.ParseHeader(item.Bytes)
	head := frame.HeaderSize
	if h.Type.HasFDs() {
		head += 4
	}
	p := protocol.Find(h.Program, h.Procedure)
	create := func() protocol.Message { return nothing{} }
	switch {
	case h.Type == frame.Stream && h.Status == frame.Continue:
		return nil, 0
	case h.Status == frame.Error && item.From == capture.Server:
		return new(protocol.Error), head
	case p == nil || h.Type == frame.Stream:
	case h.Type == frame.Message:
		create = p.Event
	case h.Type == frame.Reply || h.Type == frame.ReplyWithFDs:
		create = orNothing(p.Ret)
	default:
		create = orNothing(p.Args)
	}
	return create(), head
}

func orNothing(create func() protocol.Message) func() protocol.Message {
	if create == nil {
		return func() protocol.Message { return nothing{} }
	}
	return create
}
