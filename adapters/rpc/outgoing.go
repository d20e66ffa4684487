package rpc

import (
	"os"
	"sync"

	"virtlxcd/adapters/rpc/frame"
)

// keptBuffer is the largest buffer that is kept for reuse, in bytes.
const keptBuffer = 64 << 10

// outgoing is one encoded packet on its way out.
type outgoing struct {
	data  []byte
	files []*os.File // passed after the packet, then closed
	kind  outgoingKind
	// after runs once, when the packet was written completely (true) or given up. It
	// must not block. nil: nothing to do.
	after func(written bool)
	kept  bool // the owner reuses the packet: it does not go back to the pool
}

type outgoingKind uint8

const (
	answer outgoingKind = iota // also stream packets
	event
	pong
)

var outgoings = sync.Pool{New: func() any { return new(outgoing) }}

// newOutgoing gives an empty packet, perhaps with the storage of one before it.
func newOutgoing() *outgoing { return outgoings.Get().(*outgoing) }

// release ends a packet's way: its files are closed, its owner is told.
func release(packet *outgoing, written bool) {
	files, after, kept := packet.files, packet.after, packet.kept
	closeFiles(files)
	if !kept {
		recycle(packet)
	}
	if after != nil {
		after(written)
	}
}

// recycle forgets everything but the storage. Large storage is left to the collector:
// one long list must not stay with every packet that follows.
func recycle(packet *outgoing) {
	data := packet.data[:0]
	if cap(data) > keptBuffer {
		data = nil
	}
	*packet = outgoing{data: data}
	outgoings.Put(packet)
}

// encode makes a packet of header and body; nil is an empty body. The packet owns
// files afterwards, unless an error is returned.
func encode(header frame.Header, body Body, files []*os.File) (*outgoing, error) {
	packet := newOutgoing()
	if header.Type.HasFDs() {
		packet.data = frame.AppendHeaderFDs(packet.data, header, len(files))
	} else {
		packet.data = frame.AppendHeader(packet.data, header)
	}
	if err := packet.append(body); err != nil {
		recycle(packet)
		return nil, err
	}
	packet.files = files
	return packet, nil
}

// append adds the body and sets the packet's length.
func (p *outgoing) append(body Body) error {
	if body != nil {
		data, err := body.AppendXDR(p.data)
		p.data = data
		if err != nil {
			return err
		}
	}
	return frame.Finish(p.data)
}

// encodeReply makes the successful answer to a call.
func encodeReply(call frame.Header, body Body, files []*os.File) (*outgoing, error) {
	call.Type, call.Status = frame.Reply, frame.OK
	if len(files) > 0 {
		call.Type = frame.ReplyWithFDs
	}
	if len(files) > frame.MaxFDs {
		return nil, frame.ErrFDs
	}
	return encode(call, body, files)
}
